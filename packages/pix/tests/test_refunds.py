"""Returns: partial, several, never above the original, within ninety days, once per RtrId."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from lastro.pix.engine import accounts, orders, refunds
from lastro.pix.errors import NoSuchPayment, ReturnRefused, SameIdOtherPayment
from lastro.pix.model.ids import make_rtr_id, minute_of
from lastro.pix.model.payment import Return

pytestmark = pytest.mark.anyio

PAYER, PAYEE = "99990001", "99990002"
DAY_MS = 86_400_000


async def refused(desk: Any, order: Return) -> str:
    """The code a return is refused with."""
    with pytest.raises(ReturnRefused) as no:
        await refunds.refund(desk.pix, order)
    return str(no.value.about["spi"])


async def test_a_payment_is_given_back_in_parts_until_nothing_is_left(desk: Any) -> None:
    payment = await desk.settled(1_000)
    await refunds.refund(desk.pix, desk.giving_back(payment, 400))
    await refunds.refund(desk.pix, desk.giving_back(payment, 600))
    assert await desk.balances() == (100_000, 0, 0)
    assert await refunds.left_cents(desk.pix, payment.end_to_end_id) == 0
    assert await refused(desk, desk.giving_back(payment, 1)) == "AM09"
    assert await desk.findings() == []


async def test_of_what_is_not_settled_and_of_a_return_nothing_can_be_given_back(desk: Any) -> None:
    waiting = desk.order(500)
    await desk.pay(waiting)
    assert await refunds.left_cents(desk.pix, waiting.end_to_end_id) == 0
    made = await refunds.refund(desk.pix, desk.giving_back(await desk.settled(1_000), 400))
    assert await refunds.left_cents(desk.pix, made.id) == 0
    with pytest.raises(NoSuchPayment):
        await refunds.left_cents(desk.pix, desk.order().end_to_end_id)


async def test_a_return_is_a_linked_payment_and_the_original_stays_settled(desk: Any) -> None:
    payment = await desk.settled(1_000)
    order = desk.giving_back(payment, 400)
    record = await refunds.refund(desk.pix, order)
    assert (record.state, record.by, record.code) == ("SETTLED", payment.end_to_end_id, "MD06")
    assert (await desk.status(payment)).state == "SETTLED"
    assert [event.what for event in await orders.timeline(desk.pix, payment.end_to_end_id)][-1] == "returned"
    assert (await desk.heard(PAYER))[-1]["message"] == "pacs.004"
    assert (await desk.heard(PAYEE))[-1] | {"message": "pacs.002", "status": "ACSC"} == (await desk.heard(PAYEE))[-1]


async def test_a_return_sent_twice_gives_back_once(desk: Any) -> None:
    payment = await desk.settled(1_000)
    order = desk.giving_back(payment, 400)
    assert await refunds.refund(desk.pix, order) == await refunds.refund(desk.pix, order)
    assert await desk.balances() == (99_400, 0, 600)
    with pytest.raises(SameIdOtherPayment):
        await refunds.refund(desk.pix, msgspec.structs.replace(order, amount="5.00"))


async def test_a_return_sent_again_long_after_the_minute_in_its_id_is_the_same(desk: Any) -> None:
    payment = await desk.settled(1_000)
    order = desk.giving_back(payment, 400)
    await refunds.refund(desk.pix, order)
    line = await desk.pix.read.hget(desk.pix.keys.records(minute_of(order.rtr_id)), order.rtr_id)
    rtr_id = make_rtr_id(PAYEE, datetime.now(UTC) - timedelta(hours=13), "a" * 11)
    old = msgspec.structs.replace(order, rtr_id=rtr_id)
    with pytest.raises(ReturnRefused, match="too far from now"):
        await refunds.refund(desk.pix, old)
    await desk.pix.open_minutes([minute_of(rtr_id)])
    await desk.pix.write.hset(desk.pix.keys.records(minute_of(rtr_id)), rtr_id, line)  # as if it was made then
    assert (await refunds.refund(desk.pix, old)).by == payment.end_to_end_id
    assert await desk.balances() == (99_400, 0, 600)
    with pytest.raises(ReturnRefused):
        await refunds.refund(desk.pix, msgspec.structs.replace(old, amount="5.00"))


async def test_returns_race_and_never_exceed_the_original(desk: Any) -> None:
    payment = await desk.settled(1_000)
    told = await asyncio.gather(
        *(refunds.refund(desk.pix, desk.giving_back(payment, 300)) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(answer, ReturnRefused) for answer in told) == 7
    assert await desk.balances() == (99_900, 0, 100)
    assert await desk.findings() == []


async def test_what_cannot_be_returned_is_refused_with_its_code(desk: Any) -> None:
    payment = await desk.settled(1_000)
    accepted = desk.order()
    await desk.pay(accepted)
    made = desk.giving_back(payment, 100)
    await refunds.refund(desk.pix, made)
    cases = {
        "AGNT": desk.giving_back(accepted, 100),
        "AG13": msgspec.structs.replace(desk.giving_back(payment, 100), end_to_end_id=made.rtr_id),
        "AM01": desk.giving_back(payment, 0),
        "AM12": msgspec.structs.replace(desk.giving_back(payment, 100), amount="1e3"),
        "CH16": desk.giving_back(payment, 100, reason="AC03"),
        "FF08": desk.giving_back(payment, 100, rtr_id=payment.end_to_end_id),
    }
    assert {code: await refused(desk, order) for code, order in cases.items()} == {code: code for code in cases}
    with pytest.raises(NoSuchPayment):
        await refunds.refund(desk.pix, desk.giving_back(desk.order(), 100))


async def test_a_stranger_cannot_give_back_what_another_received(desk: Any) -> None:
    payment = await desk.settled(1_000)
    order = desk.giving_back(msgspec.structs.replace(payment, payee="99990003"), 100)
    assert await refused(desk, order) == "AGNT"


@pytest.mark.parametrize("suspended", [PAYER, PAYEE])
async def test_a_suspended_participant_neither_gives_back_nor_is_given_back_to(desk: Any, suspended: str) -> None:
    """What was given back before is answered as it was; once active again, the same return goes through."""
    payment = await desk.settled(1_000)
    before, after = desk.giving_back(payment, 400), desk.giving_back(payment, 600)
    given = await refunds.refund(desk.pix, before)
    await accounts.suspend(desk.pix, suspended, active=False)
    assert await refused(desk, after) == "DS27"
    assert await refunds.refund(desk.pix, before) == given
    assert await desk.balances() == (99_400, 0, 600)
    await accounts.suspend(desk.pix, suspended, active=True)
    await refunds.refund(desk.pix, after)
    assert await desk.balances() == (100_000, 0, 0)
    assert await desk.findings() == []


async def test_after_ninety_days_it_is_too_late(desk: Any) -> None:
    """The record is aged by hand: nobody waits ninety days for a test."""
    payment = await desk.settled(1_000)
    records = desk.pix.keys.records(payment.end_to_end_id[9:21])
    words = (await desk.pix.read.hget(records, payment.end_to_end_id)).decode().split(" ")
    words[4] = str(int(words[4]) - 91 * DAY_MS)
    await desk.pix.write.hset(records, payment.end_to_end_id, " ".join(words))
    assert await refused(desk, desk.giving_back(payment, 100)) == "DT05"


async def test_a_receiver_that_has_spent_the_money_cannot_give_it_back(desk: Any) -> None:
    payment = await desk.settled(1_000)
    await desk.pay(desk.order(900, payer=PAYEE, payee=PAYER))
    assert await refused(desk, desk.giving_back(payment, 500)) == "AM04"
