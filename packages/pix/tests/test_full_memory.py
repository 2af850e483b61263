"""While memory is full nothing new is taken, and all goes on that frees some, ends a hold or only looks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lastro.core.errors import Busy
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.worker import Run
from lastro.pix import scripts
from lastro.pix.engine import accounts, deadlines, orders, outbox, retention
from lastro.pix.engine.totals import totals
from lastro.pix.model.payment import Answer
from lastro.pix.settings import PixSettings
from lastro.pix.worker.retain import keep_bounded

pytestmark = pytest.mark.anyio  # on all servers: they do not refuse the same

PAYER, PAYEE = "99990001", "99990002"


@asynccontextmanager
async def full(desk: Any) -> AsyncIterator[None]:
    """Memory is full until the block ends; a command that needs some is refused."""
    await desk.pix.write.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(Busy):
            await orders.submit(desk.pix, [desk.order(1)])
        yield
    finally:
        await desk.pix.write.config_set("maxmemory", "0")


async def waiting(desk: Any, count: int = 1) -> Sequence[Any]:
    """Payments whose funds are held, and whose receiver is asked."""
    made = [desk.order(100) for _ in range(count)]
    await desk.pay(*made)
    return made


@pytest.mark.parametrize("pix_settings", [PixSettings(retention_seconds=1, unread_seconds=1)], ids=["short"])
async def test_what_is_older_than_its_retention_goes(desk: Any) -> None:
    """The runbook's way out is a shorter retention: it helps when nothing else does."""
    pix, run = desk.pix, Run(hub=desk.pix.hub, settings=Settings())
    for _ in range(3):
        await desk.settled(100)
    for minute in await pix.read.zrange(pix.keys.minutes, 0, -1):
        await pix.write.zadd(pix.keys.minutes, {minute: 0})
    async with full(desk):
        retaining = asyncio.create_task(keep_bounded(pix, run))

        async def empty() -> bool:
            return not await pix.read.xlen(pix.keys.outbox(PAYER)) + await pix.read.xlen(pix.keys.outbox(PAYEE))

        try:
            await wait_for(empty, "the trimming")
        finally:
            run.stopping.set()
            await retaining
        assert await retention.take_turn(pix, "another", 1) is False
        assert await retention.dismiss(pix) == 0
        await retention.archive(pix)
        assert await pix.read.zcount(pix.keys.minutes, "-inf", 0) == 0, "a minute that was not put off"


@pytest.mark.parametrize("pix_settings", [PixSettings(deadline_ms=300)], ids=["hasty"])
async def test_holds_end_at_their_deadline(desk: Any) -> None:
    (payment,) = await waiting(desk)
    async with full(desk), desk.workers(1):

        async def over() -> bool:
            return bool((await desk.status(payment)).state == "EXPIRED")

        await wait_for(over, "the deadline")
        assert await desk.balances() == (100_000, 0, 0)


async def test_a_hold_that_cannot_be_swept_is_set_aside_for_the_others(desk: Any) -> None:
    """Its payer's outbox is no stream: those that came with it end, and it is tried again later."""
    pix = desk.pix
    await accounts.fund(pix, "99990003", 1_000, "open")
    bad, good = desk.order(100, payer="99990003"), desk.order(100)
    await orders.submit(pix, [bad])
    await desk.pay(good)
    for member in await pix.read.zrange(pix.keys.deadlines, 0, -1):
        await pix.write.zadd(pix.keys.deadlines, {member: 0})
    await pix.write.set(pix.keys.outbox("99990003"), "not a stream", ex=60)
    async with full(desk):
        await wait_for(lambda: deadlines.expire(pix), "the other's end")
        assert (await desk.status(good)).state == "EXPIRED"
        ((member, at_ms),) = await pix.read.zrange(pix.keys.deadlines, 0, -1, withscores=True)
        assert member == bad.end_to_end_id.encode()
        assert at_ms > await pix.now_ms()


