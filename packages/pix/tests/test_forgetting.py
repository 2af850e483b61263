"""A minute is forgotten after the window for repeats, and the books still add up without it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from lastro.pix import scripts
from lastro.pix.engine import refunds, retention
from lastro.pix.engine.deadlines import expire
from lastro.pix.engine.letters import letters
from lastro.pix.engine.pix import GAP_HOURS, Pix
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.model.ids import make_end_to_end_id

# the strictest server is enough: scripts are tested on all of them
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["cluster"], indirect=True)]

PAYER, PAYEE = "99990001", "99990002"


async def late(desk: Any, **changes: Any) -> Pix:
    """The engine as it is when the window for repeats is over for every minute there is."""
    for minute in await desk.pix.read.zrange(desk.pix.keys.minutes, 0, -1):
        await desk.pix.write.zadd(desk.pix.keys.minutes, {minute: 0})
    settings = desk.pix.settings.model_copy(update={"window_hours": -GAP_HOURS} | changes)
    return Pix(desk.pix.hub, settings, desk.pix.keys)


async def records(desk: Any) -> int:
    found = [key async for key in desk.pix.read.scan_iter(match="*:records:*")]
    return len(found) + int(await desk.pix.read.zcard(desk.pix.keys.minutes))


async def test_the_books_add_up_when_payments_are_forgotten(desk: Any, make_original: Any) -> None:
    """Without an archive, as the settings are by default."""
    payment, refused = await desk.settled(1_000), desk.order(300)
    await desk.pay(refused, desk.order(10_000_000))
    await desk.answer(refused, reason="AC03")
    await refunds.refund(desk.pix, desk.giving_back(payment, 400))
    await desk.send(**make_original(1))
    await desk.work()
    pix = await late(desk)
    await retention.archive(pix)
    assert await records(desk) == 0
    assert (await reconcile(pix)).findings == []
    await desk.pix.write.hincrby(desk.pix.keys.accounts, f"{PAYEE}:in", 1)
    assert [finding.kind for finding in (await reconcile(pix)).findings] == ["wrong_balance"] * 2


async def test_forgetting_twice_or_side_by_side_changes_no_sum(desk: Any) -> None:
    await desk.settled(1_000)
    pix = await late(desk)
    await asyncio.gather(*[retention.archive(pix) for _ in range(4)])
    await retention.archive(pix)
    assert await records(desk) == 0
    assert await desk.pix.read.hmget(desk.pix.keys.archived, ["count", "cents"]) == [b"1", b"1000"]
    assert (await reconcile(pix)).findings == []


async def test_a_payment_that_is_not_final_is_not_forgotten_before_its_funds_are_free(desk: Any) -> None:
    """No worker ran for two days: its deadline finds it all the same."""
    payment = desk.order(1_000)
    await desk.pay(payment)
    pix = await late(desk)
    await retention.archive(pix)
    assert (await desk.status(payment)).state == "ACCEPTED"
    for member in await pix.read.zrange(pix.keys.deadlines, 0, -1):
        await pix.write.zadd(pix.keys.deadlines, {member: 0})
    assert await expire(pix) == 1
    await retention.archive(await late(desk))
    assert await records(desk) == 0
    assert await desk.balances() == (100_000, 0, 0)
    assert (await reconcile(pix)).findings == []


async def test_what_is_no_record_stays_for_the_check_to_name(desk: Any) -> None:
    payment = await desk.settled(1_000)
    await desk.pix.write.hset(desk.pix.keys.records(payment.end_to_end_id[9:21]), "what is this", "nonsense")
    pix = await late(desk)
    await retention.archive(pix)
    assert [(finding.kind, finding.id) for finding in (await reconcile(pix)).findings] == [
        ("unreadable", "what is this")
    ]


async def test_a_message_of_no_payment_is_found_until_its_minute_could_be_forgotten(desk: Any) -> None:
    payment = await desk.settled(1_000)
    _, told = (await desk.pix.read.xrange(desk.pix.keys.outbox(PAYER)))[-1]
    ghost = payment.end_to_end_id[:-1] + "Z"
    await desk.pix.write.xadd(desk.pix.keys.outbox(PAYER), told | {b"id": ghost.encode()})
    pix = await late(desk)
    assert [finding.id for finding in (await reconcile(pix)).findings] == [ghost]
    await retention.archive(pix)
    assert [finding.id for finding in await desk.findings()] == [payment.end_to_end_id] * 3 + [ghost]
    assert (await reconcile(pix)).findings == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"forget_at_ms": 2**52}, "early"), ({"fields": 3}, "changed"), ({"shortened": 1}, "changed"), ({}, "forgotten")],
)
async def test_only_what_was_summed_is_forgotten_and_only_by_the_servers_clock(
    desk: Any, changes: dict[str, int], word: str
) -> None:
    payment, keys = await desk.settled(1_000), desk.pix.keys
    minute = payment.end_to_end_id[9:21]
    asked: dict[str, int] = {"forget_at_ms": 1, "fields": 2, "shortened": 0} | changes
    told = await scripts.forget(
        desk.pix.hub.write,
        records=keys.records(minute),
        minutes=keys.minutes,
        archived=keys.archived,
        minute=minute,
        sums=["count", 1],
        **asked,
    )
    assert told == word
    assert (await desk.pix.read.hget(keys.archived, "count") == b"1") == (word == "forgotten")
    assert (await records(desk) == 0) == (word == "forgotten")


async def left_behind(desk: Any, hours: int, **changes: Any) -> Any:
    """A payment that waits in its stream since so long, as after an outage."""
    then = datetime.now(UTC) - timedelta(hours=hours)
    id_ = make_end_to_end_id(changes.get("payer", PAYER), then, f"{next(desk.numbers):011d}")
    payment = desk.order(1_000, end_to_end_id=id_, **changes)
    at = f"{int(then.timestamp() * 1000)}-*"
    await desk.pix.write.xadd(desk.pix.keys.payments, {"payment": msgspec.json.encode(payment)}, id=at)
    return payment


async def test_who_waited_for_longer_than_the_window_is_refused_at_once_and_hears_of_it(desk: Any) -> None:
    """No worker for forty hours (0205): what is forgotten by then has no record any more, but an answer, once."""
    old = [await left_behind(desk, 40), await left_behind(desk, 40, payer="99990009"), await left_behind(desk, 30)]
    new = desk.order(100)
    await desk.send(payment=msgspec.json.encode(new).decode())
    consumer, other = desk.consumer(), desk.consumer()
    await consumer.ensure_groups()
    found = await consumer.read(normal=True)
    await asyncio.gather(consumer.process_all(found), other.process_all(found))
    told = [(message["id"], message["status"], message["reason"]) for message in await desk.heard(PAYER)]
    assert sorted(told) == sorted((payment.end_to_end_id, "RJCT", "AB03") for payment in (old[0], old[2]))
    assert await desk.heard("99990009") == []
    assert (await desk.status(old[2])).state == "REJECTED"
    assert (await desk.status(new)).state == "ACCEPTED"
    assert await desk.pix.read.xlen(desk.pix.keys.payments) == 0
    counted = await desk.pix.read.hmget(desk.pix.keys.counters, "rejected", "rejected:AB03", "rejected:RC09")
    assert counted == [b"3", b"2", b"1"]
    assert await letters(desk.pix) == []
    assert await desk.findings() == []


async def test_an_original_message_that_waited_for_longer_than_the_window_is_a_dead_letter(
    desk: Any, make_original: Any
) -> None:
    then = datetime.now(UTC) - timedelta(hours=40)
    fields = make_original(1, timestamp=then.replace(tzinfo=None).isoformat())
    await desk.pix.write.xadd(desk.pix.keys.payments, fields, id=f"{int(then.timestamp() * 1000)}-1")
    await desk.work()
    assert [(letter.code, letter.reason) for letter in await letters(desk.pix)] == [("DT02", "its minute is over")]


async def test_a_minute_that_may_be_forgotten_and_is_not_yet_knows_its_payments(desk: Any) -> None:
    """A repeat that comes before the worker who forgets is one: nobody is told that it was refused."""
    payment = await left_behind(desk, 30)
    await desk.work()
    last = (await desk.pix.read.xinfo_stream(desk.pix.keys.payments))["last-generated-id"].decode()
    desk.pix = Pix(desk.pix.hub, desk.pix.settings.model_copy(update={"window_hours": 1}), desk.pix.keys)
    told = await desk.heard(PAYER)
    again = last.partition("-")[0] + "-*"
    await desk.pix.write.xadd(desk.pix.keys.payments, {"payment": msgspec.json.encode(payment)}, id=again)
    await desk.work()
    assert await desk.heard(PAYER) == told
    assert await desk.pix.read.hget(desk.pix.keys.counters, "repeat") == b"1"
