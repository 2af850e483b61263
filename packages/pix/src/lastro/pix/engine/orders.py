"""Payments from the caller's side: submit, answer, ask what became of one."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from lastro.core import tracing
from lastro.core.errors import Invalid
from lastro.core.keys import Key
from lastro.pix import scripts
from lastro.pix.errors import Behind, NoSuchPayment, PaymentRefused, SameIdOtherPayment, TooManyPayments
from lastro.pix.model.ids import BadId, end_to_end_id, minute_of, rtr_id
from lastro.pix.model.payment import Answer, Payment, Refusal, amount_cents, answer_refusal, refusal
from lastro.pix.model.record import Record

from .archive import find
from .deadlines import read_records
from .pix import Pix

BULK_MAX = 500  # payments of one participant in one call
TOKEN = 100
PAYMENT_PRICE, ANSWER_PRICE = TOKEN, TOKEN // 5  # a pacs.008, a pacs.002


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a payment's life."""

    at_ms: int
    what: str
    detail: str = ""


async def submit(pix: Pix, payments: Sequence[Payment]) -> list[Record | None]:
    """Take orders of one payer and priority into the stream: the record of each that was here before, or None.

    All are taken or none is: a broken rule raises PaymentRefused, one id of two payments, in this call too,
    SameIdOtherPayment, an empty token bucket TooManyPayments, more than fits a full one Invalid, a long queue Behind;
    nothing enters a stream then. Safe to repeat.
    """
    if len({(payment.payer, payment.priority) for payment in payments}) > 1:
        raise Invalid(field="payer", reason="one payer and one priority in one call: one token bucket, one stream")
    began, now = tracing.now(), await pix.now_ms()
    known = {record.id: record for record in await read_records(pix, [payment.end_to_end_id for payment in payments])}
    fresh = [payment for payment in payments if not _same(known.get(payment.end_to_end_id), payment)]
    entering: dict[str, Payment] = {}  # one that is here twice, once
    for payment in fresh:  # of a repeat nothing is asked again: its minute may be long ago
        no = refusal(payment, now)
        if no.code:
            raise PaymentRefused(
                field=no.field, reason=no.reason, spi=no.code, end_to_end_id=payment.end_to_end_id[:40]
            )
        first = entering.setdefault(payment.end_to_end_id, payment)
        if payment.end_to_end_id in known or _content(first) != _content(payment):
            raise SameIdOtherPayment(end_to_end_id=payment.end_to_end_id, spi="FF08")
    if entering:
        stream = pix.keys.payments if fresh[0].priority == "HIGH" else pix.keys.normal
        bodies = [msgspec.json.encode(payment) for payment in entering.values()]
        await _enter(pix, stream, fresh[0].payer, bodies, field="payment", price=PAYMENT_PRICE)
        for payment_id in entering:
            tracing.record("pix.submit", payment_id, began, root=True, payer=fresh[0].payer)
    return [known.get(payment.end_to_end_id) for payment in payments]


async def _enter(pix: Pix, stream: Key, sender: str, bodies: Sequence[bytes], *, field: str, price: int) -> None:
    settings = pix.settings
    if len(bodies) * price > settings.tokens * TOKEN:
        raise Invalid(field=field, reason=f"{len(bodies)} at once are more than a full token bucket: {settings.tokens}")
    reply = await scripts.submit(
        pix.hub.write,
        messages=stream,
        tokens=pix.keys.tokens(sender),
        lag_max=settings.lag_max,
        capacity=settings.tokens,
        per_second=settings.tokens_per_second,
        field=field,
        price=price,
        bodies=bodies,
    )
    if reply[0] == b"busy":
        raise Behind
    if reply[0] == b"wait":
        raise TooManyPayments(ispb=sender, retry_after_seconds=-(-int(reply[1]) // 1000))


def _same(before: Record | None, payment: Payment) -> bool:
    return before is not None and (before.cents, before.payer, before.payee) == _content(payment)


def _content(payment: Payment) -> tuple[int | Refusal, str, str]:
    """What must be the same under one id (decision 0204)."""
    return amount_cents(payment.amount), payment.payer, payment.payee


async def answer(pix: Pix, answers: Sequence[Answer]) -> None:
    """Take one receiver's answers into their stream, all or none.

    Raises PaymentRefused for one that breaks a rule, TooManyPayments, Invalid, Behind.
    """
    for given in answers:
        no = answer_refusal(given)
        if no.code:
            raise PaymentRefused(field=no.field, reason=no.reason, spi=no.code, end_to_end_id=given.end_to_end_id[:40])
    if len({given.payee for given in answers}) != 1:
        raise Invalid(field="payee", reason="one receiver in one call: one token bucket")
    bodies = [msgspec.json.encode(given) for given in answers]
    await _enter(pix, pix.keys.answers, answers[0].payee, bodies, field="answer", price=ANSWER_PRICE)


async def status(pix: Pix, payment_id: str) -> Record:
    """What is known of a payment or return. Raises NoSuchPayment."""
    try:
        (rtr_id if payment_id.startswith("D") else end_to_end_id)(payment_id)
    except BadId:
        raise NoSuchPayment(end_to_end_id=payment_id[:40]) from None
    line = await pix.read.hget(pix.keys.records(minute_of(payment_id)), payment_id)
    if line:
        record = Record.parse(payment_id, line.decode())
        if not record.archived:
            return record
        return await find(pix, payment_id) or record
    found = await find(pix, payment_id)
    if found is None:
        raise NoSuchPayment(end_to_end_id=payment_id)
    return found


async def returns_of(pix: Pix, payment_id: str) -> list[Record]:
    """The returns of a payment, oldest first."""
    found = await pix.read.hgetall(pix.keys.returned(payment_id))
    made = []
    for name, value in found.items():
        if name != b"cents":
            cents, reason, at_ms = value.decode().split(" ")
            made.append(
                Record(
                    id=name.decode(),
                    letter="S",
                    cents=int(cents),
                    payer="",
                    payee="",
                    received_ms=int(at_ms),
                    code=reason,
                )
            )
    return sorted(made, key=lambda record: (record.received_ms, record.id))


async def timeline(pix: Pix, payment_id: str) -> list[Event]:
    """What happened to a payment, in order, its returns included. Raises NoSuchPayment."""
    record = await status(pix, payment_id)
    events = [Event(record.received_ms, "received", f"{record.cents} centavos, {record.payer} to {record.payee}")]
    if record.is_return:
        events = [Event(record.received_ms, "settled", f"gives back {record.by}, {record.code}")]
    elif record.is_original:
        events.append(Event(record.final_ms, "settled", "confirmed"))
    elif record.archived:
        events.append(Event(record.received_ms, record.state.lower(), "its times are in the archive"))
    else:
        if record.letter != "R" or record.by != "spi":
            events.append(Event(record.accepted_ms, "accepted", f"funds held, {record.payee} asked"))
        if record.final:
            detail = f"{record.code}, by {record.by}" if record.code else "irrevocable"
            events.append(Event(record.final_ms, record.state.lower(), detail))
    events += [
        Event(made.received_ms, "returned", f"{made.cents} centavos by {made.id}, {made.code}")
        for made in await returns_of(pix, payment_id)
    ]
    return events
