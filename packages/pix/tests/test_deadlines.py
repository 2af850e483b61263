"""A silent receiver: AB03 after the deadline, by server time, whoever sweeps."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from lastro.core.testing import wait_for
from lastro.pix.engine import accounts
from lastro.pix.engine.deadlines import expire
from lastro.pix.engine.pix import Pix
from lastro.pix.settings import PixSettings

pytestmark = pytest.mark.anyio

PAYER, PAYEE = "99990001", "99990002"
DEADLINE_MS = 60_000


@pytest.fixture
def pix_settings() -> PixSettings:
    """A minute, so that no machine is too slow for it; `later` makes it pass."""
    return PixSettings(deadline_ms=DEADLINE_MS, scheduled_deadline_ms=10 * DEADLINE_MS)


async def later(desk: Any) -> None:
    """The usual deadline passes for all that wait."""
    for member in await desk.pix.read.zrange(desk.pix.keys.deadlines, 0, -1):
        await desk.pix.write.zincrby(desk.pix.keys.deadlines, -DEADLINE_MS - 1, member)


async def test_silence_becomes_ab03_to_both_sides_and_the_funds_come_back(desk: Any) -> None:
    payment = desk.order(1_000)
    await desk.pay(payment)
    assert await expire(desk.pix) == 0
    await later(desk)
    assert await expire(desk.pix) == 1
    record = await desk.status(payment)
    assert (record.state, record.code, record.by) == ("EXPIRED", "AB03", "spi")
    assert await desk.balances() == (100_000, 0, 0)
    assert [m["reason"] for m in await desk.heard(PAYER)] == ["AB03"]
    assert [m["reason"] for m in await desk.heard(PAYEE)] == ["", "AB03"]
    assert await desk.findings() == []


@pytest.mark.parametrize("server", ["cluster"], indirect=True)
@pytest.mark.parametrize("pix_settings", [PixSettings(deadline_ms=400)], ids=["400 ms"])
async def test_a_thousand_silent_receivers_all_expire_and_none_early(desk: Any) -> None:
    """All AB03, and late answers change nothing. How late at most is the full-size test's: it needs a quiet machine.

    On one that is not, some are too late to be accepted: AB03 at once.
    """
    payments = [desk.order(100) for _ in range(1_000)]
    async with desk.workers(2):
        for start in range(0, 1_000, 250):
            await desk.pay(*payments[start : start + 250])

        async def all_expired() -> bool:
            return int(await desk.pix.read.hget(desk.pix.keys.counters, "rejected:AB03") or 0) == 1_000

        await wait_for(all_expired, "the sweep", 60)
        records = [await desk.status(payment) for payment in payments]
        assert min(record.final_ms - record.received_ms for record in records) >= 400
        assert "EXPIRED" in {record.state for record in records}
        await desk.answer(*payments[:100])
    assert {(await desk.status(payment)).code for payment in payments} == {"AB03"}
    assert await desk.balances() == (100_000, 0, 0)
    assert await desk.findings() == []


async def test_an_answer_after_the_deadline_expires_the_payment_even_before_the_sweep(desk: Any) -> None:
    payment = desk.order()
    await desk.pay(payment)
    records = desk.pix.keys.records(payment.end_to_end_id[9:21])
    words = (await desk.pix.read.hget(records, payment.end_to_end_id)).decode().split(" ")
    words[4] = str(int(words[4]) - DEADLINE_MS - 1)
    await desk.pix.write.hset(records, payment.end_to_end_id, " ".join(words))
    await desk.answer(payment)
    assert (await desk.status(payment)).state == "EXPIRED"
    assert await expire(desk.pix) == 0
    assert await desk.findings() == []


async def test_a_payment_that_waited_past_its_deadline_is_not_even_accepted(desk: Any) -> None:
    payment = desk.order()
    old = f"{await desk.pix.now_ms() - DEADLINE_MS - 1}-0"
    await desk.pix.write.xadd(desk.pix.keys.payments, {"payment": msgspec.json.encode(payment)}, id=old)
    await desk.work()
    record = await desk.status(payment)
    assert (record.state, record.code) == ("REJECTED", "AB03")
    assert await desk.heard(PAYEE) == []


async def test_a_scheduled_payment_has_the_longer_deadline(desk: Any) -> None:
    payment = desk.order(priority="NORM", service_level="PAGAGD")
    soon = desk.order()
    await desk.pay(payment)
    await desk.pay(soon)
    await later(desk)
    assert await expire(desk.pix) == 1
    assert (await desk.status(soon)).state == "EXPIRED"
    assert (await desk.status(payment)).state == "ACCEPTED"


async def test_an_outbox_that_is_none_stops_only_its_own_payments_from_expiring(desk: Any) -> None:
    """Accepted in one batch; then somebody writes a string over one receiver's outbox."""
    await accounts.fund(desk.pix, "99990003", 0, "open")
    bad, good = desk.order(payee="99990003"), desk.order()
    await desk.pay(bad, good)
    outbox = desk.pix.keys.outbox("99990003")
    await desk.pix.write.set(outbox, "not a stream", ex=60)
    await later(desk)
    await wait_for(lambda: expire(desk.pix), "the sweep of each")
    assert [(await desk.status(payment)).state for payment in (bad, good)] == ["ACCEPTED", "EXPIRED"]
    await desk.pix.write.delete(outbox)
    await desk.pix.write.zadd(desk.pix.keys.deadlines, {bad.end_to_end_id: 0})
    assert await expire(desk.pix) == 1
    assert await desk.balances() == (100_000, 0, 0)