async def test_a_worker_that_starts_takes_the_answers_that_wait(desk: Any) -> None:
    (payment,) = await waiting(desk)
    await orders.answer(desk.pix, [Answer(end_to_end_id=payment.end_to_end_id, payee=PAYEE, status="ACSP")])
    async with full(desk), desk.workers(1):

        async def settled() -> bool:
            return bool((await desk.status(payment)).state == "SETTLED")

        await wait_for(settled, "the settlement")


@pytest.mark.parametrize("pix_settings", [PixSettings(read_count=1, idle_threshold_ms=300)], ids=["one at a time"])
async def test_payments_that_wait_for_memory_do_not_keep_answers_waiting(desk: Any) -> None:
    """A worker has only so much in its hands; its hands are full of payments here."""
    accepted = await waiting(desk, 8)
    later = [desk.order(100) for _ in range(5)]
    await orders.submit(desk.pix, later)
    given = [Answer(end_to_end_id=payment.end_to_end_id, payee=PAYEE, status="ACSP") for payment in accepted]
    await orders.answer(desk.pix, given)

    async def settled() -> bool:
        return {(await desk.status(payment)).state for payment in accepted} == {"SETTLED"}

    async def taken() -> bool:
        return not await desk.pix.read.xlen(desk.pix.keys.payments)

    async with full(desk), desk.workers(1):
        await wait_for(settled, "the settlements")
        assert not await taken()
    async with desk.workers(1):
        await wait_for(taken, "the payments")
    assert [(await desk.status(payment)).state for payment in later] == ["ACCEPTED"] * 5


@pytest.mark.parametrize("pix_settings", [PixSettings(idle_threshold_ms=300)], ids=["soon"])
async def test_answers_of_a_dead_worker_are_taken_over_while_payments_that_were_wait(desk: Any) -> None:
    """Who takes over has a payment in its hands, and waits with it for memory, when the answer comes to be due."""
    pix, group = desk.pix, desk.pix.settings.group
    (payment,) = await waiting(desk)
    await orders.submit(pix, [desk.order(100)])
    await orders.answer(pix, [Answer(end_to_end_id=payment.end_to_end_id, payee=PAYEE, status="ACSP")])
    for source in (pix.keys.payments, pix.keys.answers):
        await scripts.open_group(pix.hub.write, source=source, group=group, make=1)
    read: Any = await pix.write.xreadgroup(group, "dead", {pix.keys.payments: ">", pix.keys.answers: ">"})
    entry = {source.decode(): entries[0][0] for source, entries in read}

    async def settled() -> bool:
        return bool((await desk.status(payment)).state == "SETTLED")

    async with full(desk):
        for source, idle_ms in ((pix.keys.payments, 1_000), (pix.keys.answers, 0)):
            await pix.write.xclaim(source, group, "dead", 0, [entry[source]], idle=idle_ms, justid=True)
        async with desk.workers(1):
            await wait_for(settled, "the settlement", 10)


async def test_readers_come_and_get_what_is_theirs(desk: Any) -> None:
    """What they acknowledge may be trimmed: also for the first reader of an outbox, whose group there was not."""
    (payment,) = await waiting(desk)
    async with full(desk):
        await outbox.start(desk.pix, PAYEE, "reader")
        page = await outbox.pull(desk.pix, PAYEE, "reader", wait_seconds=0)
        assert [message.fields["id"] for message in page.messages] == [payment.end_to_end_id]
        await outbox.stop(desk.pix, PAYEE, "reader", got=page.name)
        await outbox.start(desk.pix, PAYER, "reader")
        assert (await outbox.pull(desk.pix, PAYER, "reader", wait_seconds=0)).messages == []
        assert await desk.pix.read.exists(desk.pix.keys.outbox(PAYER)) == 0


async def test_the_check_looks_and_a_participant_can_be_suspended(desk: Any) -> None:
    await waiting(desk)
    async with full(desk):
        assert await desk.findings() == []
        assert (await totals(desk.pix))[f"{PAYER}.credits"] == (100_000, 100_000)
        assert not (await accounts.suspend(desk.pix, PAYER, active=False)).active
