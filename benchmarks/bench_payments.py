"""Payments through HAProxy: latency, CPU and memory, beside the same stack around an empty handler; and summaries.

All stacks are measured in one run, in turn. CPU is all of our processes' (HAProxy, both APIs, the store), from /proc.
The processors are the outside world, with machines of their own: here they get what our processes leave.
"""

import asyncio
import os
import selectors
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.table import Table

from lastro.core.local import Durability
from lastro.core.redis import Hub, connect_url
from lastro.core.testing import free_port
from lastro.payments.engine import Payments
from lastro.payments.engine.http import HttpClient
from lastro.payments.keys import Keys
from lastro.payments.settings import PaymentsSettings
from lastro.payments.simulator.stack import PROCESSES, Stack, deployed

CONFIG = Path(__file__).parent.parent / "ops/haproxy/payments.cfg"
EMPTY = """
import os
file = os.open(os.environ["WRITTEN"], os.O_CREAT | os.O_WRONLY | os.O_APPEND) if "WRITTEN" in os.environ else None
async def app(scope, receive, send):
    if scope["type"] == "http":
        body = (await receive()).get("body")
        if file and body:
            os.write(file, body)
            os.fdatasync(file)
        await send({"type": "http.response.start", "status": 201, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
"""
TICK = os.sysconf("SC_CLK_TCK")
OURS = (*PROCESSES, "haproxy")


@dataclass(frozen=True, slots=True)
class Measured:
    """One load on one stack."""

    p50_ms: float
    p99_ms: float
    cpu_ms: float
    failed: int


class Floor(Stack):
    """The same stack, its processes around an empty ASGI handler."""

    def start(self, name: str) -> None:
        """Start uvicorn as the service does, around nothing."""
        (self.folder / "empty.py").write_text(EMPTY)
        socket = str(self.folder / f"{name}.sock")
        options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "--uds",
            socket,
            *options,
            "--app-dir",
            str(self.folder),
            "empty:app",
        ]
        self.spawn(name, command, dict(os.environ) | self.more(name))

    def more(self, name: str) -> dict[str, str]:
        """What else its environment says."""
        return {}


class DurableFloor(Floor):
    """That floor, with every body on the disk before it is answered: what the disk alone adds."""

    def more(self, name: str) -> dict[str, str]:
        """The file of this process."""
        return {"WRITTEN": str(self.folder / f"{name}.written")}


STACKS: dict[str, tuple[type[Stack], Durability]] = {
    "floor": (Floor, "always"),
    "floor, fsync": (DurableFloor, "always"),
    "lastro": (Stack, "always"),
    "lastro, no fsync": (Stack, "no"),
}


def main(*, quick: bool) -> None:
    """Print the tables."""
    seconds = 1.0 if quick else 10.0
    rounds = 1 if quick else 3
    table = Table(
        "load", "stack", "p50 ms", "p99 ms", "CPU ms/payment", "failed", title="POST /payments through HAProxy"
    )
    for rate in (300,) if quick else (300, 603):
        found: dict[str, list[Measured]] = {name: [] for name in STACKS}
        for _ in range(rounds):
            for name, (kind, durability) in STACKS.items():
                found[name].append(_loaded(kind, durability, rate, seconds))
        for name, runs in found.items():
            table.add_row(
                f"{rate}/s",
                name,
                *(
                    f"{statistics.median(getattr(run, field) for run in runs):.2f}"
                    for field in ("p50_ms", "p99_ms", "cpu_ms")
                ),
                str(sum(run.failed for run in runs)),
            )
    Console().print(table)
    asyncio.run(_summaries(1_000 if quick else 100_000))


def _loaded(kind: type[Stack], durability: Durability, rate: int, seconds: float) -> Measured:
    with TemporaryDirectory(prefix="lastro-") as folder:
        stack = kind(Path(folder), CONFIG, (free_port(), free_port(), free_port()), durability=durability)
        with deployed(stack):
            for name in ("default", "fallback"):
                os.sched_setscheduler(stack.parts[name].pid, os.SCHED_IDLE, os.sched_param(0))
            pids = [stack.parts[name].pid for name in OURS] + [stack.store.pid]
            _run(_load(stack.url, rate, 1.0))  # connections and caches
            before = sum(map(_cpu_seconds, pids))
            latencies, failed = _run(_load(stack.url, rate, seconds))
            used = sum(map(_cpu_seconds, pids)) - before
            if kind is Stack:
                resident = sum(_resident_mb(pid) for pid in pids)
                print(f"resident memory of HAProxy, both APIs and the store at {rate}/s: {resident:.0f} MB")
    ordered = sorted(latencies)
    return Measured(
        ordered[len(ordered) // 2] * 1000,
        ordered[int(len(ordered) * 0.99)] * 1000,
        used * 1000 / len(ordered),
        failed,
    )


def _run(load: Coroutine[Any, Any, tuple[list[float], int]]) -> tuple[list[float], int]:
    """On a loop whose clock is exact: epoll's wakes up to a millisecond late, and that would count as ours."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(load)


async def _load(url: str, rate: int, seconds: float) -> tuple[list[float], int]:
    """Open loop: each payment leaves at its time, however late the others are, and is timed from then."""
    client = HttpClient(url, 1.0, 5.0)
    latencies: list[float] = []
    failed = 0

    async def pay(at: float) -> None:
        nonlocal failed
        await asyncio.sleep(at - time.monotonic())
        answer = await client.ask(b"POST /payments", b'{"correlationId":"%s","amount":19.90}' % str(uuid4()).encode())
        latencies.append(time.monotonic() - at)
        failed += answer.status != 201

    start = time.monotonic() + 0.1
    await asyncio.gather(*(pay(start + n / rate) for n in range(int(rate * seconds))))
    client.close()
    return latencies, failed


async def _summaries(step: int) -> None:
    table = Table(
        "payments stored", "window", "median ms", "worst of 50 ms", title="GET /payments-summary, in the engine"
    )
    with TemporaryDirectory(prefix="lastro-") as folder:
        from lastro.core import local

        server = local.start(Path(folder), durability="no")
        async with await connect_url(server.url, timeout_seconds=60) as hub:
            payments = Payments(hub, PaymentsSettings())
            stored = 0
            for count in (step, step * 10):
                await _store(hub, payments.keys, stored, count)
                stored = count
                whole = await _timed(payments.summary)
                cut = await _timed(partial(payments.summary, 1_001, stored - 1_001))
                for window, times in (("all", whole), ("cut at both ends", cut)):
                    table.add_row(f"{count:,}", window, f"{statistics.median(times):.2f}", f"{max(times):.2f}")
        server.stop()
    Console().print(table)


async def _store(hub: Hub, keys: Keys, start: int, stop: int) -> None:
    """Books of so many payments, one per millisecond, written as commit writes them."""
    line = hub.line()
    for first in range(start, stop, 1_000):
        commands: list[tuple[object, ...]] = [
            ("ZADD", keys.by_date, at, f"default|{at:036d}|1990") for at in range(first, min(first + 1_000, stop))
        ]
        for level, length in (("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("all", 0)):
            bucket = f"{level}{first // 1000 // length}" if length else level
            totals = keys.totals("default")
            commands.append(("HINCRBY", totals, f"{bucket}:n", 1_000))
            commands.append(("HINCRBY", totals, f"{bucket}:c", 1_990_000))
        await line.send(commands)


async def _timed(act: Callable[[], object]) -> list[float]:
    times = []
    for _ in range(50):
        began = time.perf_counter()
        await act()  # type: ignore[misc]  # an engine call
        times.append((time.perf_counter() - began) * 1000)
    return times


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
