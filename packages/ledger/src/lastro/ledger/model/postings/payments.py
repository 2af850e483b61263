"""Payments: a stream entry is a payment at its end. What is dead moved nothing."""

from collections.abc import Iterator, Mapping

from lastro.core.errors import Invalid
from lastro.ledger.model.ids import name_of

from .movement import Kind, Movement, Subject, account

RECEIVED, FEES = "pay:received", "pay:fees"
PROCESSORS = {"default": "pay:default", "fallback": "pay:fallback"}


def payments_movements(fields: Mapping[bytes, bytes]) -> Iterator[Movement]:
    """The payment, and what the processor kept of it. Raises Invalid, naming the field."""
    told = {name.decode(): value.decode() for name, value in fields.items()}
    if told.get("state") == "dead":
        return
    for field in ("correlation_id", "state", "processor", "amount_cents", "fee_cents"):
        if field not in told:
            raise Invalid(field=field, reason="is missing")
    if told["state"] != "done" or told["processor"] not in PROCESSORS:
        field = "processor" if told["state"] == "done" else "state"
        raise Invalid(field=field, reason=f"{told[field]!r} is not known")
    processor, name = account(PROCESSORS[told["processor"]], Kind.PAYMENTS_PROCESSOR), told["correlation_id"]
    received, fees = account(RECEIVED, Kind.PAYMENTS_RECEIVED), account(FEES, Kind.PAYMENTS_FEES)
    yield Movement.of(f"payments:done:{name}", _cents(told, "amount_cents"), processor, received)
    yield Movement.of(f"payments:fee:{name}", _cents(told, "fee_cents"), fees, processor)


def _cents(told: Mapping[str, str], field: str) -> int:
    if not (told[field].isascii() and told[field].isdecimal()):
        raise Invalid(field=field, reason=f"must be whole centavos, not {told[field]!r}")
    return int(told[field])


def _sum_of(account_id: int, side: str) -> str | None:
    """What the processors took; what they kept, payments sums up unrounded."""
    processor = name_of(account_id).removeprefix("pay:")
    return f"{processor}.cents" if processor in PROCESSORS and side == "debits" else None


PAYMENTS = Subject(name="payments", read=payments_movements, kinds=(Kind.PAYMENTS_PROCESSOR,), sum_of=_sum_of)
