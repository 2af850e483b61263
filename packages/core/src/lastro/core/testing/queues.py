"""What every queue promises, as a suite: inherit, and give a ``queue`` fixture.

    class TestStreamQueue(QueueCases):
        @pytest.fixture
        def queue(self, hub: Hub) -> Queue:
            return open_queue("stream://queue:cases", hub)

Where an adapter does not offer something, the case shows that it says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from lastro.core.errors import Invalid
from lastro.core.queue import BLOCK_SECONDS, LEASE_SECONDS, Bound, Consumer, NotOffered, Queue, QueueFull
from lastro.core.streams import Message
from lastro.core.testing import wait_for

LEASE = 0.15
MEMBER_SECONDS = 1.5  # of a consumer that holds by membership in a group
OPENED: list[Consumer] = []
BODY = b"body"


def reader(queue: Queue, name: str, block_seconds: float = BLOCK_SECONDS, lease_seconds: float = LEASE) -> Consumer:
    """A consumer with a short lease; closed after the test."""
    if not queue.offers.leased and queue.offers.acknowledged:
        lease_seconds = MEMBER_SECONDS
    OPENED.append(queue.consumer(name, lease_seconds=lease_seconds, block_seconds=block_seconds))
    return OPENED[-1]


async def gone() -> None:
    """All consumers there are, as if their process had ended."""
    await asyncio.gather(*(consumer.aclose() for consumer in OPENED))
    OPENED.clear()


async def taken(consumer: Consumer, count: int = 100) -> list[Message]:
    """What the consumer gets next, new or else taken over: on a slow machine that could be what it has just read."""

    async def look() -> list[Message]:
        return await consumer.read(count, block_seconds=0) or (await consumer.turn(count)).messages

    found: list[Message] = await wait_for(look, "a message")
    return found


def bodies(messages: Sequence[Message]) -> list[bytes]:
    """The contents, in order."""
    return [message.fields[BODY] for message in messages]


async def all_of(consumers: Sequence[Consumer], count: int) -> list[list[Message]]:
    """What each of them gets, until it is so many together."""
    got: list[list[Message]] = [[] for _ in consumers]

    async def look() -> bool:
        for mine, consumer in zip(got, consumers, strict=True):
            mine.extend(await consumer.read(count, block_seconds=0))
        return sum(map(len, got)) >= count

    await wait_for(look, f"{count} messages")
    return got


class QueueCases:
    """Inherit from this."""

    told_when_due = True
    """A turn says when the next message comes due."""
    told_the_id_again = True
    """Who publishes again under an operation id is told the id that the message got."""

    @pytest.fixture(autouse=True)
    async def closed(self, queue: Queue) -> AsyncIterator[None]:
        """Close what the test opened."""
        yield
        await gone()
        await queue.aclose()

    async def test_messages_come_out_in_the_order_they_went_in(self, queue: Queue) -> None:
        """Of one key, where a queue orders by key."""
        key = {"key": "k"} if queue.offers.keyed else {}
        await queue.publish({"body": "a", **key})
        await queue.publish_many([{"body": "b", **key}, {"body": "c", **key}])
        consumer, found = reader(queue, "one"), list[Message]()
        while len(found) < 3:
            found += (fresh := await taken(consumer))
            await consumer.acknowledge(fresh)
        assert bodies(found) == [b"a", b"b", b"c"]

    async def test_messages_of_one_key_come_in_order_to_several_consumers(self, queue: Queue) -> None:
        if not queue.offers.keyed:
            return
        consumers = [reader(queue, "one"), reader(queue, "other")]
        await asyncio.gather(*(consumer.turn(0) for consumer in consumers))
        await queue.publish_many([{"body": n, "key": n % 7} for n in range(70)])
        seen: dict[bytes, list[int]] = {}

        async def look() -> bool:
            for consumer in consumers:
                found = await consumer.read(10, block_seconds=0)
                for message in found:
                    seen.setdefault(message.fields[b"key"], []).append(int(message.fields[BODY]))
                await consumer.acknowledge(found)
            return sum(map(len, seen.values())) == 70

        await wait_for(look, "70 messages")
        assert seen == {b"%d" % key: list(range(key, 70, 7)) for key in range(7)}

    async def test_a_read_takes_no_more_than_asked_for(self, queue: Queue) -> None:
        await queue.publish_many([{"body": n} for n in range(5)])
        consumer = reader(queue, "one")
        await consumer.turn(0)
        sizes: list[int] = []

        async def look() -> bool:
            sizes.append(len(await consumer.read(3, block_seconds=0)))
            return sum(sizes) >= 5

        await wait_for(look, "five messages")
        assert (sum(sizes), max(sizes)) == (5, 3)

    async def test_two_consumers_never_get_the_same_message(self, queue: Queue) -> None:
        one, other = (
            reader(queue, "one", lease_seconds=LEASE_SECONDS),
            reader(queue, "other", lease_seconds=LEASE_SECONDS),
        )
        await asyncio.gather(one.turn(0), other.turn(0))
        await queue.publish_many([{"body": n} for n in range(100)])
        got = await all_of([one, other], 100)
        assert sorted(bodies(got[0] + got[1])) == sorted(b"%d" % n for n in range(100))

    async def test_a_waiting_read_gets_what_comes(self, queue: Queue) -> None:
        consumer = reader(queue, "one", 5)
        await consumer.turn(0)
        waiting = asyncio.create_task(consumer.read(10, block_seconds=5))
        await queue.publish({"body": "late"})
        assert bodies(await waiting) == [b"late"]

    async def test_a_waiting_read_can_be_interrupted(self, queue: Queue) -> None:
        consumer = reader(queue, "one", 30)
        await consumer.turn(0)
        waiting = asyncio.create_task(consumer.read(10, block_seconds=30))

        async def ended() -> bool:
            await consumer.interrupt()
            return waiting.done()

        await wait_for(ended)
        assert await waiting == []

    async def test_an_acknowledged_message_is_gone_and_frees_its_place(self, queue: Queue) -> None:
        await queue.publish({"body": "a"})
        consumer = reader(queue, "one")
        messages = await taken(consumer)
        assert await consumer.acknowledge(messages) == 1
        told = await queue.measure()
        assert (told.lag, told.pending) == (0, 0)
        if queue.offers.acknowledged:
            assert await consumer.acknowledge(messages) == 0

    async def test_what_a_silent_consumer_had_is_handed_out_again_and_counted(self, queue: Queue) -> None:
        await queue.publish({"body": "a"})
        (first,) = await taken(reader(queue, "dead"))
        assert first.deliveries == 1
        if queue.offers.acknowledged and not queue.offers.leased:
            await gone()
        other = reader(queue, "alive")
        if queue.offers.acknowledged:
            (second,) = await taken(other)
            deliveries = 2 if queue.offers.counted else 1
            assert (second.fields, second.deliveries, second.suspect) == (first.fields, deliveries, False)
            assert await other.acknowledge([second]) == 1
        else:
            assert await other.read(1, block_seconds=0) == []

    async def test_from_the_third_delivery_on_a_message_counts_only_when_it_is_begun(self, queue: Queue) -> None:
        if not queue.offers.begun:
            return
        await queue.publish({"body": "killer"})
        for name in ("first", "second"):
            await taken(reader(queue, name))
        for name in ("third", "fourth"):
            (message,) = await taken(reader(queue, name))
            assert (message.deliveries, message.suspect) == (3, True)
        fifth = reader(queue, "fifth")
        (message,) = await taken(fifth)
        assert await fifth.begin(message)
        (message,) = await taken(reader(queue, "sixth"))
        assert (message.deliveries, message.suspect) == (4, True)

    async def test_deliveries_are_counted_and_those_nobody_answered_make_a_suspect(self, queue: Queue) -> None:
        if not queue.offers.counted:
            return
        await queue.publish({"body": "killer"})
        for name, deliveries in (("first", 1), ("second", 2), ("third", 3)):
            (message,) = await taken(reader(queue, name))
            assert (message.deliveries, message.suspect) == (deliveries, deliveries > 2)

    async def test_a_renewed_lease_is_not_taken_over(self, queue: Queue) -> None:
        if not queue.offers.leased:
            return
        await queue.publish({"body": "long"})
        one, other = reader(queue, "one"), reader(queue, "other")
        since = before = time.monotonic()
        messages = await taken(one)
        for _ in range(10):
            since, before = before, time.monotonic()
            lost = await one.renew(messages)
            got = (await other.turn(10)).messages + await other.read(10, block_seconds=0.03)
            if lost or got:  # a machine that stood still for a lease ends it: now the other one renews
                assert time.monotonic() - since >= LEASE
                one, other = other, one
                messages = got or await taken(one)

    async def test_who_lost_its_lease_can_neither_renew_nor_put_off_nor_bury(self, queue: Queue) -> None:
        if not queue.offers.leased:
            return
        await queue.publish({"body": "a"})
        slow, quick = reader(queue, "slow"), reader(queue, "quick")
        (message,) = await taken(slow)
        (again,) = await taken(quick)
        assert await slow.renew([message]) == [message.id]
        if queue.offers.delayed:
            assert not await slow.retry(message, delay_seconds=0)
        assert not await slow.bury(message, reason="failed", error="late", deliveries=1)
        assert await quick.acknowledge([again]) == 1

    async def test_a_message_put_off_comes_back_in_its_time_with_its_count(self, queue: Queue) -> None:
        await queue.publish({"body": "again"})
        consumer = reader(queue, "one", lease_seconds=LEASE_SECONDS)
        (message,) = await taken(consumer)
        if not queue.offers.delayed:
            with pytest.raises(NotOffered):
                await consumer.retry(message, delay_seconds=0.1)
            return
        put_off = time.monotonic()
        assert await consumer.retry(message, delay_seconds=0.1)
        delayed = (await queue.measure()).delayed
        early = await consumer.read(1, block_seconds=0)
        assert (delayed, early) == (1, []) or time.monotonic() - put_off >= 0.1
        (back,) = early or await taken(consumer)
        assert (back.fields, back.deliveries, back.earlier, back.suspect) == (message.fields, 2, 1, False)
        assert back.first_ms > 0
        assert await consumer.acknowledge([back]) == 1

    async def test_a_message_published_for_later_comes_later(self, queue: Queue) -> None:
        if not queue.offers.delayed:
            with pytest.raises(NotOffered):
                await queue.publish({"body": "later"}, delay_seconds=0.1)
            return
        consumer = reader(queue, "one", lease_seconds=LEASE_SECONDS)
        put_off = time.monotonic()
        for body in ("same", "same"):
            await queue.publish({"body": body}, delay_seconds=0.1)
        due_seconds = (await consumer.turn(1)).next_seconds
        found = await consumer.read(2, block_seconds=0)
        if time.monotonic() - put_off < 0.1:
            assert 0 < due_seconds <= 0.1 if self.told_when_due else due_seconds == float("inf")
            assert found == []
        while len(found) < 2:
            found += await taken(consumer)
        assert [(message.fields[BODY], message.deliveries) for message in found] == [(b"same", 1)] * 2

    async def test_a_dead_letter_has_its_reason_its_times_and_its_fields(self, queue: Queue) -> None:
        await queue.publish({"body": "bad", "reason": "its own"} if queue.offers.dead_letters else {"body": "bad"})
        consumer = reader(queue, "one", lease_seconds=LEASE_SECONDS)
        (message,) = await taken(consumer)
        if not queue.offers.dead_letters:
            with pytest.raises(NotOffered):
                await consumer.bury(message, reason="invalid", error="ValueError: no", deliveries=1)
            assert await queue.letters() == []
            return
        assert await consumer.bury(message, reason="invalid", error="ValueError: no", deliveries=1)
        (letter,) = await queue.letters()
        assert (letter.reason, letter.error, letter.deliveries) == ("invalid", "ValueError: no", 1)
        assert letter.fields == {b"body": b"bad", b"reason": b"its own"}
        assert 0 < letter.first_ms <= letter.last_ms
        assert letter.message_id == message.id
        told = await queue.measure()
        assert (told.pending, told.dead) == (0, 1)

    async def test_a_dead_letter_is_shown_replayed_as_it_was_or_discarded(self, queue: Queue) -> None:
        if not queue.offers.dead_letters:
            with pytest.raises(NotOffered):
                await queue.replay([b"1-1"])
            with pytest.raises(NotOffered):
                await queue.discard([b"1-1"])
            assert await queue.letter(b"1-1") is None
            return
        consumer = reader(queue, "one", lease_seconds=LEASE_SECONDS)
        await queue.publish_many([{"body": "a"}, {"body": "b"}])
        for message in await taken(consumer):
            assert await consumer.bury(message, reason="failed", error="", deliveries=3)
        a, b = await queue.letters()
        assert [letter.id for letter in await queue.letters(after=a.id)] == [b.id]
        assert await queue.letter(a.id) == a
        assert await queue.discard([b.id]) == 1
        assert [await queue.letter(id_) for id_ in (b.id, b"no id")] == [None, None]
        assert await queue.replay([a.id, b.id]) == 1
        assert await queue.replay([a.id]) == 0
        (back,) = await taken(consumer)
        assert (back.fields, back.deliveries) == ({b"body": b"a"}, 1)
        assert await queue.letters() == []

    async def test_an_operation_id_gives_one_message(self, queue: Queue) -> None:
        if not queue.offers.once:
            with pytest.raises(NotOffered):
                await queue.publish({"body": "a"}, op_id="x")
            return
        first = await queue.publish({"body": "a"}, op_id="x")
        again = await queue.publish({"body": "a"}, op_id="x")
        assert again == first or not self.told_the_id_again
        assert await queue.publish({"body": "a"}, op_id="y") != first
        assert (await queue.measure()).lag == 2

    async def test_what_a_consumer_releases_is_there_for_others_at_once(self, queue: Queue) -> None:
        if not queue.offers.leased:
            return
        await queue.publish_many([{"body": "a"}, {"body": "b"}])
        leaving = reader(queue, "leaving", lease_seconds=LEASE_SECONDS)
        assert len(await taken(leaving)) == 2
        assert await leaving.release() == 2
        other = reader(queue, "staying", lease_seconds=LEASE_SECONDS)
        found = (await other.turn(10)).messages + await other.read(10, block_seconds=0)
        assert sorted(bodies(found)) == [b"a", b"b"]

    async def test_a_malformed_message_is_refused_before_anything_is_written(self, queue: Queue) -> None:
        for wrong in ({}, {"body": 1.5}, {"body": None}, {"~": "x"}):
            with pytest.raises(Invalid):
                await queue.publish(wrong)  # type: ignore[arg-type]  # that is the point
        with pytest.raises(Invalid):
            await queue.publish_many([{"body": "fine"}, {}])
        assert (await queue.measure()).lag == 0

    async def test_a_full_queue_refuses_and_keeps_what_it_has(self, queue: Queue) -> None:
        if not queue.offers.bounded:
            return
        bound(queue, Bound(len_max=2))
        with pytest.raises(QueueFull) as full:
            await queue.publish_many([{"body": n} for n in range(3)])
        assert full.value.about["published"] == 2
        with pytest.raises(QueueFull):
            await queue.publish({"body": "more"})
        assert (await queue.measure()).lag == 2

    async def test_a_full_queue_may_drop_what_comes(self, queue: Queue) -> None:
        if not queue.offers.bounded:
            return
        bound(queue, Bound(len_max=2, when_full="drop"))
        assert len(await queue.publish_many([{"body": n} for n in range(3)])) == 2
        assert await queue.publish({"body": "more"}) is None
        assert bodies(await taken(reader(queue, "one"))) == [b"0", b"1"]

    async def test_a_full_queue_may_make_publishers_wait_for_room(self, queue: Queue) -> None:
        if not queue.offers.bounded:
            return
        bound(queue, Bound(len_max=1, when_full="block", block_seconds=0.05))
        await queue.publish({"body": "a"})
        with pytest.raises(QueueFull):
            await queue.publish({"body": "b"})
        bound(queue, Bound(len_max=1, when_full="block", block_seconds=5))
        waiting = asyncio.create_task(queue.publish({"body": "b"}))
        consumer = reader(queue, "one")
        await consumer.acknowledge(await taken(consumer))
        assert await waiting is not None
        assert bodies(await taken(consumer)) == [b"b"]


def bound(queue: Queue, to: Bound) -> None:
    """Give the queue another bound."""
    queue.bound = to  # type: ignore[attr-defined]  # every adapter here has one
