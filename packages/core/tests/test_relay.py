"""Logs passed on to other queues: every entry at least once, in order, however many pass them on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any

import pytest

from lastro.core.errors import Invalid, Misconfigured
from lastro.core.keys import Key, beside
from lastro.core.queue import Bound, Fields, Queue, open_queue
from lastro.core.queue.memory import MemoryQueue
from lastro.core.queue.wire import BrokerAway
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.streams import Message
from lastro.core.testing import wait_for
from lastro.core.testing.brokers import Kafka, Sqs
from lastro.core.worker import Run
from lastro.core.worker.relay import MISSED, Relay, relay, routes

pytestmark = pytest.mark.anyio
strict = pytest.mark.parametrize("server", ["cluster"], indirect=True)
LOG = Key("queue:log")


class Shaky(MemoryQueue):
    """Loses its answer now and then, and refuses what is too large; what it was told it has."""

    every = 3
    told = 0

    async def publish_many(self, many: Sequence[Fields]) -> list[bytes]:
        if any(b"large" in dict(fields) for fields in many) and len(many) > 1:
            raise Invalid(field="fields", reason="too large")
        ids = await super().publish_many(many)
        self.told += 1
        if self.told % self.every == 0:
            raise BrokerAway(reason="its answer was lost")
        return ids

    async def publish(self, fields: Fields, *, op_id: str | None = None, delay_seconds: float = 0) -> bytes | None:
        if b"large" in dict(fields):
            raise Invalid(field="fields", reason="too large")
        return await super().publish(fields)


@asynccontextmanager
async def passing_on(hub: Hub, sink: Queue, count: int = 1) -> AsyncIterator[list[Relay]]:
    run = Run(hub=hub, settings=Settings())
    relays = [Relay(run=run, stream=LOG, sink=sink) for _ in range(count)]
    tasks = [asyncio.create_task(one.work(run.stopping)) for one in relays]
    try:
        yield relays
    finally:
        run.stopping.set()
        await asyncio.gather(*tasks)


def numbers(queue: MemoryQueue) -> list[int]:
    return [int(message.fields[b"n"]) for message in queue.ready]


def first_of_each(found: list[int]) -> list[int]:
    return list(dict.fromkeys(found))


async def _append(hub: Hub, numbers: range) -> None:
    client: Any = hub.write
    for n in numbers:
        await client.xadd(LOG, {"n": n})


async def test_every_entry_is_passed_on_in_order_through_lost_answers_and_a_new_leader(hub: Hub) -> None:
    sink = Shaky("sink")
    async with passing_on(hub, sink):
        await _append(hub, range(50))
        await wait_for(lambda: len(set(numbers(sink))) == 50)
    async with passing_on(hub, sink, count=3):  # after the first has stopped, one of these goes on where it was
        await _append(hub, range(50, 100))
        await wait_for(lambda: len(set(numbers(sink))) == 100, within_seconds=10)
    assert first_of_each(numbers(sink)) == list(range(100))
    (message, *_) = sink.ready
    assert (message.fields[b"stream"], message.fields[b"key"]) == (LOG.encode(), LOG.encode())
    assert message.fields[b"entry"].partition(b"-")[0].isdigit()

    async def led() -> bool:
        return not await hub.read.exists(beside(LOG, "relaying"))

    await wait_for(led, "nobody to lead")


@strict
async def test_two_that_lead_at_once_repeat_entries_and_never_overtake_one(hub: Hub) -> None:
    """One was suspended in the middle of a batch; another took over. Whatever comes late was there before."""
    sink = MemoryQueue("sink")
    run = Run(hub=hub, settings=Settings())
    one, other = (Relay(run=run, stream=LOG, sink=sink) for _ in range(2))
    await _append(hub, range(10))
    late = await one._next(5_000, 500)
    await hub.write.delete(beside(LOG, "relaying"))
    assert await other.step() == 10
    await _append(hub, range(10, 20))
    assert await other.step() == 10
    assert late is not None
    await sink.publish_many([one._message(id_, flat) for id_, flat in late])
    one._done = late[-1][0]
    assert await one._next(5_000, 500) is None  # not the leader, and it moves nothing back
    assert await other.step() == 0
    assert first_of_each(numbers(sink)) == list(range(20))


@strict
async def test_what_a_broker_refuses_is_passed_over_and_its_neighbours_are_not(hub: Hub) -> None:
    sink = Shaky("sink")
    sink.every = 1_000
    await _append(hub, range(2))
    await hub.write.xadd(LOG, {"large": "x"})
    await _append(hub, range(2, 4))
    async with passing_on(hub, sink):
        await wait_for(lambda: len(sink.ready) == 4)
    assert numbers(sink) == [0, 1, 2, 3]


@strict
@pytest.mark.parametrize("large", [(), (0,)])
async def test_a_full_queue_gets_what_it_has_room_for_and_nothing_twice(hub: Hub, large: tuple[int, ...]) -> None:
    """Whether the batch goes in one call or one by one: what it took is passed on, and the rest goes on behind it."""
    sink = Shaky("sink", bound=Bound(len_max=7))
    sink.every = 1_000
    await _append(hub, range(40))
    for _ in large:
        await hub.write.xadd(LOG, {"large": "x"})
    async with passing_on(hub, sink):
        consumer, found = sink.consumer("slow"), list[int]()

        async def look() -> bool:
            await wait_for(lambda: len(sink.ready) == min(7, 40 - len(found)), "as many as there is room for")
            messages = await consumer.read(5, block_seconds=0)
            found.extend(int(message.fields[b"n"]) for message in messages)
            await consumer.acknowledge(messages)
            return len(found) == 40

        await wait_for(look, "all entries", 20)
    assert found == list(range(40))


async def test_what_was_trimmed_before_it_was_passed_on_is_told_once(hub: Hub) -> None:
    client: Any = hub.write
    sink = Shaky("sink")
    run, name = Run(hub=hub, settings=Settings()), token_hex(4)
    relay, other = (Relay(run=run, stream=LOG, sink=sink, name=name + each, token=name) for each in ("a", "b"))
    missed, missed_after = (MISSED.of(queue=one.name)._value for one in (relay, other))
    await _append(hub, range(10))
    assert await relay.step() == 10
    await relay.group.trim()  # what all groups have done with goes, and is missed by nobody
    await _append(hub, range(10, 20))
    assert await relay.step() == 10
    assert missed.get() == 0
    await _append(hub, range(20, 30))
    await client.xtrim(LOG, maxlen=4, approximate=False)
    with pytest.raises(BrokerAway):
        await relay.step()
    assert await other.step() == 4  # after a restart, say
    assert [await relay.step() for _ in range(2)] == [4, 0]
    assert first_of_each(numbers(sink)) == [*range(20), *range(26, 30)]
    numbered = "entries-added" in await client.xinfo_stream(LOG)  # from Redis 7.0 on
    assert (missed.get(), missed_after.get()) == ((6, 6) if numbered else (0, 0))


@strict
async def test_settings_name_what_goes_where(hub: Hub, kafka: Kafka, sqs: Sqs) -> None:
    urls = [kafka.url(key="n"), sqs.url(".fifo", key="n")]
    other = "queue:other"
    settings = Settings(relays=f"{LOG}={urls[0]} {other}={urls[1]}")
    run = Run(hub=hub, settings=settings)
    task = asyncio.create_task(relay(run))
    client: Any = hub.write
    for n in range(20):
        await client.xadd(LOG, {"n": n % 5, "at": n})
        await client.xadd(other, {"n": n % 5, "at": n})
    for url in urls:
        queue = open_queue(url)
        consumer = queue.consumer("one", lease_seconds=1.5)
        seen: dict[bytes, list[int]] = {}

        async def look(consumer: Any = consumer, seen: dict[bytes, list[int]] = seen) -> bool:
            found: list[Message] = await consumer.read(10, block_seconds=0.1)
            for message in found:
                seen.setdefault(message.fields[b"n"], []).append(int(message.fields[b"at"]))
            await consumer.acknowledge(found)
            return sum(map(len, seen.values())) == 20

        await wait_for(look, "all entries", 15)
        assert seen == {b"%d" % key: list(range(key, 20, 5)) for key in range(5)}
        await consumer.aclose()
        await queue.aclose()
    run.stopping.set()
    await task


@pytest.mark.parametrize("given", ["payments_final", "=kafka://x/y", "a=b"])
def test_a_malformed_setting_is_refused(given: str) -> None:
    with pytest.raises(Misconfigured, match="stream=url"):
        routes(given)


async def test_entries_that_follow_a_failover_to_a_clock_behind_are_passed_on(hub: Hub) -> None:
    """What was passed on last is not there, and its id is ahead of all that comes."""
    client: Any = hub.write
    sink = MemoryQueue("sink")
    one = Relay(run=Run(hub=hub, settings=Settings()), stream=LOG, sink=sink)
    await _append(hub, range(1))
    assert await one.step() == 1
    kept = await client.dump(LOG)
    await client.xadd(LOG, {"n": 99}, id="99999999999999-0")
    assert await one.step() == 1
    await client.restore(LOG, 0, kept, replace=True)
    await _append(hub, range(1, 3))
    await one.step()
    assert [int(message.fields[b"n"]) for message in sink.ready][-2:] == [1, 2]


async def test_a_relay_that_breaks_takes_the_others_along_and_is_heard_of(hub: Hub) -> None:
    other = Key("queue:other")
    client: Any = hub.write
    for _ in range(3):  # a cancellation is lost now and then only
        await client.delete(other)
        for key in (LOG, other):
            await client.xadd(key, {"n": 1})
        run = Run(hub=hub, settings=Settings(relays=f"{LOG}=memory://one {other}=memory://two"))
        task = asyncio.create_task(relay(run))
        await wait_for(lambda: client.exists(beside(other, "relaying")), "both to lead")
        await client.delete(other)
        await client.set(other, "no stream", ex=60)
        with pytest.raises(ExceptionGroup):
            await asyncio.wait_for(task, 5)
