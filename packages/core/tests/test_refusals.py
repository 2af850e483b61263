"""Servers that refuse for a time: a full memory, a primary that is none any more, one that never comes back."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import redis.exceptions as theirs

from lastro.core.cli.chaos.proxy import Proxy
from lastro.core.errors import Busy, Unreachable
from lastro.core.keys import Key, slot
from lastro.core.limits import admit
from lastro.core.queue import Queue, open_queue
from lastro.core.redis import Hub, connect_url
from lastro.core.redis.copies import Copies
from lastro.core.redis.failures import ours
from lastro.core.redis.slots import move_slot
from lastro.core.settings import Settings
from lastro.core.streams import Message
from lastro.core.testing import free_port, wait_for
from lastro.core.testing.topologies import HOST, Node, cluster, sentinels, until
from lastro.core.worker import Run
from lastro.core.worker.consume import Worker
from lastro.core.worker.metrics import LAG

pytestmark = pytest.mark.anyio


@contextmanager
def pair(folder: Path) -> Iterator[tuple[Node, Node]]:
    """A primary and its replica."""
    first = Node(folder / "a", free_port(), ())
    second = Node(folder / "b", free_port(), ("--replicaof", f"{HOST} {first.port}"))
    try:
        until(lambda: second.ask("INFO", "replication")["master_link_status"] == "up", "the replica")
        yield first, second
    finally:
        first.end()
        second.end()


def working(hub: Hub, queue: Queue, handled: list[bytes]) -> tuple[Run, "asyncio.Task[None]"]:
    async def handle(message: Message) -> None:
        handled.append(message.fields[b"n"])

    run = Run(hub=hub, settings=Settings(grace_seconds=1))
    return run, asyncio.create_task(Worker.each(queue, handle, block_seconds=0.3, turn_seconds=0.05).run(run))


async def test_what_frees_a_full_memory_goes_on_where_copies_are_waited_for(tmp_path: Path) -> None:
    """What was settled is answered, though the mark before WAIT needs memory; and a log is trimmed and measured."""
    with pair(tmp_path) as (primary, _):
        async with await connect_url(f"redis://{HOST}:{primary.port}", copies=Copies(1, 5_000)) as hub:
            queue = open_queue("stream://queue:log?group=g&keep=yes", hub)
            await queue.publish_many([{"n": "1", "fill": "x" * 500}] * 2_000)
            primary.ask("CONFIG", "SET", "maxmemory", "1mb")
            with pytest.raises(Unreachable):
                await queue.publish({"n": 1})
            handled: list[bytes] = []
            run, task = working(hub, queue, handled)
            await wait_for(lambda: len(handled) == 2_000, "all handled", 10)
            await admit(hub.write, Key("lastro:x"), per_second=10, burst=5)
            await hub.copied(Key("queue:log"))
            run.stopping.set()
            await task
            LAG.of(queue="queue:log").set(-1)
            run, task = working(hub, queue, handled)
            await wait_for(lambda: _length(hub, 100), "the log to be trimmed")
            assert LAG.of(queue="queue:log")._value.get() == 0
            run.stopping.set()
            await task


async def test_behind_one_address_everything_goes_to_the_new_primary(tmp_path: Path) -> None:
    """An orderly switch: the old primary lives, and who is connected to it stays connected."""
    with pair(tmp_path) as (old, new):
        async with Proxy.to(old.server.socket, tmp_path / "p.sock") as proxy, await connect_url(proxy.url) as hub:
            queue = open_queue("stream://queue:a?group=g", hub)
            handled: list[bytes] = []
            run, task = working(hub, queue, handled)
            await queue.publish({"n": 0})
            await wait_for(lambda: handled == [b"0"], "the first")
            proxy.server = new.server.socket
            new.ask("REPLICAOF", "NO", "ONE")
            old.ask("REPLICAOF", HOST, str(new.port))
            for act in (lambda: queue.publish({"n": 1}), lambda: hub.write.set("k", "x", ex=60)):
                await wait_for(partial(_done, act), "it to be done at the new one")
            await wait_for(lambda: handled == [b"0", b"1"], "the second")
            await wait_for(lambda: _done(lambda: _settled(queue)), "it to be settled")
            run.stopping.set()
            await task


async def _length(hub: Hub, below: int) -> bool:
    return int(await hub.read.xlen("queue:log")) < below


async def _done(act: Callable[[], object]) -> bool:
    try:
        await act()  # type: ignore[misc]  # each of them is awaited
    except Busy:
        return False
    return True


async def _settled(queue: Queue) -> None:
    if (await queue.measure()).pending:
        raise Busy


async def test_a_worker_of_a_cluster_leaves_a_primary_that_never_comes_back() -> None:
    with cluster(primaries=1, replicas=1) as topology:
        old, new = topology.nodes
        async with await connect_url(topology.url, timeout_seconds=1) as hub:
            queue = open_queue("stream://queue:a?group=g", hub)
            handled: list[bytes] = []
            run, task = working(hub, queue, handled)
            await queue.publish({"n": 0})
            await wait_for(lambda: handled == [b"0"], "the first")
            old.kill()
            new.ask("CLUSTER", "FAILOVER", "TAKEOVER")
            await wait_for(lambda: _done(lambda: queue.publish({"n": 1})), "it to be published", 10)
            await wait_for(lambda: b"1" in handled, "it to be read", 10)
            run.stopping.set()
            await task


async def test_dead_letters_and_copies_are_asked_of_the_server_that_a_slot_moved_to() -> None:
    key = Key("{k}:s")
    with cluster(primaries=2, replicas=0) as topology:
        async with await connect_url(topology.url) as hub, await connect_url(topology.url) as mover:
            hub.copies = Copies(0, 1_000)
            queue = open_queue(f"stream://{key}?group=g", hub)
            for act in (queue.letters, lambda: hub.copied(key)):
                await act()
                other = next(node.name for node in topology.nodes if node.name != hub.place(key))
                await move_slot(mover.write, slot(key), other)  # type: ignore[arg-type]  # a cluster's
                await wait_for(partial(_done, act), "an answer")


@pytest.mark.parametrize("behind", ["one server", "sentinels", "cluster"])
async def test_more_callers_than_connections_wait(behind: str) -> None:
    with ExitStack() as stack:
        if behind == "cluster":
            url = stack.enter_context(cluster(primaries=1, replicas=0)).url
        else:
            watched = stack.enter_context(sentinels(replicas=0, watching=1))
            url = watched.url if behind == "sentinels" else f"redis://{watched.primary.name}"
        async with await connect_url(url, connections_max=4) as hub:
            await asyncio.gather(*(hub.write.incr("n") for _ in range(200)))
            assert await hub.read.get("n") == b"200"


@pytest.mark.parametrize("word", ["OOM command not allowed", "READONLY You can't", "NOREPLICAS Not enough"])
@pytest.mark.parametrize(
    "told", ["-{}", "Error running script (call to f_0): @user_script:9: -{}", "@user_script: 9: -{}"]
)
def test_what_a_script_met_on_a_server_before_7_is_refused_for_now_too(told: str, word: str) -> None:
    """Its words are wrapped there, and no class of redis-py's is theirs."""
    assert isinstance(ours(theirs.ResponseError(told.format(word))), Unreachable)
