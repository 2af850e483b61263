"""Coupons: what an attempt costs the application and Redis, beside a bare ASGI echo and a bare GET; rows per second.

The crowd is one process over unix sockets, 64 connections. CPU is the part's own, from /proc: the machine's other work
does not count, though it disturbs. Medians of the runs.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from lastro.core.database import migrate
from lastro.core.redis import Hub, connect_url
from lastro.core.testing import wait_for
from lastro.core.testing.postgres import Postgres
from lastro.coupons import keys
from lastro.coupons.engine import Coupons, events
from lastro.coupons.engine.database import TABLES
from lastro.coupons.engine.database.rows import insert, upsert_event
from lastro.coupons.engine.outbox import outbox
from lastro.coupons.engine.reconcile import winners
from lastro.coupons.model.event import Plan
from lastro.coupons.settings import CouponsSettings
from lastro.coupons.simulator.load import Crowd, Runner
from lastro.coupons.simulator.stack import Stack, cpu_seconds, deployed

ECHO = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 409, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})
"""
BATCH = 64


class Progress:
    """Nobody looks."""

    value = 0


def main(*, quick: bool) -> None:
    """Print the table."""
    attempts, rounds = (5_000, 1) if quick else (50_000, 5)
    table = Table("what", "CPU us each", "per second", "bar", title="coupons")
    with TemporaryDirectory(prefix="lastro-") as folder:
        _requests(Path(folder), table, attempts, rounds)
    with TemporaryDirectory(prefix="lastro-") as folder:
        asyncio.run(_scripts(Path(folder), table, attempts, rounds))
    with TemporaryDirectory(prefix="lastro-pg-") as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder) / "s")
        server.start()
        urls = {"PostgreSQL": server.create_database(), "SQLite": f"sqlite:///{folder}/coupons.sqlite"}
        for name, url in urls.items():
            _rows(Path(folder) / f"store-{name}", table, name, url, attempts, rounds)
        server.stop()
    Console().print(table)


def _requests(folder: Path, table: Table, attempts: int, rounds: int) -> None:
    """The application's CPU, the echo's and ours in turn."""
    found: dict[str, list[tuple[float, float]]] = {"floor": [], "sold out": [], "issued": []}
    with _echo(folder) as echo, deployed(Stack(folder, f"sqlite:///{folder}/coupons.sqlite")) as stack:
        target, pid = stack.targets[0], stack.parts["api0"].pid
        asyncio.run(_create(stack, "gone", 0))
        _load("gone", target, 2_000)  # the process learns that it is sold out
        for round_ in range(rounds):
            asyncio.run(_create(stack, f"e{round_}", attempts))
            found["floor"].append(_timed("gone", str(folder / "echo.sock"), echo.pid, attempts))
            found["sold out"].append(_timed("gone", target, pid, attempts))
            found["issued"].append(_timed(f"e{round_}", target, pid, attempts))
    bars = {"floor": "", "sold out": "≤ 35", "issued": "≤ 60"}
    names = {
        "floor": "floor: a bare ASGI echo",
        "sold out": "attempt, sold out",
        "issued": "attempt, issued, AOF always",
    }
    for name, runs in found.items():
        cpu, rate = (statistics.median(run[at] for run in runs) for at in (0, 1))
        table.add_row(names[name], f"{cpu:.1f}", f"{rate:,.0f}", bars[name])


async def _create(stack: Stack, event_id: str, total: int) -> None:
    async with await connect_url(stack.store.url) as hub:
        coupons = Coupons(hub, CouponsSettings(database_url=SecretStr(stack.database_url)))
        await events.create(coupons, Plan(event_id=event_id, total=total, durability="fsync"), opened=True)
        await coupons.aclose()


def _load(event_id: str, target: str, attempts: int) -> float:
    crowd = Crowd(event_id=event_id, targets=(target,), attempts=attempts, users=attempts)
    return Runner(crowd, 0, 1, Progress()).run().seconds


def _timed(event_id: str, target: str, pid: int, attempts: int) -> tuple[float, float]:
    before = cpu_seconds(pid)
    seconds = _load(event_id, target, attempts)
    return (cpu_seconds(pid) - before) * 1e6 / attempts, attempts / seconds


@contextmanager
def _echo(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    (folder / "echo.py").write_text(ECHO)
    path = folder / "echo.sock"
    options = [
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--no-access-log",
        "--log-level",
        "warning",
        "--lifespan",
        "off",
    ]
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(folder), "echo:app", "--uds", str(path), *options]
    running = subprocess.Popen(command)
    try:
        while not path.exists():
            time.sleep(0.02)
        yield running
    finally:
        running.terminate()
        running.wait()


