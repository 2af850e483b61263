"""Pix: the original job and the full two-phase path, beside the floor and the original's own commands, in one run.

One worker in this process, the server in another; every stream is filled before the clock starts. CPU is measured on
both sides, since it says more than the wall clock on a machine that does other things. Latency is open loop: each
payment has its time to be sent, and is measured from then.
"""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import redis as plain
import uvloop

from lastro.core import local
from lastro.core.redis import connect_url
from lastro.core.settings import Settings
from lastro.core.testing import start_server
from lastro.core.worker import Run
from lastro.pix.engine.pix import Pix
from lastro.pix.model.payment import Answer
from lastro.pix.settings import PixSettings
from lastro.pix.simulator.world import Manners, World, banks, percentile
from lastro.pix.worker.stream import Consumer

RECORD_DAY_PER_SECOND = 3_626  # 313.3 million payments on 2025-12-05
BATCH = 250
RATE = 2_000
CONNECTIONS = 32
SERVICES = Path(__file__).parent.parent / "services"
TICKS = os.sysconf("SC_CLK_TCK")


def main(*, quick: bool) -> None:
    """Print the table."""
    count, seconds = (10_000, 2) if quick else (100_000, 15)
    print(f"{'pix':<46}{'payments/s':>11}{'Redis us':>10}{'Python us':>11}{'x record day':>14}")
    asyncio.run(_all(count, seconds))


