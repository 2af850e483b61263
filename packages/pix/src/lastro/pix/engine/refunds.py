"""Returns: a receiver gives a settled payment back, whole or in part, as another payment linked to the first."""

import msgspec

from lastro.pix import scripts
from lastro.pix.errors import NoSuchPayment, ReturnRefused, SameIdOtherPayment
from lastro.pix.model.ids import minute_of
from lastro.pix.model.payment import Refusal, Return, amount_cents, return_refusal
from lastro.pix.model.record import Record

from .orders import status
from .pix import HOUR_MS, Pix

RETURN_DAYS = 90
DAY_MS = 24 * HOUR_MS
REFUSALS = {
    "unknown": Refusal("AGNT", "no settled payment that this participant received", "end_to_end_id"),
    "off": Refusal("DS27", "the giver or the taker is not active"),
    "late": Refusal("DT05", "more than 90 days after the settlement", "end_to_end_id"),
    "above": Refusal("AM09", "more than is left of the original", "amount"),
    "short": Refusal("AM04", "the Conta PI does not cover it", "amount"),
    "closed": Refusal("FF08", "the minute in the RtrId is over", "rtr_id"),
}


async def refund(pix: Pix, order: Return) -> Record:
    """Give back, at once and for good. The giver is whom the RtrId names. Safe to repeat.

    Raises ReturnRefused with the SPI's code, NoSuchPayment, SameIdOtherPayment for a used RtrId.
    """
    no = return_refusal(order, await pix.now_ms())
    if no.code == "FF08" and (before := await _made(pix, order)):
        return before  # a repeat, long after the minute in its id
    if no.code:
        raise ReturnRefused(field=no.field, reason=no.reason, spi=no.code)
    original = await status(pix, order.end_to_end_id)
    if original.state != "SETTLED" or original.payee != order.sender or original.is_original:
        raise _refused("unknown")
    cents = amount_cents(order.amount)
    assert isinstance(cents, int)  # return_refusal has looked
    minute = minute_of(order.rtr_id)
    await pix.open_minutes([minute])
    word = await _give(pix, order, original, cents)
    if word == "closed":  # the server was flushed since
        await pix.open_minutes([minute], again=True)
        word = await _give(pix, order, original, cents)
    if word == "conflict":
        raise SameIdOtherPayment(end_to_end_id=order.rtr_id, spi="FF08")
    if word in REFUSALS:
        raise _refused(word)
    return await status(pix, order.rtr_id)


def _refused(word: str) -> ReturnRefused:
    no = REFUSALS[word]
    return ReturnRefused(field=no.field, reason=no.reason, spi=no.code)


async def _made(pix: Pix, order: Return) -> Record | None:
    try:
        before = await status(pix, order.rtr_id)
    except NoSuchPayment:
        return None
    same = (before.cents, before.by) == (amount_cents(order.amount), order.end_to_end_id)
    return before if before.is_return and same else None


async def _give(pix: Pix, order: Return, original: Record, cents: int) -> str:
    keys, giver = pix.keys, original.payee
    return await scripts.refund(
        pix.hub.write,
        records=keys.records(minute_of(order.rtr_id)),
        originals=keys.records(minute_of(original.id)),
        returned=keys.returned(original.id),
        accounts=keys.accounts,
        counters=keys.counters,
        backends=keys.backends,
        outbox_from=keys.outbox(giver),
        outbox_to=keys.outbox(original.payer),
        movements=keys.movements,
        rtr_id=order.rtr_id,
        original=original.id,
        amount_cents=cents,
        reason=order.reason,
        giver=giver,
        taker=original.payer,
        archived_cents=str(original.cents),
        settled_ms=original.final_ms or original.received_ms,
        age_ms_max=RETURN_DAYS * DAY_MS,
        body=msgspec.json.encode(order),
        remember_seconds=(RETURN_DAYS + 1) * DAY_MS // 1000,
    )


async def left_cents(pix: Pix, payment_id: str) -> int:
    """What of a payment can still be given back: of one that is not settled, and of a return, nothing.

    Raises NoSuchPayment.
    """
    record = await status(pix, payment_id)
    if record.state != "SETTLED" or record.is_return:
        return 0
    returned = await pix.read.hget(pix.keys.returned(payment_id), "cents")
    return record.cents - int(returned or 0)
