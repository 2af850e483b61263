"""Workers: they take over what the dead held while traffic flows, isolate poison, and survive a flushed server."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from lastro.core.errors import LastroError
from lastro.core.testing import wait_for
from lastro.pix import scripts
from lastro.pix.engine import accounts, orders, retention
from lastro.pix.engine.letters import letters
from lastro.pix.model.payment import Answer
from lastro.pix.settings import PixSettings
from lastro.pix.simulator.world import Manners, World

pytestmark = pytest.mark.anyio

PAYER, PAYEE = "99990001", "99990002"
THRESHOLD_MS = 100


async def settled(desk: Any) -> int:
    return int(await desk.pix.read.get(desk.pix.keys.count) or 0)


async def orphan(desk: Any, *payments: Any) -> None:
    """Payments a worker took and died with."""
    dead = desk.consumer()
    await dead.ensure_groups()
    await orders.submit(desk.pix, payments)
    await dead.read(normal=True)


async def test_what_a_dead_worker_held_is_taken_over_while_traffic_flows(desk: Any) -> None:
    """The original demo reclaims only when nothing else comes; an orphan then waits for ever."""
    orphans = [desk.order(100) for _ in range(100)]
    await orphan(desk, *orphans)
    world = World(desk.pix, [PAYER, PAYEE], Manners(answer_p50_s=0))
    async with desk.workers(2), asyncio.TaskGroup() as traffic:
        traffic.create_task(world.receive())
        traffic.create_task(world.pay(10**9, per_second=200))

        async def all_taken_over() -> bool:
            accepted = [await desk.pix.read.hexists(_records(desk, p), p.end_to_end_id) for p in orphans]
            return all(accepted)

        await wait_for(all_taken_over, "the take-over")
        world.stopping.set()
    assert world.seen.sent > 0


def _records(desk: Any, payment: Any) -> str:
    return str(desk.pix.keys.records(payment.end_to_end_id[9:21]))


async def test_an_entry_whose_workers_keep_dying_is_buried_and_its_neighbours_settle(desk: Any) -> None:
    """A poison entry outlives deliveries_max workers; what was read with it is settled the first time it is alone."""
    poison, neighbour = desk.order(100), desk.order(100)
    await orphan(desk, poison, neighbour)
    source, group = desk.pix.keys.payments, desk.pix.settings.group
    first = (await desk.pix.read.xrange(source, count=1))[0][0]
    for _ in range(desk.pix.settings.deliveries_max - 1):
        await desk.pix.write.xclaim(source, group, "another that dies", 0, [first])
    async with desk.workers(1):

        async def buried() -> bool:
            return len(await letters(desk.pix)) == 1 and await desk.pix.read.xlen(source) == 0

        await wait_for(buried, "the burial")
    (letter,) = await letters(desk.pix)
    assert (letter.code, letter.reason) == ("AB09", "its workers died")
    assert poison.end_to_end_id in letter.fields["payment"]
    assert (await desk.status(neighbour)).state == "ACCEPTED"


@pytest.mark.parametrize("pix_settings", [PixSettings(idle_threshold_ms=THRESHOLD_MS, deliveries_max=4)], ids=["hasty"])
async def test_a_store_that_refuses_for_long_buries_nothing(desk: Any) -> None:
    """Whoever took over lives, and waits: nobody takes over from it, and no delivery counts.

    Where the machine stands still for longer than the threshold, one takes over from all: that may happen twice.
    """
    order = desk.order(100)
    await orphan(desk, order)
    await desk.pix.write.config_set("maxmemory", 1)
    refused_until = time.monotonic() + 8 * THRESHOLD_MS / 1000
    try:
        async with desk.workers(4):
            await wait_for(lambda: time.monotonic() > refused_until)
            await desk.pix.write.config_set("maxmemory", 0)
            await wait_for(lambda: _is(desk, order, "ACCEPTED"), "the acceptance")
    finally:
        await desk.pix.write.config_set("maxmemory", 0)
    assert await letters(desk.pix) == []


async def _is(desk: Any, payment: Any, state: str) -> bool:
    try:
        return bool((await desk.status(payment)).state == state)
    except LastroError:
        return False


async def test_a_key_of_the_wrong_type_stops_only_the_payments_that_need_it(desk: Any) -> None:
    """Somebody wrote a string where a receiver's outbox should be: that payment is buried whole, nothing half done."""
    await desk.pix.write.set(desk.pix.keys.outbox("99990003"), "not a stream", ex=60)
    await accounts.fund(desk.pix, "99990003", 0, "open")
    bad, good = desk.order(100, payee="99990003"), desk.order(100)
    await desk.pay(bad, good)
    assert (await desk.status(good)).state == "ACCEPTED"
    assert await desk.balances() == (99_900, 100, 0)
    (letter,) = await letters(desk.pix)
    assert letter.code == "AB09"
    assert "is a string" in letter.reason


async def test_a_flushed_server_is_a_new_beginning_not_an_end(desk: Any) -> None:
    """NOGROUP stops or spins other frameworks; here the group comes back at the oldest entry."""
    async with desk.workers(1):
        await desk.pix.write.flushall()
        await desk.open()
        payment = desk.order(100)
        await orders.submit(desk.pix, [payment])

        async def accepted() -> bool:
            return bool(await desk.pix.read.hexists(_records(desk, payment), payment.end_to_end_id))

        await wait_for(accepted, "the payment")
    minute = payment.end_to_end_id[9:21]
    assert await desk.pix.read.zscore(desk.pix.keys.minutes, minute), "a minute that nobody would ever forget"


