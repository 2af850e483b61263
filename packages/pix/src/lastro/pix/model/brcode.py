"""The BR Code: what a Pix QR picture says. Strict both ways: a wrong length or CRC is refused, never guessed around."""

import re
from binascii import crc_hqx
from dataclasses import dataclass
from typing import Final

from lastro.core.errors import Invalid
from lastro.core.money import CENTS_MAX, cents, decimal

from .pix_keys import key_type

GUI: Final = "br.gov.bcb.pix"
NAME_MAX, CITY_MAX, TEXT_MAX, URL_MAX, TX_ID_MAX = 25, 15, 72, 77, 25
VALUE_MAX: Final = 99  # two digits of length
CRC_TAIL: Final = 8  # 6304 and four hex digits
NO_TX_ID: Final = "***"
_TX_ID: Final = re.compile(r"[a-zA-Z0-9]{1,25}", re.ASCII)


class BadBrCode(ValueError):
    """Not a BR Code of Pix; the words say where it breaks, and ``field`` of what is to become one."""

    def __init__(self, reason: str, field: str = "text") -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class BrCode:
    """A static code carries a key, a dynamic one the URL of its charge."""

    name: str
    city: str
    key: str = ""
    url: str = ""
    text: str = ""
    amount_cents: int = 0
    tx_id: str = ""
    single_use: bool = False


def crc(text: str) -> str:
    """CRC-16/CCITT-FALSE in upper-case hex: ``123456789`` → ``29B1``."""
    return f"{crc_hqx(text.encode(), 0xFFFF):04X}"


def encode(code: BrCode) -> str:
    """The text of the picture. Raises BadBrCode for what no reader would take."""
    _check(code)
    account = _tlv("00", GUI) + (_tlv("25", code.url) if code.url else _tlv("01", code.key))
    if code.text:
        account += _tlv("02", code.text)
    body = _tlv("00", "01") + (_tlv("01", "12") if code.single_use else "") + _tlv("26", account)
    body += _tlv("52", "0000") + _tlv("53", "986")
    if code.amount_cents:
        body += _tlv("54", decimal(code.amount_cents))
    body += _tlv("58", "BR") + _tlv("59", code.name) + _tlv("60", code.city)
    body += _tlv("62", _tlv("05", code.tx_id or NO_TX_ID)) + "6304"
    return body + crc(body)


def decode(text: str) -> BrCode:
    """What the picture says. Raises BadBrCode, structure before CRC: a right CRC does not excuse a wrong length."""
    top = _fields(text)
    if list(top)[-1:] != ["63"] or len(text) < CRC_TAIL or text[-CRC_TAIL:-4] != "6304":
        raise BadBrCode("it does not end with its CRC")
    if crc(text[:-4]) != text[-4:]:
        raise BadBrCode("the CRC does not fit")
    _constants(top)
    account = _fields(top["26"])
    if account.get("00", "").lower() != GUI:
        raise BadBrCode("it is not of Pix")
    extra = _fields(top.get("62", ""))
    tx_id = extra.get("05", "")
    code = BrCode(
        name=top["59"],
        city=top["60"],
        key=account.get("01", ""),
        url=account.get("25", ""),
        text=account.get("02", ""),
        amount_cents=_amount(top["54"]) if "54" in top else 0,
        tx_id="" if tx_id == NO_TX_ID else tx_id,
        single_use=top.get("01") == "12",
    )
    _check(code)
    return code


def _constants(top: dict[str, str]) -> None:
    wanted = {"00": "01", "53": "986", "58": "BR"}
    for tag, value in wanted.items():
        if top.get(tag) != value:
            raise BadBrCode(f"field {tag} must be {value}")
    for tag in ("26", "52", "59", "60"):
        if tag not in top:
            raise BadBrCode(f"field {tag} is missing")
    if not re.fullmatch(r"\d{4}", top["52"], re.ASCII) or top.get("01", "12") not in {"11", "12"}:
        raise BadBrCode("field 52 or 01 is not one")


def _check(code: BrCode) -> None:
    if bool(code.key) == bool(code.url):
        raise BadBrCode("a code has a key or a URL, one of them", "key")
    if code.key and not key_type(code.key):
        raise BadBrCode("that is no Pix key", "key")
    for field, least, most in (
        ("name", 1, NAME_MAX),
        ("city", 1, CITY_MAX),
        ("text", 0, TEXT_MAX),
        ("url", 0, URL_MAX),
    ):
        if not least <= len(getattr(code, field)) <= most:
            raise BadBrCode(f"the {field} is too long, or missing", field)
    if not 0 <= code.amount_cents <= CENTS_MAX:
        raise BadBrCode("the amount is longer than ten digits and two", "amount_cents")
    if code.tx_id and not _TX_ID.fullmatch(code.tx_id):
        raise BadBrCode("a txid is one to twenty-five letters and digits", "tx_id")
    if code.url and "://" in code.url:
        raise BadBrCode("the URL goes without its scheme", "url")


def _amount(text: str) -> int:
    try:
        return cents(text)
    except Invalid:
        raise BadBrCode("field 54 is no amount") from None


def _tlv(tag: str, value: str) -> str:
    if len(value) > VALUE_MAX:
        raise BadBrCode(f"field {tag} is longer than {VALUE_MAX}")
    return f"{tag}{len(value):02d}{value}"


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        head = text[at : at + 4]
        if not re.fullmatch(r"\d{4}", head, re.ASCII):
            raise BadBrCode(f"no tag and length at character {at}")
        tag, size = head[:2], int(head[2:])
        value = text[at + 4 : at + 4 + size]
        if len(value) < size:
            raise BadBrCode(f"field {tag} says {size} characters and has {len(value)}")
        if tag in found:
            raise BadBrCode(f"field {tag} comes twice")
        found[tag] = value
        at += 4 + size
    return found
