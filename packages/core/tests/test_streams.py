"""What a consumer group keeps to: nothing unacknowledged is lost, nothing acknowledged stays."""

import asyncio

import pytest

from lastro.core import local
from lastro.core.errors import Fault, TooFast
from lastro.core.keys import Key, beside
from lastro.core.limits import admit
from lastro.core.queue import Backoff, QueueFull
from lastro.core.queue.memory import MemoryQueue
from lastro.core.queue.stream import StreamQueue
from lastro.core.redis import Hub, connect_url
from lastro.core.settings import Settings
from lastro.core.streams import CLAIM_MAX, NOBODY, RECREATED, Message
from lastro.core.testing import wait_for
from lastro.core.worker import Run
from lastro.core.worker.consume import Handler, Worker
from lastro.core.worker.relay import Relay

pytestmark = pytest.mark.anyio

STREAM = Key("queue:stream")
LEASE = 0.05


@pytest.fixture
def queue(hub: Hub) -> StreamQueue:
    return StreamQueue(hub, STREAM, group="g")


async def _names(hub: Hub) -> list[bytes]:
    return [told["name"] for told in await hub.read.xinfo_consumers(STREAM, "g")]


async def test_what_was_deleted_by_hand_while_pending_is_skipped_and_forgotten(hub: Hub, queue: StreamQueue) -> None:
    ids = await queue.publish_many([{"n": n} for n in range(3)])
    dead, alive = queue.consumer("dead"), queue.consumer("alive", lease_seconds=LEASE)
    await alive.turn(0)
    assert len(await dead.read(3, block_seconds=0)) == 3
    await hub.write.xdel(STREAM, ids[1])
    found: list[bytes] = []

    async def taken() -> bool:
        found.extend(message.id for message in (await alive.turn(10)).messages)
        return len(found) == 2

    await wait_for(taken)
    assert found == [ids[0], ids[2]]
    assert (await queue.measure()).pending == 2


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_a_group_counts_as_created_anew_when_it_was_there_before_and_not_when_it_is_new(hub: Hub) -> None:
    stream = Key("queue:anew")
    made = RECREATED.of(queue=stream)
    queue, other = (StreamQueue(hub, stream, group=name) for name in ("g", "h"))
    await queue.consumer("c").turn(0)
    await other.members.ensure()
    assert made._value.get() == 0
    await hub.write.delete(stream)
    await queue.consumer("c").turn(0)
    assert made._value.get() == 1
    await hub.write.delete(stream)
    await queue.members.ensure()
    assert made._value.get() == 2
    await hub.write.delete(stream)


async def test_a_turn_goes_on_where_the_last_one_stopped(hub: Hub, queue: StreamQueue) -> None:
    """More than one turn may look at, all of it abandoned: turn by turn all of it is taken over, none twice."""
    count = CLAIM_MAX * 3
    await queue.publish_many([{"n": n} for n in range(count)])
    dead, alive = queue.consumer("dead"), queue.consumer("alive")
    await alive.turn(0)
    messages = await dead.read(count, block_seconds=0)
    assert len(messages) == count
    await hub.write.xclaim(STREAM, "g", "dead", 0, [each.id for each in messages], idle=3_600_000, justid=True)
    ids = [message.id for _ in range(4) for message in (await alive.turn(1_000)).messages]
    assert len(ids) == len(set(ids)) == count


async def test_a_name_is_swept_when_nothing_is_pending_under_it_and_only_then(hub: Hub, queue: StreamQueue) -> None:
    await queue.publish({"n": 1})
    holding = queue.consumer("holding")
    await holding.turn(0)
    (message,) = await holding.read(1, block_seconds=0)
    await hub.write.xgroup_createconsumer(STREAM, "g", "idle")
    assert sorted(await _names(hub)) == [b"holding", b"idle"]
    await wait_for(lambda: _swept(hub, queue))
    assert await _names(hub) == [b"holding"]
    assert (await queue.measure()).pending == 1
    await holding.acknowledge([message])
    await wait_for(lambda: _swept(hub, queue))
    assert await _names(hub) == []


async def _swept(hub: Hub, queue: StreamQueue) -> bool:
    before = len(await _names(hub))
    await queue.tend(idle_seconds=0.01)
    return len(await _names(hub)) < before


async def test_a_worker_that_leaves_takes_its_name_with_it(hub: Hub, queue: StreamQueue) -> None:
    await queue.publish_many([{"n": n} for n in range(3)])
    leaving = queue.consumer("leaving")
    await leaving.turn(0)
    await leaving.read(3, block_seconds=0)
    assert await leaving.release() == 3
    assert await _names(hub) == [NOBODY.encode()]
    assert (await queue.measure()).pending == 3


