"""What a worker promises: everything is handled, nothing stops the rest, and stopping loses nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from lastro.core.cli.chaos.proxy import Proxy
from lastro.core.errors import Busy, Invalid
from lastro.core.keys import Key
from lastro.core.queue import Backoff, Consumer, Queue, open_queue
from lastro.core.redis import Hub, connect_url
from lastro.core.settings import Settings
from lastro.core.streams import Message
from lastro.core.streams.letters import line
from lastro.core.testing import standstill, start_server, wait_for
from lastro.core.worker import Run
from lastro.core.worker import run as together
from lastro.core.worker.consume import Failures, Worker

pytestmark = pytest.mark.anyio

QUICK = Backoff(base_seconds=0.01, cap_seconds=0.02, attempts=3)
LONG_SECONDS = 1.2
URLS = ("stream://queue:work", "list://queue:work", "memory://work")


@pytest.fixture(params=URLS)
def queue(request: pytest.FixtureRequest, hub: Hub) -> Queue:
    return open_queue(request.param, hub)


@asynccontextmanager
async def working(hub: Hub, *workers: Worker, grace_seconds: float = 5.0) -> AsyncIterator[Run]:
    run = Run(hub=hub, settings=Settings(grace_seconds=grace_seconds))
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.run(run))
        yield run
        run.stopping.set()


def empty(queue: Queue) -> Callable[[], object]:
    async def is_empty() -> bool:
        told = await queue.measure()
        return not (told.lag or told.pending or told.delayed)

    return is_empty


async def test_one_work_that_fails_ends_those_that_lose_a_cancellation_too(hub: Hub) -> None:
    ended: list[str] = []

    async def deaf(run: Run) -> None:
        while not run.stopping.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        ended.append("deaf")

    async def fails(run: Run) -> None:
        await run.pause(0.01)
        raise LookupError("a fault")

    with pytest.raises(ExceptionGroup) as told:
        await together({"deaf": deaf, "fails": fails}, Run(hub=hub, settings=Settings()))
    assert [type(error) for error in told.value.exceptions] == [LookupError]
    assert ended == ["deaf"]


async def test_every_message_is_handled_and_acknowledged(hub: Hub, queue: Queue) -> None:
    await queue.publish_many([{"n": n} for n in range(300)])
    handled: list[bytes] = []

    async def handle(message: Message) -> None:
        handled.append(message.fields[b"n"])

    async with working(hub, Worker.each(queue, handle, concurrency=16)):
        await wait_for(empty(queue))
    assert sorted(handled) == sorted(b"%d" % n for n in range(300))


async def test_a_batch_handler_gets_many_at_a_time(hub: Hub, queue: Queue) -> None:
    await queue.publish_many([{"n": n} for n in range(250)])
    sizes: list[int] = []

    async def handle(messages: list[Message]) -> None:
        sizes.append(len(messages))

    async with working(hub, Worker.batches(queue, handle, size=100)):
        await wait_for(empty(queue))
    assert sum(sizes) == 250
    assert max(sizes) == 100


async def test_one_that_raises_is_dead_after_as_many_deliveries_and_the_rest_flows(hub: Hub, queue: Queue) -> None:
    await queue.publish_many([{"n": n} for n in range(50)])
    seen: list[tuple[bytes, int]] = []

    async def handle(message: Message) -> None:
        seen.append((message.fields[b"n"], message.deliveries))
        if message.fields[b"n"] == b"7":
            raise ValueError("seven")

    async with working(hub, Worker.each(queue, handle, backoff=QUICK, turn_seconds=0.05)):
        await wait_for(empty(queue), within_seconds=10)
    assert [told for told in seen if told[0] == b"7"] == [(b"7", 1), (b"7", 2), (b"7", 3)]
    (letter,) = await queue.letters()
    assert (letter.reason, letter.deliveries, letter.fields) == ("failed", 3, {b"n": b"7"})
    assert letter.error.startswith("ValueError: seven [test_worker.py:")
    assert len(seen) == 52


async def test_a_batch_that_raises_is_split_until_the_culprit_is_alone(hub: Hub, queue: Queue) -> None:
    await queue.publish_many([{"n": n} for n in range(64)])
    done: set[bytes] = set()

    async def handle(messages: list[Message]) -> None:
        if any(message.fields[b"n"] == b"13" for message in messages):
            raise ValueError("thirteen is among them")
        done.update(message.fields[b"n"] for message in messages)

    async with working(hub, Worker.batches(queue, handle, size=64, backoff=QUICK, turn_seconds=0.05)):
        await wait_for(empty(queue), within_seconds=10)
    assert len(done) == 63
    assert [letter.fields for letter in await queue.letters()] == [{b"n": b"13"}]


async def test_a_batch_handler_may_name_what_failed(hub: Hub, queue: Queue) -> None:
    await queue.publish_many([{"n": n} for n in range(10)])
    calls: list[int] = []

    async def handle(messages: list[Message]) -> Failures:
        calls.append(len(messages))
        return {message.id: Invalid(field="n", reason="odd") for message in messages if int(message.fields[b"n"]) % 2}

    async with working(hub, Worker.batches(queue, handle, size=10)):
        await wait_for(empty(queue))
    assert sum(calls) == 10
    assert [letter.reason for letter in await queue.letters()] == ["invalid"] * 5


async def test_one_that_hangs_is_a_failed_delivery_and_delays_nobody(hub: Hub, queue: Queue) -> None:
    await queue.publish_many([{"n": n} for n in range(20)])
    done: list[bytes] = []

    async def handle(messages: list[Message]) -> None:
        if any(message.fields[b"n"] == b"3" for message in messages):
            await asyncio.Event().wait()
        done.extend(message.fields[b"n"] for message in messages)

    worker = Worker.batches(queue, handle, size=10, backoff=QUICK, turn_seconds=0.05, timeout_seconds=0.05)
    async with working(hub, worker):
        await wait_for(empty(queue), within_seconds=10)
    assert len(done) == 19
    assert [letter.reason for letter in await queue.letters()] == ["timeout"]


async def test_bad_content_is_dead_at_once(hub: Hub, queue: Queue) -> None:
    await queue.publish({"amount": "many"})

    async def handle(message: Message) -> None:
        raise Invalid(field="amount", reason="not a number")

    async with working(hub, Worker.each(queue, handle)):
        await wait_for(empty(queue))
    (letter,) = await queue.letters()
    assert (letter.reason, letter.deliveries) == ("invalid", 1)


async def test_what_is_busy_is_tried_again_without_end_and_not_held_against_the_message(hub: Hub, queue: Queue) -> None:
    await queue.publish({"n": 1})
    seen: list[int] = []

    async def handle(message: Message) -> None:
        seen.append(message.deliveries)
        if len(seen) < 6:
            raise Busy

    async with working(hub, Worker.each(queue, handle, backoff=QUICK, turn_seconds=0.05)):
        await wait_for(empty(queue), within_seconds=15)
    assert seen == [1] * 6
    assert await queue.letters() == []


async def test_stopping_finishes_what_is_in_hand(hub: Hub, queue: Queue) -> None:
    await queue.publish({"n": 1})
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def handle(message: Message) -> None:
        begun.set()
        await may_end.wait()

    async with working(hub, Worker.each(queue, handle)) as run:
        await begun.wait()
        run.stopping.set()
        await run.hub.read.ping()
        may_end.set()
    told = await queue.measure()
    assert (told.lag, told.pending) == (0, 0)


async def test_what_is_not_finished_within_the_grace_is_there_for_others_at_once(hub: Hub, queue: Queue) -> None:
    await queue.publish({"n": 1})
    begun = asyncio.Event()

    async def hang(message: Message) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with working(hub, Worker.each(queue, hang), grace_seconds=0.05):
        await begun.wait()
    handled = asyncio.Event()

    async def handle(message: Message) -> None:
        assert message.deliveries == 2
        handled.set()

    async with working(hub, Worker.each(queue, handle)):
        await asyncio.wait_for(handled.wait(), 5)
        await wait_for(empty(queue))


async def test_a_long_job_is_renewed_and_runs_once(hub: Hub, queue: Queue) -> None:
    await queue.publish({"n": 1})
    runs: list[int] = []

    async def long(message: Message) -> None:
        runs.append(message.deliveries)
        await asyncio.sleep(LONG_SECONDS)

    workers = [Worker.each(queue, long, lease_seconds=LONG_SECONDS * 0.8, turn_seconds=0.1) for _ in range(3)]
    async with standstill(hub) as lost, working(hub, *workers):
        await wait_for(empty(queue))
    assert runs == [1] or lost.seconds > LONG_SECONDS / 4


async def test_a_suspect_that_the_store_does_not_let_begin_begins_later(tmp_path: Path) -> None:
    """Taken out of its line and put nowhere, it would be held for as long as the process lives, and handled never."""
    handled: list[bytes] = []
    running = start_server(tmp_path)
    async with (
        Proxy.to(running.socket, tmp_path / "p.sock") as proxy,
        await connect_url(proxy.url, timeout_seconds=0.3) as hub,
    ):
        queue = open_queue("stream://queue:work", hub)
        await queue.publish_many([{"n": 1}, {"n": 2}])
        first, second = (queue.consumer(name, lease_seconds=0.01) for name in "ab")  # gone without a word, both
        await wait_for(lambda: first.read(2, block_seconds=0.1), "both")
        await wait_for(lambda: _taken_over(second, 2))

        async def handle(message: Message) -> None:
            assert message.suspect
            proxy.half_open = not handled
            handled.append(message.fields[b"n"])

        worker = Worker.each(queue, handle, lease_seconds=0.1, block_seconds=0.1)
        async with working(hub, worker):
            await wait_for(lambda: proxy.losses > 3)
            proxy.half_open = False
            proxy.cut()
            await wait_for(empty(queue))
        await first.aclose()
        await second.aclose()
    running.stop()
    assert set(handled) == {b"1", b"2"}


async def test_a_worker_stops_that_buries_a_killer_while_the_store_is_away(tmp_path: Path) -> None:
    """What no handler gets is let go at the end of the grace like what one has."""
    running = start_server(tmp_path)
    async with (
        Proxy.to(running.socket, tmp_path / "p.sock") as proxy,
        await connect_url(proxy.url, timeout_seconds=0.1) as hub,
    ):
        queue = open_queue("stream://queue:work?group=g", hub)
        killer, other = await queue.publish_many([{"n": 1}, {"n": 2}])
        dead = queue.consumer("dead")
        await wait_for(lambda: dead.read(2, block_seconds=0.1), "both")
        await hub.write.xclaim("queue:work", "g", "dead", 0, [killer], idle=100_000, retrycount=9, justid=True)
        await hub.write.xclaim("queue:work", "g", "dead", 0, [other], idle=100_000, retrycount=1, justid=True)
        both_taken = asyncio.Event()

        async def handle(message: Message) -> None:
            proxy.half_open = True
            both_taken.set()

        run = Run(hub=hub, settings=Settings(grace_seconds=0.5))
        working = asyncio.create_task(Worker.each(queue, handle, lease_seconds=30, block_seconds=0.1).run(run))
        await both_taken.wait()
        run.stopping.set()
        stopped, _ = await asyncio.wait({working}, timeout=20)
        proxy.half_open = False
        await working
        assert stopped
        await dead.aclose()
    running.stop()


def wide(fields: int) -> list[str]:
    """An entry of so many."""
    return [word for n in range(fields) for word in (f"f{n}", "v")]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (["~", "x", "a", "1"], "its field ~ is not the queue's: b'x'"),
        (["~", "9" * 5000 + " 1", "a", "1"], "its field ~ is not the queue's"),
        (["~", "1 999999999999999", "a", "1"], "its field ~ is not the queue's"),
        (["a", "1", "~", "0 1000"], "its field ~ is not the queue's"),
        (wide(1_500), "1500 fields, and a message has at most 1000"),
        (wide(4_500), "4500 fields, and a message has at most 1000; the first 3900 are kept"),
    ],
)
@pytest.mark.parametrize("taken_over", [False, True])
async def test_an_entry_that_is_no_message_is_dead_and_stops_nobody(
    hub: Hub, entry: list[str], reason: str, *, taken_over: bool
) -> None:
    queue = open_queue("stream://queue:work?group=g", hub)
    await hub.write.execute_command("XADD", "queue:work", "*", *entry)
    await queue.publish({"n": "good"})
    if taken_over:
        await hub.write.xgroup_create("queue:work", "g", id="0")
        await hub.write.execute_command("XREADGROUP", "GROUP", "g", "dead", "STREAMS", "queue:work", ">")
    seen: list[dict[bytes, bytes]] = []

    async def handle(message: Message) -> None:
        seen.append(message.fields)

    for again in (False, True):  # replayed it is no message, either
        async with working(hub, Worker.each(queue, handle, lease_seconds=0.05, block_seconds=0.1, turn_seconds=0.05)):
            await wait_for(empty(queue))
        assert seen == [{b"n": b"good"}]
        (letter,) = await queue.letters()
        assert (letter.reason, len(letter.fields)) == ("invalid", min(len(entry) // 2, 3900))
        assert again or letter.error.startswith(reason)
        assert line(letter).startswith(letter.id.decode())
        assert await queue.replay([letter.id]) == 1


async def test_suspects_that_were_lost_and_come_back_while_they_wait_run_once(hub: Hub) -> None:
    """They stand in line twice then."""
    queue = open_queue("stream://queue:work?group=g", hub)
    ids = await queue.publish_many([{"n": n} for n in range(3)])
    first, second = (queue.consumer(name, lease_seconds=0.01) for name in "ab")
    await wait_for(lambda: first.read(3, block_seconds=0.1), "all")
    await wait_for(lambda: _taken_over(second, 3))
    handled: list[bytes] = []

    async def back() -> bool:
        return not await hub.read.xpending_range("queue:work", "g", "-", "+", 3, consumername="thief")

    async def handle(message: Message) -> None:
        handled.append(message.fields[b"n"])
        if len(handled) == 1:
            await hub.write.xclaim("queue:work", "g", "thief", 0, [*ids[1:]], justid=True)
            await wait_for(back)

    async with working(hub, Worker.each(queue, handle, lease_seconds=0.1, turn_seconds=0.05)):
        await wait_for(empty(queue))
    await first.aclose()
    await second.aclose()
    assert handled == [b"0", b"1", b"2"]


async def _taken_over(consumer: Consumer, count: int) -> bool:
    return len((await consumer.turn(count)).messages) == count


async def test_a_handler_that_acknowledges_itself_is_not_acknowledged_again(hub: Hub) -> None:
    queue = open_queue("stream://queue:work?group=g", hub)
    await queue.publish_many([{"n": n} for n in range(10)])

    async def handle(messages: list[Message]) -> None:
        ids = [message.id for message in messages if message.fields[b"n"] != b"3"]
        await hub.write.xack("queue:work", "g", *ids)
        await hub.write.xdel("queue:work", *ids)

    async with working(hub, Worker.batches(queue, handle, acknowledges=True, lease_seconds=30)):
        await wait_for(lambda: _pending(queue, 1))
    assert await hub.read.xlen(Key("queue:work")) == 1


async def _pending(queue: Queue, count: int) -> bool:
    told = await queue.measure()
    return (told.lag, told.pending) == (0, count)


async def test_a_handler_that_lets_a_cancellation_out_has_failed_and_keeps_nobody_waiting(
    hub: Hub, queue: Queue
) -> None:
    """It awaits what somebody else cancelled; nobody asked that of its own task."""
    await queue.publish_many([{"n": n} for n in range(3)])
    handled: list[bytes] = []
    cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cancelled.cancel()

    async def handle(message: Message) -> None:
        if message.fields[b"n"] == b"0":
            await cancelled
        handled.append(message.fields[b"n"])

    async with working(hub, Worker.each(queue, handle, concurrency=1, backoff=QUICK, turn_seconds=0.05)):
        await wait_for(empty(queue), within_seconds=10)
    assert handled == [b"1", b"2"]
    assert [letter.reason for letter in await queue.letters()] == ["failed"]


@pytest.mark.parametrize("url", URLS[:2])
async def test_an_orderly_stop_is_no_crash(hub: Hub, url: str) -> None:
    """However often a worker is stopped in the middle of a message that takes long, it is a first delivery."""
    queue = open_queue(url, hub)
    await queue.publish({"n": 1})
    deliveries: list[int] = []

    async def slow(message: Message) -> None:
        deliveries.append(message.deliveries)
        await asyncio.sleep(60)

    for stopped in range(1, QUICK.attempts + 3):
        async with working(hub, Worker.each(queue, slow, backoff=QUICK, turn_seconds=0.05), grace_seconds=0.05):
            await wait_for(partial(_as_many, deliveries, stopped), "the next delivery")
    assert set(deliveries) == {1}
    assert await queue.letters() == []


def _as_many(found: list[int], count: int) -> bool:
    return len(found) == count


async def test_suspects_in_line_keep_no_new_message_waiting(hub: Hub) -> None:
    queue = open_queue("stream://queue:work", hub)
    await queue.publish_many([{"n": n} for n in range(4)])
    for name in ("a", "b"):
        consumer = queue.consumer(name, lease_seconds=0.01)
        await consumer.turn(0)
        taken = await consumer.read(4, block_seconds=0) or (await consumer.turn(4)).messages
        assert len(taken) == 4
        await consumer.aclose()
        await asyncio.sleep(0.05)
    handled: list[bytes] = []

    async def handle(message: Message) -> None:
        if message.suspect:
            await asyncio.sleep(60)
        handled.append(message.fields[b"n"])

    worker = Worker.each(queue, handle, concurrency=2, lease_seconds=1, turn_seconds=0.05)
    async with working(hub, worker, grace_seconds=0.1):
        await wait_for(lambda: len(worker._held) == 4, "the suspects in hand")
        await queue.publish({"n": 9})
        await wait_for(lambda: handled == [b"9"], "the new message")
