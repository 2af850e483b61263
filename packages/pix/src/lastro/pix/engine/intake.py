"""Stream entries as what they are: a payment, an original message, an answer, or nothing anybody can process."""

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from lastro.core.errors import Invalid
from lastro.core.money import cents
from lastro.pix.model.ids import BadId, ispb, minute_ms, minute_of
from lastro.pix.model.payment import Answer, Payment, amount_cents, answer_refusal, refusal

from .pix import GAP_HOURS, HOUR_MS

FIELDS_MAX: Final = 32
KEPT_BYTES_MAX: Final = 4_096  # of an entry in the dead letters; the rest is cut off
TOO_OLD: Final = ("DT02", "its minute is over")
"""Code and reason of an original message that comes when its minute is forgotten."""
MESSAGE: Final = b"message"
"""What a dead letter of the list calls what it holds: the message as it came."""
ENTRY_ID: Final = re.compile(r"[0-9]{1,15}-[0-9]{1,15}", re.ASCII)
_BACKEND: Final = re.compile(rb"[0-9A-Za-z_.:-]{1,64}")
_TRANSACTION: Final = re.compile(rb"[\x21-\x7e]{1,64}")
_TIMESTAMP: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):[0-5]\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?", re.ASCII
)
_ORIGINAL: Final = frozenset({b"transaction_id", b"backend_id", b"amount", b"timestamp"})


@dataclass(frozen=True, slots=True)
class Original:
    """A message of the original system: settled at once, between nobody in particular."""

    entry: bytes
    identity: str
    minute: str
    transaction_id: bytes
    cents: int
    amount: bytes
    backend_id: bytes


@dataclass(frozen=True, slots=True)
class Order:
    """A payment order that can be recorded; with a code it will be rejected."""

    entry: bytes
    payment: Payment
    minute: str
    cents: int
    code: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A receiver's answer."""

    entry: bytes
    answer: Answer
    minute: str
    fields: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Malformed:
    """What nobody can process: for the dead letters."""

    entry: bytes
    code: str
    reason: str
    fields: dict[bytes, bytes]


_payments = msgspec.json.Decoder(Payment)
_answers = msgspec.json.Decoder(Answer)


def read_payment(entry: bytes, fields: dict[bytes, bytes], body_max: int) -> Original | Order | Malformed:
    """One entry of a payments stream: ``{payment: <JSON>}``, the same as single fields, or the original four."""
    if b"transaction_id" in fields:
        return read_original(entry, fields)
    body = fields.get(b"payment")
    try:
        if body is None:
            payment = msgspec.convert(_text(fields), Payment)
            body = msgspec.json.encode(payment)
        elif len(body) > body_max:
            return Malformed(entry, "CH16", f"longer than {body_max} bytes", fields)
        else:
            payment = _payments.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        return Malformed(entry, "CH16", str(error)[:200], fields)
    if len(body) > body_max:
        return Malformed(entry, "CH16", f"longer than {body_max} bytes", fields)
    return _order(entry, payment, body, fields)


def _order(entry: bytes, payment: Payment, body: bytes, fields: dict[bytes, bytes]) -> Order | Malformed:
    no = refusal(payment, arrived_ms(entry))
    if no.code in {"FF08", "RC09", "RC10"}:  # without a right id and two addresses there is nobody to tell
        return Malformed(entry, no.code, no.reason, fields)
    size = amount_cents(payment.amount)
    known = size if isinstance(size, int) else 0
    return Order(entry, payment, minute_of(payment.end_to_end_id), known, no.code, body)


