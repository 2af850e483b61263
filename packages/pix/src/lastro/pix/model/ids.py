"""The identifiers of the SPI, checked to the letter: ASCII digits only, the whole string, a date that exists."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NewType

EndToEndId = NewType("EndToEndId", str)
RtrId = NewType("RtrId", str)
MsgId = NewType("MsgId", str)
Ispb = NewType("Ispb", str)
TxId = NewType("TxId", str)

CLOCK_GAP_MS: Final = 12 * 3_600_000
"""How far the minute inside an id may be from the server's clock, either way."""

_ISPB: Final = re.compile(r"[0-9A-Z]{8}", re.ASCII)
_PAYMENT_ID: Final = re.compile(r"[ED][0-9A-Z]{8}(\d{12})[a-zA-Z0-9]{11}", re.ASCII)
_MSG_ID: Final = re.compile(r"M[0-9A-Z]{8}[a-zA-Z0-9]{23}", re.ASCII)
_TX_ID: Final = re.compile(r"[a-zA-Z0-9]{1,35}", re.ASCII)
_MINUTE: Final = "%Y%m%d%H%M"


class BadId(ValueError):
    """An identifier that no participant can have made."""


def ispb(text: str) -> Ispb:
    """A participant: eight digits, or capitals once the CNPJ has them."""
    if not _ISPB.fullmatch(text):
        raise BadId(text[:40])
    return Ispb(text)


def end_to_end_id(text: str) -> EndToEndId:
    """A payment's identity: E, the ISPB, the UTC minute, eleven alphanumerics."""
    _check_payment_id(text, "E")
    return EndToEndId(text)


def rtr_id(text: str) -> RtrId:
    """A return's identity: the same with D."""
    _check_payment_id(text, "D")
    return RtrId(text)


def msg_id(text: str) -> MsgId:
    """A message's identity; it never repeats, unlike the payment's."""
    if not _MSG_ID.fullmatch(text):
        raise BadId(text[:40])
    return MsgId(text)


def tx_id(text: str) -> TxId:
    """A reconciliation id; the bounds by instrument are in the rules."""
    if not _TX_ID.fullmatch(text):
        raise BadId(text[:40])
    return TxId(text)


def minute_of(payment_id: str) -> str:
    """The UTC minute inside an EndToEndId or RtrId, as yyyyMMddHHmm."""
    return payment_id[9:21]


@lru_cache(maxsize=4096)
def minute_ms(minute: str) -> int:
    """When a yyyyMMddHHmm minute began, in ms; BadId where the calendar has none."""
    try:
        start = datetime(
            int(minute[:4]), int(minute[4:6]), int(minute[6:8]), int(minute[8:10]), int(minute[10:12]), tzinfo=UTC
        )
    except ValueError:
        raise BadId(minute[:40]) from None
    return int(start.timestamp()) * 1000


def make_end_to_end_id(participant: str, now: datetime, tail: str) -> EndToEndId:
    """The id of a new payment; ``tail`` is eleven alphanumerics the payer's bank never used in this minute."""
    return end_to_end_id(f"E{participant}{now.astimezone(UTC).strftime(_MINUTE)}{tail}")


def make_rtr_id(participant: str, now: datetime, tail: str) -> RtrId:
    """The id of a new return."""
    return rtr_id(f"D{participant}{now.astimezone(UTC).strftime(_MINUTE)}{tail}")


def make_msg_id(participant: str, tail: str) -> MsgId:
    """The id of a new message; ``tail`` is 23 alphanumerics."""
    return msg_id(f"M{participant}{tail}")


def _check_payment_id(text: str, letter: str) -> None:
    match = _PAYMENT_ID.fullmatch(text)
    if not match or text[0] != letter:
        raise BadId(text[:40])
    minute_ms(match[1])
