"""A payment order, a receiver's answer and a return, as they travel; and what becomes of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from lastro.core.clock import parse_iso
from lastro.core.errors import Invalid
from lastro.core.money import cents

from . import rules
from .codes import RECEIVER_CODES, RETURN_REASONS
from .ids import CLOCK_GAP_MS, BadId, end_to_end_id, ispb, minute_ms, minute_of, rtr_id

State = Literal["ACCEPTED", "SETTLED", "REJECTED", "EXPIRED"]
STATES: Final[dict[str, State]] = {"A": "ACCEPTED", "S": "SETTLED", "C": "SETTLED", "R": "REJECTED", "X": "EXPIRED"}
SETTLED_STATUSES: Final = frozenset({"ACSC", "ACCC"})


class Payment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A payment order (pacs.008). Amounts are decimal text, as in the SPI's own messages."""

    end_to_end_id: str
    payer: str
    payee: str
    amount: str
    local_instrument: str = "MANU"
    key: str = ""
    tx_id: str = ""
    priority: str = "HIGH"
    service_level: str = "PAGPRI"
    purpose: str = "IPAY"
    accepted_at: str = ""
    payer_name: str = ""
    payer_document: str = ""
    payer_account_type: str = "CACC"
    payer_branch: str = ""
    payer_account: str = ""
    payee_document: str = ""
    payee_account_type: str = "CACC"
    payee_branch: str = ""
    payee_account: str = ""
    text: str = ""

    @property
    def sender(self) -> str:
        """Who sends it."""
        return self.payer

    @property
    def scheduled(self) -> bool:
        """Paid on a date agreed before: its deadline is the longer one."""
        return self.service_level == "PAGAGD"


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A receiver's pacs.002: ACSP accepts, RJCT with a code refuses."""

    end_to_end_id: str
    payee: str
    status: Literal["ACSP", "RJCT"]
    reason: str = ""

    @property
    def sender(self) -> str:
        """Who sends it."""
        return self.payee


class Return(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A return order (pacs.004): a receiver gives a settled payment back, whole or in part."""

    rtr_id: str
    end_to_end_id: str
    amount: str
    reason: str
    text: str = ""

    @property
    def sender(self) -> str:
        """Who gives back: the participant that the RtrId names."""
        return self.rtr_id[1:9]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order is refused before anything moves."""

    code: str
    reason: str
    field: str = ""
    """what of the order is wrong, if it is one field"""


OK: Final = Refusal("", "")


def amount_cents(amount: str) -> int | Refusal:
    """The amount in centavos; AM12 for what is no amount, AM01 for zero."""
    try:
        size = cents(amount)
    except Invalid:
        return Refusal("AM12", "not an amount: digits, a dot, two decimals", "amount")
    return size or Refusal("AM01", "the amount is zero", "amount")


def refusal(payment: Payment, now_ms: int) -> Refusal:
    """The first rule this order breaks, by the SPI's code; OK when it breaks none."""
    size = amount_cents(payment.amount)
    return (
        _address_refusal(payment)
        or (size if isinstance(size, Refusal) else None)
        or _identity_refusal(payment, now_ms)
        or _date_refusal(payment, now_ms)
        or _content_refusal(payment)
        or OK
    )


_ADDRESSES: Final = (
    (end_to_end_id, Refusal("FF08", "the EndToEndId is not one", "end_to_end_id")),
    (ispb, Refusal("RC09", "the payer's ISPB is not one", "payer")),
    (ispb, Refusal("RC10", "the receiver's ISPB is not one", "payee")),
)


def _address_refusal(payment: Payment) -> Refusal | None:
    for check, no in _ADDRESSES:
        try:
            check(getattr(payment, no.field))
        except BadId:
            return no
    return None


def _identity_refusal(payment: Payment, now_ms: int) -> Refusal | None:
    if payment.payer == payment.payee:
        return Refusal("AG12", "both accounts are in one institution", "payee")
    if payment.end_to_end_id[1:9] != payment.payer and payment.local_instrument != "INIC":
        return Refusal("FF08", "the EndToEndId is not of the payer's institution", "end_to_end_id")
    if abs(minute_ms(minute_of(payment.end_to_end_id)) - now_ms) > CLOCK_GAP_MS:
        return Refusal("FF08", "the minute in the EndToEndId is too far from now", "end_to_end_id")
    return None


def _date_refusal(payment: Payment, now_ms: int) -> Refusal | None:
    if not payment.accepted_at:
        return None
    try:
        moment = parse_iso(payment.accepted_at, field="accepted_at")
    except Invalid:
        return Refusal("DT02", "accepted_at is not a time in UTC", "accepted_at")
    if payment.accepted_at[-1] != "Z" or abs(moment - now_ms) > CLOCK_GAP_MS:
        return Refusal("DT02", "accepted_at is not a time near now, in UTC", "accepted_at")
    return None


def _content_refusal(payment: Payment) -> Refusal | None:
    if payment.local_instrument not in rules.INSTRUMENTS:
        return Refusal("CH16", "no such instrument", "local_instrument")
    if payment.purpose not in rules.PURPOSES:
        return Refusal("FF07", "no such purpose", "purpose")
    if payment.service_level not in rules.SERVICE_LEVELS.get(payment.priority, ()):
        return Refusal("CH16", "HIGH goes with PAGPRI, NORM with PAGAGD or PAGFRD", "service_level")
    if payment.payer_account_type not in rules.PAYER_ACCOUNTS:
        return Refusal("CH16", "no such kind of account", "payer_account_type")
    if payment.payee_account_type not in rules.PAYEE_ACCOUNTS:
        return Refusal("CH16", "no kind of account that receives", "payee_account_type")
    breaches = (
        ("key", rules.key_breach(payment.local_instrument, payment.key)),
        ("tx_id", rules.tx_id_breach(payment.local_instrument, payment.tx_id)),
        ("payer_document", rules.document_breach(payment.payer_document)),
        ("payee_document", rules.document_breach(payment.payee_document)),
    )
    return next((Refusal("CH16", breach, field) for field, breach in breaches if breach), None)


def answer_refusal(answer: Answer) -> Refusal:
    """What is wrong with a receiver's answer; OK when nothing is."""
    no = _id_refusal(end_to_end_id, answer.end_to_end_id, "end_to_end_id") or _id_refusal(ispb, answer.payee, "payee")
    if no:
        return no
    if answer.status == "RJCT" and answer.reason not in RECEIVER_CODES:
        return Refusal("CH16", "a refusal needs a receiver's code", "reason")
    return OK


def _id_refusal(check: Callable[[str], str], given: str, field: str) -> Refusal | None:
    try:
        check(given)
    except BadId as bad:
        return Refusal("FF08", f"not an identifier: {bad}", field)
    return None


def return_refusal(order: Return, now_ms: int) -> Refusal:
    """The first rule a return order breaks on its own; OK when it breaks none."""
    if order.end_to_end_id.startswith("D"):
        return Refusal("AG13", "a return cannot be returned", "end_to_end_id")
    no = _id_refusal(end_to_end_id, order.end_to_end_id, "end_to_end_id") or _id_refusal(rtr_id, order.rtr_id, "rtr_id")
    if no:
        return no
    if abs(minute_ms(minute_of(order.rtr_id)) - now_ms) > CLOCK_GAP_MS:
        return Refusal("FF08", "the minute in the RtrId is too far from now", "rtr_id")
    size = amount_cents(order.amount)
    if isinstance(size, Refusal):
        return size
    return OK if order.reason in RETURN_REASONS else Refusal("CH16", "no reason for a return", "reason")