def read_original(entry: bytes, fields: dict[bytes, bytes]) -> Original | Malformed:
    """The original four fields. Its identity is its id at its own time: the ids repeat, a resend is the same."""
    missing = _ORIGINAL - fields.keys()
    if missing:
        return Malformed(entry, "CH16", f"missing: {', '.join(sorted(name.decode() for name in missing))}", fields)
    transaction_id, backend_id = fields[b"transaction_id"], fields[b"backend_id"]
    if not _TRANSACTION.fullmatch(transaction_id) or not _BACKEND.fullmatch(backend_id):
        return Malformed(entry, "CH16", "transaction_id or backend_id is not one", fields)
    try:
        amount = fields[b"amount"].decode()
        size = cents(amount)
        timestamp = fields[b"timestamp"].decode()
    except (Invalid, UnicodeDecodeError):
        return Malformed(entry, "AM12", "not an amount: digits, a dot, two decimals", fields)
    if not size:
        return Malformed(entry, "AM01", "the amount is zero", fields)
    match = _TIMESTAMP.fullmatch(timestamp)
    minute = "".join(match.groups()) if match else ""
    try:
        far = abs(minute_ms(minute) - arrived_ms(entry)) > GAP_HOURS * HOUR_MS
    except (BadId, ValueError):
        far = True
    if far:
        return Malformed(entry, "DT02", "the timestamp is no time near now", fields)
    identity = f"{transaction_id.decode()}@{timestamp}"
    return Original(entry, identity, minute, transaction_id, size, fields[b"amount"], backend_id)


def read_answer(entry: bytes, fields: dict[bytes, bytes]) -> Reply | Malformed:
    """One entry of the answers stream: ``{answer: <JSON>}``, or the same as single fields."""
    try:
        body = fields.get(b"answer")
        answer = _answers.decode(body) if body is not None else msgspec.convert(_text(fields), Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        return Malformed(entry, "CH16", str(error)[:200], fields)
    no = answer_refusal(answer)
    if no.code:
        return Malformed(entry, no.code, no.reason, fields)
    return Reply(entry, answer, minute_of(answer.end_to_end_id), fields)


def arrived_ms(entry: bytes) -> int:
    """When the server took an entry."""
    return int(entry.partition(b"-")[0])


def kept(fields: dict[bytes, bytes]) -> bytes:
    """An entry's fields as JSON for a dead letter, cut off where they are too long to keep."""
    size = sum(map(len, fields)) + sum(map(len, fields.values()))
    if size <= KEPT_BYTES_MAX and len(fields) <= FIELDS_MAX:
        pairs = {_lossless(name): _lossless(value) for name, value in fields.items()}
        return msgspec.json.encode({"fields": pairs})
    some = list(fields.items())[:FIELDS_MAX]
    cut = {_lossless(name[:64]): _lossless(value[: KEPT_BYTES_MAX // FIELDS_MAX]) for name, value in some}
    return msgspec.json.encode({"cut_off": True, "bytes": size, "fields": cut})


def restored(text: bytes) -> list[bytes] | None:
    """The fields and values of a dead letter, in turn; None when it was cut off."""
    letter = msgspec.json.decode(text)
    if letter.get("cut_off"):
        return None
    return [part.encode("latin-1") for pair in letter["fields"].items() for part in pair]


def _lossless(raw: bytes) -> str:
    return raw.decode("latin-1")  # every byte is one character: what is replayed is what came


def _text(fields: dict[bytes, bytes]) -> dict[str, str]:
    if len(fields) > FIELDS_MAX:
        raise ValueError(f"more than {FIELDS_MAX} fields")
    return {name.decode(): value.decode() for name, value in fields.items()}


def after_entry(text: str) -> str:
    """Where a page begins: ``-``, or after the entry a person named. Raises Invalid for what is no id of one."""
    if text != "-" and not ENTRY_ID.fullmatch(text):
        raise Invalid(field="after", reason="not the id of an entry")
    return text if text == "-" else f"({text}"


def backend(text: str) -> str:
    """A backend named by a person. Raises Invalid for what is no name of one."""
    if not _BACKEND.fullmatch(text.encode()):
        raise Invalid(field="backend_id", reason="1 to 64 letters, digits and _ . : -")
    return text


def participant(text: str) -> str:
    """A participant named by a person. Raises Invalid for what is no ISPB."""
    try:
        return ispb(text)
    except BadId:
        raise Invalid(field="ispb", reason="eight digits or capitals") from None
