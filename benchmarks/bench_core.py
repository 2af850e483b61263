"""Core beside its floors: publish and drain of a queue, what a drained queue leaves, and what idle workers cost.

Client CPU per message is the comparable figure: wall clock is whatever the machine's other work left over. The floor of
a row is a bare socket with hiredis doing the same commands, in the same run.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hiredis
from rich.console import Console
from rich.table import Table

from lastro.core import local
from lastro.core.keys import Key
from lastro.core.logging import configure
from lastro.core.queue import Bound
from lastro.core.queue.stream import StreamQueue
from lastro.core.redis import Hub, connect_url
from lastro.core.settings import Settings
from lastro.core.streams import Message
from lastro.core.testing import start_server, wait_for
from lastro.core.worker import Run
from lastro.core.worker.consume import Worker

DEPTH = 256
BODY = b"x" * 100
STREAM = Key("queue:bench")


class Clock:
    """CPU of this process and wall time since it was made."""

    def __init__(self) -> None:
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def told(self, count: int) -> tuple[float, float]:
        """µs of CPU each, and how many a second."""
        return (time.process_time() - self.cpu) / count * 1e6, count / (time.perf_counter() - self.wall)


class Bare:
    """A blocking socket and hiredis: the least a client can do."""

    def __init__(self, server: local.Server) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(server.socket))
        self.reader = hiredis.Reader()

    def ask(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """All out, all in."""
        self.socket.sendall(b"".join([hiredis.pack_command(command) for command in commands]))
        replies: list[Any] = []
        while len(replies) < len(commands):
            reply = self.reader.gets()
            if reply is False:
                self.reader.feed(self.socket.recv(262_144))
            else:
                replies.append(reply)
        return replies


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Hub, local.Server]]:
    """A server of its own, without a disk."""
    with TemporaryDirectory(prefix="lb-") as folder:
        server = start_server(Path(folder))
        async with await connect_url(server.url) as hub:
            yield hub, server
        server.stop()


def bare_publish(server: local.Server, count: int) -> tuple[float, float]:
    """Floor: XADD, pipelined."""
    bare, clock = Bare(server), Clock()
    for _ in range(count // DEPTH):
        bare.ask([("XADD", "bare", "*", "body", BODY)] * DEPTH)
    return clock.told(count // DEPTH * DEPTH)


def bare_drain(server: local.Server, count: int) -> tuple[float, float]:
    """Floor: XREADGROUP 500, XACK and XDEL of all."""
    bare = Bare(server)
    bare.ask([("XGROUP", "CREATE", "bare", "g", "0")])
    clock, done = Clock(), 0
    while done < count:
        (reply,) = bare.ask([("XREADGROUP", "GROUP", "g", "c", "COUNT", 500, "STREAMS", "bare", ">")])
        if not reply:
            break
        ids = [entry[0] for entry in reply[0][1]]
        bare.ask([("XACK", "bare", "g", *ids), ("XDEL", "bare", *ids)])
        done += len(ids)
    return clock.told(done)


async def many(queue: StreamQueue, count: int) -> tuple[float, float]:
    """A producer that has 256 at a time."""
    clock = Clock()
    for _ in range(count // DEPTH):
        await queue.publish_many([{"body": BODY}] * DEPTH)
    return clock.told(count // DEPTH * DEPTH)


async def single(queue: StreamQueue, count: int) -> tuple[float, float]:
    """256 tasks that publish one at a time, and share writes without knowing it."""

    async def producer() -> None:
        for _ in range(count // DEPTH):
            await queue.publish({"body": BODY})

    clock = Clock()
    await asyncio.gather(*(producer() for _ in range(DEPTH)))
    return clock.told(count // DEPTH * DEPTH)


async def working(hub: Hub, worker: Worker, until: asyncio.Event) -> tuple[float, float]:
    """CPU and wall of a worker, from its start until that happened."""
    run = Run(hub=hub, settings=Settings())
    clock = Clock()
    task = asyncio.create_task(worker.run(run))
    await until.wait()
    told = clock.told(1)
    run.stopping.set()
    await task
    return told


async def drain(hub: Hub, queue: StreamQueue, count: int, *, batches: bool) -> tuple[float, float]:
    """One worker process empties a backlog."""
    left, empty = count, asyncio.Event()

    async def handle_all(messages: list[Message]) -> None:
        nonlocal left
        left -= len(messages)
        if left <= 0:
            empty.set()

    async def handle(message: Message) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            empty.set()

    worker = Worker.batches(queue, handle_all) if batches else Worker.each(queue, handle, concurrency=256)
    cpu, runs = await working(hub, worker, empty)
    return cpu / count, runs * count


def monitored(server: local.Server, seconds: float) -> int:
    """Commands that clients sent: MONITOR marks what scripts call."""
    bare, sent, end = Bare(server), 0, time.monotonic() + seconds
    bare.ask([("MONITOR",)])
    bare.socket.settimeout(0.2)
    while time.monotonic() < end:
        with suppress(TimeoutError):
            bare.reader.feed(bare.socket.recv(65_536))
        while line := bare.reader.gets():
            sent += b" lua]" not in line
    return sent


async def idle_commands(hub: Hub, server: local.Server, seconds: float) -> float:
    """Commands a second that eight idle workers send."""
    queue = StreamQueue(hub, Key("queue:idle"))
    run = Run(hub=hub, settings=Settings())
    workers = [asyncio.create_task(Worker.each(queue, _nothing).run(run)) for _ in range(8)]

    async def all_wait() -> bool:
        return int((await hub.read.info("clients"))["blocked_clients"]) == len(workers)

    await wait_for(all_wait)
    sent = await asyncio.to_thread(monitored, server, seconds)
    run.stopping.set()
    await asyncio.gather(*workers)
    return sent / seconds


async def _nothing(_: Message) -> None:
    pass


async def memory(hub: Hub) -> float:
    """MB in use at the server."""
    return float((await hub.read.info("memory"))["used_memory"]) / 1e6


async def bench(table: Table, *, quick: bool) -> None:
    """All rows."""
    few, lots = (20_480, 20_480) if quick else (256_000, 1_000_000)

    def row(name: str, ours: tuple[float, float], floor: tuple[float, float], bar: str) -> None:
        table.add_row(name, f"{ours[0]:.2f}", f"{floor[0]:.2f}", f"{ours[1]:,.0f}", f"{floor[1]:,.0f}", bar)

    async with served() as (hub, server):
        queue = StreamQueue(hub, STREAM, bound=Bound(len_max=2_000_000))
        floor = bare_publish(server, few)
        row("publish_many, depth 256", await many(queue, few), floor, "≤ 6 µs")
        row("publish by 256 tasks", await single(queue, few), floor, "≤ 6 µs")
        await hub.write.flushall()
        bare_publish(server, few)
        floor = bare_drain(server, few)
        await hub.write.flushall()
        before = await memory(hub)
        await many(queue, lots)
        full = await memory(hub)
        row(f"drain {lots:,}, batch handler", await drain(hub, queue, lots, batches=True), floor, "≤ 8 µs, ≥ 25,000/s")
        after = await memory(hub)
        table.add_row("memory MB: empty, full, drained", f"{after:.1f}", f"{before:.1f}", f"{full:.1f}", "", "back")
        await many(queue, few)
        row("drain, a task per message", await drain(hub, queue, few, batches=False), floor, "none")
        told = await idle_commands(hub, server, 2 if quick else 20)
        table.add_row("8 idle workers, commands/s", f"{told:.1f}", "0", "", "", "< 20")


def main(*, quick: bool) -> None:
    """One table."""
    configure("json", "error")
    table = Table("core", "µs CPU each", "floor", "per second", "floor", "bar", title="lastro.core")
    asyncio.run(bench(table, quick=quick))
    Console().print(table)