async def _all(count: int, seconds: int) -> None:
    for durability in _DURABILITIES:
        with TemporaryDirectory(prefix="lastro-") as folder:
            server = start_server(Path(folder), _leg(), durability=durability)
            try:
                await _throughput(server, count, durability)
                if durability == "no":
                    await _latency(server, seconds)
                    await _edge(server, Path(folder), count // 10)
            finally:
                server.stop()


def _leg() -> str:
    return "redis" if shutil.which("redis-server") else "embedded"


async def _throughput(server: local.Server, count: int, durability: local.Durability) -> None:
    async with await connect_url(server.url) as hub:
        pix = Pix.of(hub, PixSettings())
        world = World(pix, banks(10))
        suffix = "" if durability == "no" else f", AOF {durability}"
        if durability == "no":
            await _fresh(pix)
            await _row(f"floor: XADD{suffix}", pix, count, lambda: _fill(pix, pix.keys.payments, _originals(count)))
            await _row(f"floor: XREADGROUP + XACK{suffix}", pix, count, lambda: _read_and_acknowledge(pix, count))
            await _fresh(pix)
            await _fill(pix, pix.keys.payments, _originals(count // 5))
            await _row(
                "the original's commands, hiredis", pix, count // 5, lambda: _as_the_original(server, count // 5)
            )
        await _fresh(pix)
        await _fill(pix, pix.keys.payments, _originals(count))
        await _row(f"one-phase: the original messages{suffix}", pix, count, lambda: _work(pix, pix.keys.payments))
        await _fresh(pix)
        await world.open()
        orders = [world.order() for _ in range(count)]
        await _fill(pix, pix.keys.payments, [[b"payment", msgspec.json.encode(order)] for order in orders])
        accept = await _measured(pix, lambda: _work(pix, pix.keys.payments))
        answers = [Answer(end_to_end_id=order.end_to_end_id, payee=order.payee, status="ACSP") for order in orders]
        await _fill(pix, pix.keys.answers, [[b"answer", msgspec.json.encode(answer)] for answer in answers])
        settle = await _measured(pix, lambda: _work(pix, pix.keys.answers))
        _print(f"  first phase: check, hold, ask{suffix}", accept, count)
        _print(f"  second phase: answer, post, tell both{suffix}", settle, count)
        both = tuple(one + two for one, two in zip(accept, settle, strict=True))
        _print(f"two-phase, one worker, receivers apart{suffix}", both, count)
        assert int(await pix.read.get(pix.keys.count)) == count


async def _fresh(pix: Pix) -> None:
    await pix.write.flushall()
    consumer = Consumer(pix, Run(hub=pix.hub, settings=Settings()))
    await consumer.ensure_groups()


def _originals(count: int) -> list[list[bytes]]:
    now = datetime.now().isoformat().encode()  # noqa: DTZ005 - the original's timestamps have no zone
    return [
        [
            b"transaction_id", b"txn_%08d" % number, b"backend_id", b"%d" % (number % 4 + 1),
            b"amount", b"%d.%02d" % (number % 900 + 1, number % 100), b"timestamp", now,
        ]
        for number in range(count)
    ]  # fmt: skip


async def _fill(pix: Pix, stream: str, entries: list[list[bytes]]) -> None:
    line = pix.hub.line()
    for start in range(0, len(entries), 500):
        await line.send([("XADD", stream, "*", *entry) for entry in entries[start : start + 500]])


async def _read_and_acknowledge(pix: Pix, count: int) -> None:
    line, done = pix.hub.line(), 0
    stream, group = pix.keys.payments, pix.settings.group
    while done < count:
        reply = await line.send([("XREADGROUP", "GROUP", group, "floor", "COUNT", BATCH, "STREAMS", stream, ">")])
        ids = [entry for entry, _ in reply[0][0][1]]
        await line.send([("XACK", stream, group, *ids)])
        done += len(ids)


async def _work(pix: Pix, stream: str) -> None:
    """One worker's own loop, until nothing waits."""
    run = Run(hub=pix.hub, settings=Settings())
    consumer = Consumer(pix, run)

    async def until_empty() -> None:
        while await pix.read.xlen(stream):  # noqa: ASYNC110 - the server says when
            await asyncio.sleep(0.005)
        run.stopping.set()

    await asyncio.gather(consumer.take(), until_empty())


async def _as_the_original(server: local.Server, count: int) -> None:
    """The original consumer's commands: MULTI INCR INCRBYFLOAT XADD EXEC for each message, then one XACK each."""
    with plain.Redis.from_url(server.url, decode_responses=True) as client:
        done = 0
        while done < count:
            found: Any = client.xreadgroup("pix_consumers", "original", {"pix_payments": ">"}, count=100, block=5_000)
            for entry, fields in found[0][1]:
                with client.pipeline(transaction=True) as pipe:
                    pipe.incr("processed_count")
                    pipe.incrbyfloat("total_amount", float(fields["amount"]))
                    pipe.xadd(
                        f"backend_bacen_response_{fields['backend_id']}",
                        {
                            "transaction_id": fields["transaction_id"], "status": "confirmed",
                            "processed_amount": fields["amount"], "backend_id": fields["backend_id"],
                            "timestamp": fields["timestamp"],
                        },
                    )  # fmt: skip
                    pipe.execute()
                client.xack("pix_payments", "pix_consumers", entry)
                done += 1


_DURABILITIES: tuple[local.Durability, ...] = ("no", "everysec")
Spent = tuple[float, float, float]  # wall, Redis, Python: seconds


async def _row(name: str, pix: Pix, count: int, act: Callable[[], Awaitable[None]]) -> None:
    _print(name, await _measured(pix, act), count)


async def _measured(pix: Pix, act: Callable[[], Awaitable[None]]) -> Spent:
    server, mine, wall = await _server_cpu(pix), _my_cpu(), time.perf_counter()
    await act()
    wall, mine = time.perf_counter() - wall, _my_cpu() - mine
    return wall, await _server_cpu(pix) - server, mine


async def _server_cpu(pix: Pix) -> float:
    told = await pix.read.info("cpu")
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def _my_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _print(name: str, spent: Any, count: int) -> None:
    wall, redis, python = spent
    rate = count / wall
    print(
        f"{name:<46}{rate:>11,.0f}{redis / count * 1e6:>10.1f}{python / count * 1e6:>11.1f}"
        f"{rate / RECORD_DAY_PER_SECOND:>14.1f}"
    )


async def _edge(server: local.Server, folder: Path, count: int) -> None:
    """Payments in by HTTP: one service process, 32 connections; beside a request that does nothing."""
    socket, quiet = folder / "edge", {"LASTRO_PIX_TOKENS": "1000000000", "LASTRO_LOG_LEVEL": "error"}
    async with (
        await connect_url(server.url) as hub,
        _serving("pix", socket, LASTRO_REDIS_URL=server.url, **quiet) as pid,
    ):
        world = World(Pix.of(hub, PixSettings()), banks(2))
        payer = world.banks[0]
        bodies = [msgspec.json.encode(world.order(payer=payer)) for _ in range(count)]
        many = [msgspec.json.encode(world.order(payer=payer)) for _ in range(count * 5)]
        bulks = [b"\n".join(many[start : start + BATCH]) for start in range(0, len(many), BATCH)]
        for name, requests, wanted, each in (
            ("floor: GET /livez", [_request("GET", "/livez")] * count, b"200", 1),
            ("HTTP: one payment a request", [_request("POST", "/pix/payments", body) for body in bodies], b"202", 1),
            (
                f"HTTP: {BATCH} payments a request",
                [_request("POST", "/pix/payments/bulk", body, "application/x-ndjson") for body in bulks],
                b"202",
                BATCH,
            ),
        ):
            wall, cpu = await _load(socket, pid, requests, wanted)
            _print(name, (wall, 0.0, cpu), len(requests) * each)


async def _latency(server: local.Server, seconds: int) -> None:
    """Two-phase, everything live: a worker process, and the participants here, answering at once."""
    async with await connect_url(server.url) as hub:
        pix = Pix.of(hub, PixSettings())
        await _fresh(pix)
        environment = os.environ | {"LASTRO_REDIS_URL": server.url, "LASTRO_LOG_LEVEL": "error"}
        command = [sys.executable, "-m", "lastro.core.cli", "pix", "work"]
        worker = subprocess.Popen(command, env=environment)  # noqa: ASYNC220 - it only starts it
        try:
            world = World(pix, banks(10), Manners(answer_p50_s=0))
            await world.open()
            receiving = asyncio.create_task(world.receive())
            await world.pay(100, 100)  # until it is warm
            await world.heard_of_all(10)
            world.seen.latency_s.clear()
            await world.pay(RATE * seconds, RATE)
            assert await world.heard_of_all(30)
            world.stopping.set()
            await receiving
        finally:
            worker.terminate()
            worker.wait(10)
        p50, p99 = (percentile(world.seen.latency_s, share) * 1_000 for share in (0.5, 0.99))
        print(f"  open loop, {RATE * seconds} at {RATE}/s: payers hear after p50 {p50:.1f} ms, p99 {p99:.1f} ms")


@asynccontextmanager
async def _serving(domain: str, socket: Path, **settings: str) -> AsyncIterator[int]:
    """The service in a process of its own; gives its pid."""
    command = [sys.executable, "-m", "uvicorn", "main:app", "--app-dir", str(SERVICES / domain), "--uds", str(socket)]
    environment = os.environ | settings
    process = subprocess.Popen(  # noqa: ASYNC220 - it only starts it
        [*command, "--no-access-log", "--log-level", "error"], env=environment
    )
    try:
        for _ in range(200):
            try:
                _, writer = await asyncio.open_unix_connection(str(socket))
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def _request(method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    """One request as bytes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: edge\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _load(socket: Path, pid: int, requests: Sequence[bytes], wanted: bytes) -> tuple[float, float]:
    """Send them all, each connection one after the other; seconds, and of the service's CPU. Answers are checked."""
    left, cpu, started = iter(requests), _cpu_of(pid), time.perf_counter()

    async def one() -> None:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        for each in left:
            writer.write(each)
            head = await reader.readuntil(b"\r\n\r\n")
            assert wanted in head[:20], head
            size = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(size))
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return time.perf_counter() - started, _cpu_of(pid) - cpu


def _cpu_of(pid: int) -> float:
    """What a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


uvloop.install()