async def test_a_log_keeps_what_a_group_has_not_done_and_frees_the_rest(hub: Hub) -> None:
    one, other = (StreamQueue(hub, STREAM, group=name, keep=True) for name in ("one", "other"))
    ids = await one.publish_many([{"n": n} for n in range(4)])
    reader, slow = one.consumer("r"), other.consumer("s")
    await reader.turn(0)
    await slow.turn(0)
    await reader.acknowledge(await reader.read(4, block_seconds=0))
    await one.tend(idle_seconds=60)
    assert await hub.read.xlen(STREAM) == 4
    first, second = await slow.read(2, block_seconds=0)
    await slow.acknowledge([first])
    await one.tend(idle_seconds=60)
    assert [entry[0] for entry in await hub.read.xrange(STREAM) or ()] == ids[1:]
    assert (await other.measure()).pending == 1
    await slow.acknowledge([second, *await slow.read(2, block_seconds=0)])
    await one.tend(idle_seconds=60)
    assert await hub.read.xlen(STREAM) == 0


@pytest.mark.parametrize("act", ["retry", "bury"])
async def test_what_one_group_of_a_log_puts_off_or_buries_the_other_still_reads(hub: Hub, act: str) -> None:
    one, other = (StreamQueue(hub, STREAM, group=name, keep=True) for name in ("one", "other"))
    for queue in (one, other):
        await queue.consumer("c").turn(0)
    await one.publish({"n": 1})
    consumer = one.consumer("c")
    (message,) = await consumer.read(1, block_seconds=0)
    if act == "retry":
        assert await consumer.retry(message, delay_seconds=60)
        assert [fields async for fields in one.members.delayed()] == [{b"n": b"1"}]
    else:
        assert await consumer.bury(message, reason="invalid", error="", deliveries=1)
    assert [each.fields for each in await other.consumer("c").read(1, block_seconds=0)] == [{b"n": b"1"}]


async def test_a_try_that_one_group_of_a_log_puts_off_comes_back_to_it_alone(hub: Hub) -> None:
    """Else each group would hear of the others' tries, and what two of them put off would double with each."""
    queues = [StreamQueue(hub, STREAM, group=name, keep=True) for name in ("one", "other", "third")]
    handled: dict[str, list[int]] = {queue.group: [] for queue in queues}

    def failing(group: str, times: int) -> Handler:
        async def handle(message: Message) -> None:
            handled[group].append(message.deliveries)
            if len(handled[group]) <= times:
                raise ValueError(group)

        return handle

    await queues[0].publish({"n": "1"})
    run, backoff = Run(hub=hub, settings=Settings()), Backoff(0.01, cap_seconds=0.02, attempts=9)
    workers = [
        Worker.each(queue, failing(queue.group, times), backoff=backoff, turn_seconds=0.05)
        for queue, times in zip(queues, (4, 3, 0), strict=True)
    ]
    working = [asyncio.create_task(worker.run(run)) for worker in workers]

    async def over() -> bool:
        told = [await queue.measure() for queue in queues]
        return not any(each.lag or each.pending or each.delayed for each in told)

    await wait_for(lambda: len(handled["one"]) >= 5 and len(handled["other"]) >= 4, "all tries")
    await wait_for(over, "the end")
    run.stopping.set()
    await asyncio.gather(*working)
    assert handled == {"one": [1, 2, 3, 4, 5], "other": [1, 2, 3, 4], "third": [1]}
    assert await hub.read.xlen(STREAM) <= 1 + 4 + 3


async def test_a_dead_letter_of_a_log_is_its_groups_own_and_comes_back_to_it_alone(hub: Hub) -> None:
    """The others are done with it, and a relay has passed it on."""
    giving, other = (StreamQueue(hub, STREAM, group=name, keep=True) for name in ("who gives up", "other"))
    consumer, done = giving.consumer("c"), other.consumer("c")
    await consumer.turn(0)
    await done.turn(0)
    await other.publish({"n": 1})
    await done.acknowledge(await done.read(1, block_seconds=0))
    relay = Relay(run=Run(hub=hub, settings=Settings()), stream=STREAM, sink=MemoryQueue("sink"))
    assert await relay.step() == 1
    (message,) = await consumer.read(1, block_seconds=0)
    assert await consumer.bury(message, reason="invalid", error="", deliveries=1)
    (letter,) = await other.letters()
    assert (letter.group, letter.fields, letter.first_ms) == ("who gives up", {b"n": b"1"}, _ms(message))
    assert await other.replay([letter.id]) == 1  # whoever asks for it
    assert await done.read(1, block_seconds=0) == []
    (again,) = await consumer.read(1, block_seconds=0)
    assert (again.fields, again.deliveries, again.first_ms) == ({b"n": b"1"}, 1, _ms(message))
    assert await relay.step() == 1  # it is there, and nothing is passed on
    assert (await relay.sink.measure()).lag == 1


