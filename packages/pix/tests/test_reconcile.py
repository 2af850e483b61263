"""`lastro pix check` finds each kind of planted corruption and names the EndToEndId."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from lastro.core.testing import wait_for
from lastro.pix.engine import accounts, refunds
from lastro.pix.engine.totals import totals
from lastro.pix.settings import PixSettings
from lastro.pix.simulator.world import Manners, World, banks

pytestmark = pytest.mark.anyio

PAYER, PAYEE = "99990001", "99990002"


@pytest.fixture
def pix_settings() -> PixSettings:
    return PixSettings(idle_threshold_ms=1)


async def found(desk: Any) -> set[tuple[str, str]]:
    return {(finding.kind, finding.id) for finding in await desk.findings()}


async def plant(desk: Any, payment: Any, **changes: str) -> None:
    """Change words of a record by hand."""
    records = desk.pix.keys.records(payment.end_to_end_id[9:21])
    names = ["letter", "cents", "payer", "payee", "received", "accepted", "due", "final", "code", "by"]
    words = dict(
        zip(names, (await desk.pix.read.hget(records, payment.end_to_end_id)).decode().split(" "), strict=True)
    )
    await desk.pix.write.hset(records, payment.end_to_end_id, " ".join((words | changes).values()))


async def test_an_honest_engine_has_no_findings(desk: Any, make_original: Any) -> None:
    await desk.settled()
    await desk.pay(desk.order(200_000), desk.order())
    await desk.send(**make_original(1))
    await desk.send(**make_original(1, amount="3.10"))
    await desk.send(**make_original(transaction_id="me@home"))
    await desk.work()
    assert await desk.findings() == []


async def trade(world: World) -> None:
    """At most 500 a second, and never more than a machine keeps up with: what it reads would grow while it reads."""
    while not world.stopping.is_set():
        await world.pay(50, 500)
        await wait_for(lambda: world.stopping.is_set() or not world.waiting, "the payers to hear")


async def test_traffic_is_no_finding_and_a_lasting_fault_in_it_is(desk: Any) -> None:
    """Between two reads a payment goes on: that must not look like corruption."""
    payment = await desk.settled()
    outbox = desk.pix.keys.outbox(PAYER)
    await desk.pix.write.xdel(outbox, (await desk.pix.read.xrange(outbox))[-1][0])
    world = World(desk.pix, banks(4), Manners(answer_p50_s=0.001, answer_p95_s=0.002))
    await world.open()
    async with desk.workers(2), asyncio.TaskGroup() as traffic:
        traffic.create_task(world.receive())
        traffic.create_task(trade(world))
        try:
            await wait_for(lambda: world.seen.outcomes["ACSC"] > 50, "the traffic")
            missing = ("missing_response", payment.end_to_end_id)
            for _ in range(3):
                assert await found(desk) == {missing}
            await desk.pix.write.hincrby(desk.pix.keys.accounts, PAYER, 5_000_000)
            await desk.pix.write.hincrby(desk.pix.keys.accounts, f"{PAYEE}:in", 1_000)
            await desk.pix.write.incrby(desk.pix.keys.cents, 10_000_000)
            faults = {("wrong_balance", PAYER), ("wrong_balance", PAYEE), ("skewed_counter", desk.pix.keys.cents)}
            for _ in range(2):
                # the next settlement writes the centavos as text, and shows the fault there, too
                assert await found(desk) - {("skewed_counter", desk.pix.keys.amount)} == {missing, *faults}
        finally:
            world.stopping.set()


async def test_a_missing_response_is_found(desk: Any) -> None:
    payment = await desk.settled()
    outbox = desk.pix.keys.outbox(PAYER)
    await desk.pix.write.xdel(outbox, (await desk.pix.read.xrange(outbox))[-1][0])
    assert await found(desk) == {("missing_response", payment.end_to_end_id)}


async def test_an_extra_response_is_found(desk: Any) -> None:
    payment = await desk.settled()
    outbox = desk.pix.keys.outbox(PAYER)
    await desk.pix.write.xadd(outbox, (await desk.pix.read.xrange(outbox))[-1][1])
    assert await found(desk) == {("extra_response", payment.end_to_end_id)}


async def test_a_response_to_a_payment_that_never_was_is_found(desk: Any) -> None:
    payment = await desk.settled()
    outbox = desk.pix.keys.outbox(PAYER)
    told = (await desk.pix.read.xrange(outbox))[-1][1]
    ghost = payment.end_to_end_id[:-1] + "Z"
    await desk.pix.write.xadd(outbox, told | {b"id": ghost.encode()})
    assert await found(desk) == {("extra_response", ghost)}


async def test_what_cannot_even_be_read_is_found_and_hides_nothing_else(desk: Any) -> None:
    payment, other = await desk.settled(), await desk.settled(2_000)
    await desk.pix.write.hset(desk.pix.keys.records(payment.end_to_end_id[9:21]), payment.end_to_end_id, "nonsense")
    entry = await desk.pix.write.xadd(desk.pix.keys.outbox(PAYER), {"surprise": "1"})
    outbox = desk.pix.keys.outbox(PAYEE)
    await desk.pix.write.xdel(outbox, (await desk.pix.read.xrange(outbox))[-1][0])
    assert await found(desk) >= {
        ("unreadable", payment.end_to_end_id),
        ("extra_response", entry.decode()),
        ("missing_response", other.end_to_end_id),
    }


async def test_a_wrong_centavo_in_a_response_is_found(desk: Any) -> None:
    payment = await desk.settled()
    outbox = desk.pix.keys.outbox(PAYER)
    entry, told = (await desk.pix.read.xrange(outbox))[-1]
    await desk.pix.write.xdel(outbox, entry)
    await desk.pix.write.xadd(outbox, told | {b"amount_cents": b"1001"})
    assert await found(desk) == {("wrong_amount", payment.end_to_end_id)}


async def test_a_wrong_centavo_in_a_record_is_found(desk: Any) -> None:
    payment = await desk.settled()
    await plant(desk, payment, cents="1001")
    assert ("wrong_amount", payment.end_to_end_id) in await found(desk)


async def test_a_wrong_centavo_in_a_balance_is_found(desk: Any) -> None:
    await desk.settled()
    await desk.pix.write.hincrby(desk.pix.keys.accounts, PAYEE, 1)
    assert await found(desk) == {("wrong_balance", PAYEE)}


async def test_an_orphan_hold_is_found(desk: Any) -> None:
    """A payment that no deadline will free, and a hold that belongs to no payment."""
    payment = desk.order()
    await desk.pay(payment)
    await desk.pix.write.delete(desk.pix.keys.deadlines)
    assert await found(desk) == {("orphan_hold", payment.end_to_end_id)}
    await desk.pix.write.hincrby(desk.pix.keys.accounts, PAYEE, -5)
    await desk.pix.write.hincrby(desk.pix.keys.accounts, f"{PAYEE}:held", 5)
    assert await found(desk) == {("orphan_hold", payment.end_to_end_id), ("orphan_hold", PAYEE)}


async def test_a_stuck_pending_entry_is_found_by_its_payment(desk: Any) -> None:
    payment = desk.order()
    consumer = desk.consumer()
    await consumer.ensure_groups()
    await desk.send(end_to_end_id=payment.end_to_end_id, payer=PAYER, payee=PAYEE, amount="10.00")
    await consumer.read(normal=True)

    async def stuck() -> bool:
        return await found(desk) == {("stuck_pending", payment.end_to_end_id)}

    await wait_for(stuck, "the finding")


@pytest.mark.parametrize(
    "body", [b'{"x":%s%s}' % (b"[" * 1_100, b"]" * 1_100), b'{"x":"\xff"}'], ids=["deep", "no text"]
)
async def test_a_stuck_pending_entry_that_cannot_be_read_is_found_by_its_place(desk: Any, body: bytes) -> None:
    consumer = desk.consumer()
    await consumer.ensure_groups()
    entry = await desk.pix.write.xadd(desk.pix.keys.payments, {"payment": body})
    await consumer.read(normal=True)

    async def stuck() -> bool:
        return await found(desk) == {("stuck_pending", entry.decode())}

    await wait_for(stuck, "the finding")


@pytest.mark.parametrize("name", ["count", "cents", "amount"])
async def test_a_skewed_counter_is_found(desk: Any, name: str) -> None:
    await desk.settled()
    key = getattr(desk.pix.keys, name)
    await desk.pix.write.set(key, "17.00" if name == "amount" else 17)
    assert await found(desk) == {("skewed_counter", key)}


async def test_a_skewed_counter_of_outcomes_is_found(desk: Any) -> None:
    await desk.settled()
    await desk.pix.write.hincrby(desk.pix.keys.counters, "settled", 1)
    assert await found(desk) == {("skewed_counter", f"{desk.pix.keys.counters} settled")}


async def test_a_payment_that_was_given_back_behind_the_books_is_found(desk: Any) -> None:
    payment = await desk.settled()
    await refunds.refund(desk.pix, desk.giving_back(payment, 400))
    await desk.pix.write.hset(desk.pix.keys.returned(payment.end_to_end_id), "cents", 100)
    assert await found(desk) == {("over_returned", payment.end_to_end_id)}


async def test_its_movements_and_its_totals_tell_the_same(desk: Any, make_original: Any) -> None:
    """Whoever keeps books of the movements must come to the totals."""
    settled, refused, waiting = [await desk.settled(700), desk.order(50), desk.order(60)]
    await desk.pay(refused, waiting)
    await desk.answer(refused, reason="AC03")
    await refunds.refund(desk.pix, desk.giving_back(settled, 200))
    await accounts.fund(desk.pix, PAYEE, -100, "out")
    await desk.send(**make_original(1, "12.50"))
    await desk.work()
    sums: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for _, fields in await desk.pix.read.xrange(desk.pix.keys.movements):
        for kind, lines in fields.items():
            for line in lines.decode().split("\n"):
                cents, payer, payee, _ = line.split(" ", 3)
                kinds[kind.decode()] += 1
                if kind == b"confirmed":
                    sums["confirmed"] += int(cents)
                elif kind not in {b"held", b"released"}:
                    sums[f"{payer}.debits"] += int(cents)
                    sums[f"{payee}.credits"] += int(cents)
    assert kinds == {"funded": 2, "held": 3, "settled": 1, "released": 1, "returned": 1, "drawn": 1, "confirmed": 1}
    told = await totals(desk.pix)
    assert {name: (sums[name], sums[name]) for name in told} == told
    assert told["confirmed"] == (1250, 1250)
    assert await desk.findings() == []


async def test_answers_that_a_clock_stamped_too_late_are_heard_when_it_is_right_again(desk: Any) -> None:
    """Ids of a stream never go back: after a clock that was a minute ahead they are, for a minute, in the future."""
    await desk.settled(1_000)
    ahead = f"{await desk.pix.now_ms() + 60_000}-0"
    for outbox in await desk.pix.read.smembers(desk.pix.keys.backends):
        await desk.pix.write.execute_command("XSETID", outbox, ahead)
    await desk.settled(2_000)
    assert await desk.findings() == []