async def _scripts(folder: Path, table: Table, attempts: int, rounds: int) -> None:
    """Redis' CPU, the engine's own way: as many attempts at once as a busy process has."""
    from lastro.core import local

    server = local.start(folder, durability="always")
    async with await connect_url(server.url) as hub:
        coupons = Coupons(hub, CouponsSettings(database_url=SecretStr(f"sqlite:///{folder}/coupons.sqlite")))
        runs: dict[str, list[float]] = {"floor": [], "sold out": [], "issued": []}
        await events.create(coupons, Plan(event_id="gone", total=0), opened=True)
        for round_ in range(rounds):
            await events.create(coupons, Plan(event_id=f"e{round_}", total=attempts), opened=True)
            runs["floor"].append(await _gets(hub, server.pid, attempts))
            for name, event_id in (("sold out", "gone"), ("issued", f"e{round_}")):
                runs[name].append(await _attempts(coupons, event_id, server.pid, attempts))
        await coupons.aclose()
    server.stop()
    rows = {"floor": ("floor: GET", ""), "sold out": ("script, sold out", "≤ 4"), "issued": ("script, issued", "≤ 12")}
    for name, (title, bar) in rows.items():
        table.add_row(f"Redis: {title}, {BATCH} at once", f"{statistics.median(runs[name]):.2f}", "", bar)


async def _gets(hub: Hub, pid: int, count: int) -> float:
    before = cpu_seconds(pid)
    for _ in range(0, count, BATCH):
        await hub.line().send([("GET", keys.stock("gone"))] * BATCH)
    return (cpu_seconds(pid) - before) * 1e6 / count


async def _attempts(coupons: Coupons, event_id: str, pid: int, count: int) -> float:
    before = cpu_seconds(pid)
    for at in range(0, count, BATCH):
        ids = [f"{at + n:08x}-0000-7000-8000-000000000000" for n in range(BATCH)]
        attempt = [(f"u{at + n}", f"{ids[n]}|0000-0000-0000-0", "", "0") for n in range(BATCH)]
        await asyncio.gather(*(coupons.issuer.submit(event_id, one) for one in attempt))
    return (cpu_seconds(pid) - before) * 1e6 / count


def _rows(folder: Path, table: Table, name: str, url: str, count: int, rounds: int) -> None:
    """The worker, from the stream into the database; and the database alone, as its floor."""
    rates: list[float] = []
    floors: list[float] = []
    for round_ in range(min(rounds, 3)):
        with _store(folder / str(round_), url) as stack:
            asyncio.run(_drain(stack, f"{name.lower()}{round_}", count, rates, floors))
    table.add_row(f"{name}: floor, the inserts alone", "", f"{statistics.median(floors):,.0f} rows", "")
    table.add_row(f"{name}: worker, stream to rows", "", f"{statistics.median(rates):,.0f} rows", "≥ 20,000 rows")


@contextmanager
def _store(folder: Path, url: str) -> Iterator[Stack]:
    folder.mkdir(parents=True)
    stack = Stack(folder, url)
    stack.start_store()
    yield stack
    stack.stop()


async def _drain(stack: Stack, event_id: str, count: int, rates: list[float], floors: list[float]) -> None:
    async with await connect_url(stack.store.url) as hub:
        coupons = Coupons(hub, CouponsSettings(database_url=SecretStr(stack.database_url)))
        await asyncio.to_thread(migrate.upgrade, coupons.database, TABLES)
        for event in (event_id, f"{event_id}-floor"):
            await events.create(coupons, Plan(event_id=event, total=count), opened=True)
            for at in range(0, count, 500):
                await asyncio.gather(*(coupons.issue(event, f"u{at + n}") for n in range(500)))
        await _floor(coupons, f"{event_id}-floor", floors)
        await hub.write.hdel(keys.LIVE, f"{event_id}-floor")
        queue = outbox(hub, event_id).members
        stack.start_worker()

        async def begun() -> bool:
            return (await queue.measure()).lag < count

        async def done() -> bool:
            told = await queue.measure()
            return not (told.lag or told.pending)

        await wait_for(begun, "the first batch", 60)
        began = time.monotonic()
        await wait_for(done, "the last row", 120)
        rates.append(count / (time.monotonic() - began))
        await coupons.aclose()


async def _floor(coupons: Coupons, event_id: str, floors: list[float]) -> None:
    event = await coupons.event(event_id)
    rows = [(one, "0-1") for one in (await winners(coupons, event_id)).values()]
    await coupons.database.run(lambda connection: upsert_event(connection, event))
    began = time.monotonic()
    for at in range(0, len(rows), 1_000):
        page = rows[at : at + 1_000]
        await coupons.database.run(lambda connection, page=page: insert(connection, event, page))  # type: ignore[misc]
    floors.append(len(rows) / (time.monotonic() - began))