async def test_a_stopping_worker_finishes_what_it_has_in_hand(desk: Any) -> None:
    payments = [desk.order(100) for _ in range(500)]
    async with desk.workers(1):
        await orders.submit(desk.pix, payments)

        async def begun() -> bool:
            return bool(await desk.pix.read.hlen(_records(desk, payments[0])) > 1)

        await wait_for(begun, "the first batch")
    pending = await desk.pix.read.xpending(desk.pix.keys.payments, desk.pix.settings.group)
    assert pending["pending"] == 0


async def test_four_workers_settle_each_payment_once(desk: Any) -> None:
    await desk.open()
    payments = [desk.order(10) for _ in range(2_000)]
    async with desk.workers(4):
        for start in range(0, 2_000, 500):
            await orders.submit(desk.pix, payments[start : start + 500])

        async def asked() -> bool:
            return bool(await desk.pix.read.xlen(desk.pix.keys.outbox(PAYEE)) == 2_000)

        await wait_for(asked, "the requests", 60)
        for start in range(0, 2_000, 500):
            await desk.answer(*payments[start : start + 500])

        async def done() -> bool:
            return await settled(desk) == 2_000

        await wait_for(done, "the settlements", 60)
    assert await desk.balances() == (80_000, 0, 20_000)
    assert await desk.findings() == []


async def test_two_hundred_payments_race_through_four_workers_for_the_funds_of_one_hundred(desk: Any) -> None:
    payments = [desk.order(1_000) for _ in range(200)]
    async with desk.workers(4):
        await asyncio.gather(*(orders.submit(desk.pix, payments[at : at + 10]) for at in range(0, 200, 10)))

        async def decided() -> bool:
            told = await desk.pix.read.hmget(desk.pix.keys.counters, ["accepted", "rejected:AM04"])
            return bool(told == [b"100", b"100"])

        await wait_for(decided, "two hundred decisions")
    assert await desk.balances() == (0, 100_000, 0)
    await desk.answer(*[payment for payment in payments if (await desk.status(payment)).state == "ACCEPTED"])
    assert await desk.balances() == (0, 0, 100_000)
    assert await desk.findings() == []


async def test_a_batch_whose_answer_was_lost_is_sent_again_and_changes_nothing(desk: Any, make_original: Any) -> None:
    """The script ran, its reply never came: the worker repeats the very same call."""
    payment = desk.order(1_000)
    await orders.submit(desk.pix, [payment])
    await desk.send(**make_original(1))
    consumer = desk.consumer()
    await consumer.ensure_groups()

    async def twice() -> None:
        found = await consumer.read(normal=True)
        await consumer.process_all(found)
        await consumer.process_all(found)

    await twice()
    await orders.answer(desk.pix, [Answer(end_to_end_id=payment.end_to_end_id, payee=PAYEE, status="ACSP")])
    await twice()
    assert await desk.balances() == (99_000, 0, 1_000)
    assert [len(await desk.heard(backend)) for backend in (PAYER, PAYEE, "1")] == [1, 2, 1]
    assert await desk.findings() == []


async def test_plain_mode_counts_and_answers_nobody(desk: Any, make_original: Any) -> None:
    """The original's plain consumer: the counters, no response streams."""
    plain = type(desk)(
        type(desk.pix)(desk.pix.hub, desk.pix.settings.model_copy(update={"mode": "plain"}), desk.pix.keys)
    )
    for number in range(10):
        await plain.send(**make_original(number, amount="1.10"))
    await plain.work()
    assert await plain.pix.read.mget(plain.pix.keys.count, plain.pix.keys.amount) == [b"10", b"11.00"]
    assert await plain.heard("1") == []
    assert await plain.findings() == []


async def test_a_consumer_that_is_gone_is_forgotten_only_with_empty_hands(desk: Any) -> None:
    """DELCONSUMER drops what a consumer holds: the money in it would be lost."""
    await orphan(desk, desk.order(100))
    idle = desk.consumer()
    await idle.read(normal=True)

    async def names() -> int:
        return len(await desk.pix.read.xinfo_consumers(desk.pix.keys.payments, desk.pix.settings.group))

    async def dismissed() -> bool:
        await scripts.dismiss(
            desk.pix.hub.write, source=desk.pix.keys.payments, group=desk.pix.settings.group, idle_ms=0
        )
        return await names() == 1

    await wait_for(dismissed, "the idle one to be forgotten")
    assert await retention.dismiss(desk.pix) == 0
    assert (await desk.pix.read.xpending(desk.pix.keys.payments, desk.pix.settings.group))["pending"] == 1


async def test_single_fields_are_as_good_as_json(desk: Any) -> None:
    """For whoever writes a payment by hand with redis-cli."""
    payment = desk.order(1_000)
    await desk.send(**msgspec.to_builtins(payment))
    await desk.work()
    await desk.send(source=desk.pix.keys.answers, end_to_end_id=payment.end_to_end_id, payee=PAYEE, status="ACSP")
    await desk.work()
    assert (await desk.status(payment)).state == "SETTLED"