def _ms(message: Message) -> int:
    return int(message.id.partition(b"-")[0])


async def test_when_there_are_too_many_dead_letters_poison_stays_pending(hub: Hub) -> None:
    queue = StreamQueue(hub, STREAM, group="g", dead_max=1)
    await queue.publish_many([{"n": 1}, {"n": 2}])
    consumer = queue.consumer("one")
    await consumer.turn(0)
    first, second = await consumer.read(2, block_seconds=0)
    assert await consumer.bury(first, reason="failed", error="", deliveries=3)
    assert not await consumer.bury(second, reason="failed", error="", deliveries=3)
    told = await queue.measure()
    assert (told.dead, told.pending) == (1, 1)


async def test_what_waits_for_its_time_counts_against_the_bound(hub: Hub, queue: StreamQueue) -> None:
    queue.bound = type(queue.bound)(len_max=1)
    await queue.publish({"n": 1}, delay_seconds=60)
    with pytest.raises(QueueFull):
        await queue.publish({"n": 2})


async def test_a_key_of_another_type_is_an_error_that_ends_the_worker(hub: Hub, queue: StreamQueue) -> None:
    await hub.write.set(STREAM, "not a stream", ex=60)

    async def handle(message: Message) -> None:
        raise AssertionError(message)

    with pytest.raises(ExceptionGroup) as ended:
        await Worker.each(queue, handle).run(Run(hub=hub, settings=Settings()))
    assert ended.group_contains(Fault, match="WRONGTYPE")


async def test_a_limit_lets_a_burst_through_and_then_one_at_a_time(hub: Hub) -> None:
    limit, quick = Key("limit:test"), Key("limit:quick")
    left = [await admit(hub.write, limit, per_second=0.01, burst=3) for _ in range(3)]
    assert left == [2, 1, 0]
    with pytest.raises(TooFast):
        await admit(hub.write, limit, per_second=0.01, burst=3)
    assert 0 < await hub.read.pttl(limit) <= 300_000
    await admit(hub.write, quick, per_second=20, burst=1)

    async def again() -> bool:
        try:
            await admit(hub.write, quick, per_second=20, burst=1)
        except TooFast:
            return False
        return True

    await wait_for(again)


async def test_a_batch_of_abandoned_messages_with_a_killer_in_it_loses_only_the_killer(
    hub: Hub, server: local.Server, queue: StreamQueue
) -> None:
    """Each worker here ends with the killer in its hands: it never answers, and what it held is handed out again."""
    await queue.publish_many([{"n": n} for n in range(10)])
    done: set[bytes] = set()
    for life in range(20):
        if await _live(server, queue, f"life-{life}", done):
            break
    assert done == {b"%d" % n for n in range(10)} - {b"4"}
    (letter,) = await queue.letters()
    assert (letter.fields, letter.reason, letter.deliveries) == ({b"n": b"4"}, "crashed", 4)
    assert await hub.read.xlen(beside(STREAM, "dead")) == 1


async def _live(server: local.Server, queue: StreamQueue, name: str, done: set[bytes]) -> bool:
    """One life of a worker; False when the killer ended it, and with it all its connections."""
    died = asyncio.Event()

    async def handle(messages: list[Message]) -> None:
        if any(message.fields[b"n"] == b"4" for message in messages):
            died.set()
            await asyncio.Event().wait()
        done.update(message.fields[b"n"] for message in messages)

    hub = await connect_url(server.url)
    own = StreamQueue(hub, STREAM, group="g")
    worker = Worker.batches(own, handle, size=10, lease_seconds=0.2, backoff=Backoff(attempts=4), name=name)
    run = Run(hub=hub, settings=Settings(grace_seconds=0))
    working = asyncio.create_task(worker.run(run))
    dead = asyncio.create_task(died.wait())
    ended = asyncio.create_task(wait_for(queue.letters, "the end"))
    await asyncio.wait({dead, ended}, return_when=asyncio.FIRST_COMPLETED)
    for task in (dead, ended):
        task.cancel()
    if died.is_set():
        await hub.aclose()
    run.stopping.set()
    await working
    await hub.aclose()
    return not died.is_set()
