"""One suite, four kinds of queue; and what a URL may say."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lastro.core.cli.chaos.proxy import Proxy
from lastro.core.errors import Misconfigured, OutcomeUnknown
from lastro.core.keys import Key
from lastro.core.queue import REPLAYED, Backoff, Bound, Queue, open_queue, scripts
from lastro.core.queue.lists import ListQueue
from lastro.core.queue.memory import MemoryQueue
from lastro.core.queue.stream import StreamQueue
from lastro.core.redis import Hub, connect_url
from lastro.core.testing import start_server, wait_for
from lastro.core.testing.queues import QueueCases, gone, reader, taken

pytestmark = pytest.mark.anyio


class TestStreamQueue(QueueCases):
    @pytest.fixture
    def queue(self, hub: Hub) -> Queue:
        return open_queue("stream://queue:cases?group=g", hub)


class TestListQueue(QueueCases):
    @pytest.fixture
    def queue(self, hub: Hub) -> Queue:
        return open_queue("list://queue:cases", hub)


class TestFifoQueue(QueueCases):
    @pytest.fixture
    def queue(self, hub: Hub) -> Queue:
        return open_queue("fifo://queue:cases", hub)


class TestMemoryQueue(QueueCases):
    @pytest.fixture
    def queue(self) -> Queue:
        return open_queue("memory://cases")


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("orders", "no scheme"),
        ("kafka://orders", "kafka"),
        ("stream://", "names no queue"),
        ("stream://orders?maxlen=3", "maxlen"),
        ("stream://orders?len_max=0", "len_max"),
        ("stream://orders?len_max=many", "many"),
        ("list://orders?when_full=explode", "explode"),
        ("stream://orders?keep=perhaps", "perhaps"),
    ],
)
async def test_a_malformed_url_is_refused_and_the_error_names_what_is_wrong(hub: Hub, url: str, names: str) -> None:
    with pytest.raises(Misconfigured, match=names):
        open_queue(url, hub)


@pytest.mark.parametrize("url", ["stream://queue:cases", "list://queue:cases", "memory://queue:cases"])
async def test_an_operation_that_is_asked_for_again_is_counted(hub: Hub, url: str) -> None:
    queue = open_queue(url, hub)
    before = REPLAYED.of(queue=queue.name)._value.get()
    for op_id in ("a", "b", "a", "a"):
        await queue.publish({"n": 1}, op_id=op_id)
    assert REPLAYED.of(queue=queue.name)._value.get() == before + 2


def test_a_redis_queue_needs_a_hub() -> None:
    with pytest.raises(Misconfigured, match="hub"):
        open_queue("stream://orders")


async def test_concurrent_publishers_share_a_write_and_each_gets_its_own_id(hub: Hub) -> None:
    queue = open_queue("stream://queue:cases", hub)
    ids = await asyncio.gather(*(queue.publish({"n": n}) for n in range(500)))
    assert len(set(ids)) == 500
    assert (await queue.measure()).lag == 500


def test_a_retry_waits_anywhere_between_now_and_a_ceiling_that_doubles_up_to_its_cap() -> None:
    backoff = Backoff(base_seconds=0.1, cap_seconds=1)
    for deliveries, ceiling in ((1, 0.1), (2, 0.2), (4, 0.8), (5, 1.0), (1000, 1.0)):
        waits = [backoff.seconds(deliveries) for _ in range(200)]
        assert 0 <= min(waits) < ceiling / 2 < max(waits) <= ceiling


def test_a_bound_is_chosen_by_url() -> None:
    queue = open_queue("memory://cases?len_max=7&when_full=block&block_seconds=2")
    assert queue.bound == Bound(len_max=7, when_full="block", block_seconds=2)  # type: ignore[attr-defined]


async def test_a_message_that_cannot_be_written_down_is_its_publishers_error_and_the_queue_goes_on(hub: Hub) -> None:
    queue = open_queue("stream://queue:cases", hub)
    with pytest.raises(UnicodeEncodeError):
        await queue.publish({"n": "\ud800"})
    assert await queue.publish({"n": 1}) is not None


async def test_what_other_programs_push_onto_a_list_is_a_message_too(hub: Hub) -> None:
    """A body, each under an id of its own, settled and put off like any other; also an array in MessagePack."""
    queue = ListQueue(hub, Key("queue:raw"))
    arrays: list[Any] = [["EUR", "BRL", "bid", "ask"], ["order", "17", "BRL", "1"], ["a", "0", "1", "0", *"x" * 9_000]]
    arrays += [["a", "0", "1", "0", "odd"], ["a", 0, 1, 0], ["a", "0", "1", "0", "k", ["v"]]]
    bodies = [b'{"amount": 1}', b'{"amount": 1}', b"[2]", "Ü".encode(), *map(msgspec.msgpack.encode, arrays)]
    client: Any = hub.write
    await client.lpush(queue.key, *bodies)
    await queue.publish({"own": 1})
    assert (await queue.measure()).lag == 11
    consumer = queue.consumer("one", block_seconds=0.1)
    found = await consumer.read(20, block_seconds=0)
    assert [each.fields for each in found] == [*({b"body": body} for body in bodies), {b"own": b"1"}]
    assert len({each.id for each in found}) == 11
    assert await consumer.retry(found[0], delay_seconds=0)
    assert await consumer.acknowledge(found[1:]) == 10
    await consumer.turn(0)
    (again,) = await consumer.read(10, block_seconds=0)
    assert (again.id, again.fields, again.deliveries) == (found[0].id, found[0].fields, 2)
    await consumer.acknowledge([again])
    await consumer.aclose()


@pytest.mark.parametrize("renewed", [False, True])
async def test_a_suspect_of_a_list_whose_begin_was_not_answered_is_begun_once_and_not_lost(
    tmp_path: Path, *, renewed: bool
) -> None:
    """What it is in hand has changed by then, and only the server knows. A renewal that misses it finds it again."""
    running = start_server(tmp_path)
    async with (
        Proxy.to(running.socket, tmp_path / "p.sock") as proxy,
        await connect_url(proxy.url, timeout_seconds=0.3) as hub,
    ):
        queue = ListQueue(hub, Key("queue:list"))
        await queue.publish({"n": 1})
        for name in "ab":
            assert await queue.consumer(name, lease_seconds=0.01).read(1, block_seconds=0)
            await asyncio.sleep(0.05)
            await queue.consumer("heir").turn(0)
        consumer = queue.consumer("c")
        (message,) = await consumer.read(1, block_seconds=0)
        await hub.write.script_load(scripts.start.source.text)  # so that the first call is the one that counts
        proxy.drop_replies = 1.0
        with pytest.raises(OutcomeUnknown):
            await consumer.begin(message)
        proxy.drop_replies = 0.0
        if renewed:
            assert await consumer.renew([message]) == [message.id]
            assert not await consumer.begin(message)
            (message,) = await consumer.read(1, block_seconds=0)
        assert (message.deliveries, message.suspect) == (4 if renewed else 3, True)
        assert await consumer.begin(message)
        assert await consumer.acknowledge([message]) == 1
        assert (await queue.measure()).pending == 0
    running.stop()


@pytest.mark.parametrize("kind", [StreamQueue, ListQueue])
async def test_what_cannot_be_buried_comes_back_after_a_lease_as_it_was(hub: Hub, kind: type[Any]) -> None:
    """A message of a list has no lease of its own: it would stay in the hand of a consumer that lives."""
    queue = kind(hub, Key("queue:full"), dead_max=0)
    consumer = reader(queue, "one")
    await queue.publish({"n": 1})
    (message,) = await taken(consumer)
    assert not await consumer.bury(message, reason="failed", error="", deliveries=1)
    (again,) = await taken(consumer)
    assert (again.id, again.deliveries, again.earlier, again.suspect) == (message.id, 2, 0, False)
    queue.dead_max = 1
    assert await consumer.bury(again, reason="failed", error="", deliveries=2)
    told = await queue.measure()
    assert (told.pending, told.delayed, told.dead) == (0, 0, 1)
    await gone()


async def test_an_operation_that_waits_for_room_twice_is_let_in_once() -> None:
    queue = MemoryQueue("one", bound=Bound(len_max=1, when_full="block", block_seconds=5))
    await queue.publish({"n": 0})
    both = [asyncio.create_task(queue.publish({"n": 1}, op_id="x")) for _ in range(2)]
    await asyncio.sleep(0.1)
    consumer = queue.consumer("one")
    await consumer.acknowledge(await consumer.read(1, block_seconds=0))
    await wait_for(lambda: queue.ready, "the one that fits")
    await consumer.acknowledge(await consumer.read(1, block_seconds=0))
    assert len(set(await asyncio.gather(*both))) == 1
    assert not queue.ready


async def test_what_a_wait_that_was_cut_is_answered_much_later_is_found_in_hand(hub: Hub) -> None:
    """The server answers a connection that is dead on our side alone, after the consumer has looked."""
    queue = ListQueue(hub, Key("queue:late"))
    consumer = queue.consumer("one", block_seconds=0.1)
    await queue.publish({"n": 1})
    client: Any = hub.write
    await client.lmove(queue.key, consumer.taken, "RIGHT", "LEFT")  # as BLMOVE does, for whom nobody hears
    assert await consumer.read(1, block_seconds=0) == []
    for _ in range(2):
        await consumer.turn(0)
    (message,) = await consumer.read(1, block_seconds=0)
    assert await consumer.acknowledge([message]) == 1
    await consumer.aclose()