async def test_a_record_that_says_nothing_keeps_no_others_funds_held(desk: Any) -> None:
    bad, good = desk.order(100), desk.order(200)
    await desk.pay(bad, good)
    await desk.pix.write.hset(desk.pix.keys.records(bad.end_to_end_id[9:21]), bad.end_to_end_id, "nonsense")
    await later(desk)
    await wait_for(lambda: expire(desk.pix), "the sweep")
    assert await desk.balances() == (99_900, 100, 0)
    assert ("unreadable", bad.end_to_end_id) in {(finding.kind, finding.id) for finding in await desk.findings()}


async def test_many_sweepers_at_once_expire_a_payment_once(desk: Any) -> None:
    payment = desk.order()
    await desk.pay(payment)
    await later(desk)
    assert sum(await asyncio.gather(*(expire(desk.pix) for _ in range(8)))) == 1
    assert len(await desk.heard(PAYER)) == 1


@pytest.mark.slow
async def test_forty_seconds_are_forty_seconds(hub: Any, desk: Any) -> None:
    """Full size: 1,000 silent receivers, all AB03 between 40.0 and 40.5 s, funds back; late answers change nothing."""
    whole = type(desk)(Pix.of(hub, PixSettings()), desk.numbers)
    payments = [whole.order(100) for _ in range(1_000)]
    async with whole.workers(2):
        for start in range(0, 1_000, 250):
            await whole.pay(*payments[start : start + 250])

        async def all_expired() -> bool:
            return int(await whole.pix.read.hget(whole.pix.keys.counters, "expired") or 0) == 1_000

        await wait_for(all_expired, "the sweep", within_seconds=60)
        await whole.answer(*payments[:500])
        await whole.answer(*payments[500:], reason="AC03")
    records = [await whole.status(payment) for payment in payments]
    assert {(record.state, record.code) for record in records} == {("EXPIRED", "AB03")}
    after_ms = [record.final_ms - record.accepted_ms for record in records]
    print(f"AB03 after {min(after_ms)} to {max(after_ms)} ms")
    assert min(after_ms) >= 40_000
    assert max(after_ms) <= 40_500
    assert await whole.balances() == (100_000, 0, 0)
    assert Counter(message["reason"] for message in await whole.heard(PAYER)) == {"AB03": 1_000}
    assert await whole.findings() == []
