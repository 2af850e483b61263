"""What takes minutes: orphans under a thousand payments a second, a thousand malformed ones, a million payments."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from lastro.core import local
from lastro.core.redis import connect_url
from lastro.core.testing import start_server, wait_for
from lastro.pix.engine import orders
from lastro.pix.engine.pix import Pix
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.settings import PixSettings
from lastro.pix.simulator.world import Manners, World, banks

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(900)]

MEMORY_BYTES_MAX = 200_000_000


@contextmanager
def workers(url: str, count: int, **settings: str) -> Iterator[list["subprocess.Popen[bytes]"]]:
    environment = os.environ | {"LASTRO_REDIS_URL": url, "LASTRO_LOG_LEVEL": "error"} | settings
    command = [sys.executable, "-m", "lastro.core.cli", "pix", "work"]
    running = [subprocess.Popen(command, env=environment) for _ in range(count)]
    try:
        yield running
        assert [worker.poll() for worker in running] == [None] * count, "a worker ended by itself"
    finally:
        for worker in running:
            worker.terminate()
        for worker in running:
            worker.wait(20)


@asynccontextmanager
async def engine(server: local.Server, **settings: Any) -> AsyncIterator[Pix]:
    async with await connect_url(server.url) as hub:
        yield Pix.of(hub, PixSettings(**settings))


async def test_orphans_settle_within_the_threshold_and_a_second_while_a_thousand_a_second_flow(
    tmp_path: Path, record_property: Any
) -> None:
    """Five seconds of threshold, as the original has it."""
    server = start_server(tmp_path)
    try:
        async with engine(server) as pix:
            world = World(pix, banks(8), Manners(answer_p50_s=0))
            await world.open()
            orphans = [world.order() for _ in range(250)]
            await pix.write.xgroup_create(pix.keys.payments, pix.settings.group, id="0", mkstream=True)
            for order in orphans:
                await pix.write.xadd(pix.keys.payments, {"payment": msgspec.json.encode(order)})
            await pix.write.xreadgroup(pix.settings.group, "dies", {pix.keys.payments: ">"}, count=250)
            died_ms = await pix.now_ms()
            with workers(server.url, 2):
                async with asyncio.TaskGroup() as group:
                    group.create_task(world.receive())
                    await world.pay(12_000, 1_000)
                    assert await world.heard_of_all(20)
                    world.stopping.set()
            late_ms = max([(await orders.status(pix, o.end_to_end_id)).final_ms for o in orphans]) - died_ms
            record_property("orphans_settled_after_ms", late_ms)
            assert late_ms <= pix.settings.idle_threshold_ms + 1_000
            assert (await reconcile(pix)).findings == []
    finally:
        server.stop()


def malformed(order: Any, chance: random.Random) -> bytes:
    """One of the ways a payment can be wrong."""
    told = msgspec.to_builtins(order)
    way = chance.randrange(10)
    match way:
        case 0 | 1 | 2 | 3:
            told["amount"] = ("nan", "1e3", "-1.00", "0.001")[way]
        case 4:
            told["amount"] = "\u0661\u0662.\u0665\u0660"
        case 5:
            told["text"] = "x" * 2_000_000
        case 6:
            del told["payee"]
        case 7:
            told["payee"] = "9999-002"
        case 8:
            told["accepted_at"] = "2026-02-30T00:00:00.000Z"
        case 9:
            told["end_to_end_id"] = told["end_to_end_id"][:9] + "209913450000" + told["end_to_end_id"][21:]
    return msgspec.json.encode(told)


async def test_a_thousand_malformed_among_a_hundred_thousand_stop_nothing(tmp_path: Path) -> None:
    """Each is rejected or dead-lettered; the other 99,000 settle, and no worker restarts."""
    chance = random.Random(1)
    server = start_server(tmp_path)
    try:
        async with engine(server) as pix:
            world = World(pix, banks(8), Manners(answer_p50_s=0))
            await world.open()
            bad = [malformed(world.order(), chance) for _ in range(1_000)]
            with workers(server.url, 2):
                async with asyncio.TaskGroup() as group:
                    group.create_task(world.receive())
                    paying = group.create_task(world.pay(99_000, 5_000))
                    for body in bad:
                        await pix.write.xadd(pix.keys.payments, {"payment": body})
                        await asyncio.sleep(0.015)
                    await paying
                    assert await world.heard_of_all(60)
                    world.stopping.set()

                async def empty() -> bool:
                    return bool(await pix.read.xlen(pix.keys.payments) == 0)

                await wait_for(empty, "the last entry", 10)
            counters = {name.decode(): int(n) for name, n in (await pix.read.hgetall(pix.keys.counters)).items()}
            assert counters["settled"] == int(await pix.read.get(pix.keys.count)) == 99_000
            assert counters["dead"] + counters["rejected"] == 1_000
            assert await pix.read.xlen(pix.keys.dead) == counters["dead"]
            assert (await reconcile(pix)).findings == []
    finally:
        server.stop()


async def test_a_million_payments_stay_below_two_hundred_megabytes(tmp_path: Path, record_property: Any) -> None:
    """Sixty seconds of retention: answers are trimmed, stories archived, repeats still recognised."""
    server = start_server(tmp_path / "server")
    url = f"sqlite:///{tmp_path}/archive.sqlite"
    settings = {"LASTRO_PIX_RETENTION_SECONDS": "60", "LASTRO_PIX_ARCHIVE_URL": url}
    peak = 0
    try:
        async with engine(server, retention_seconds=60, archive_url=SecretStr(url)) as pix:
            world = World(pix, banks(8), Manners(answer_p50_s=0))
            await world.open()
            first = world.order()
            with workers(server.url, 2, **settings):
                async with asyncio.TaskGroup() as group:
                    group.create_task(world.receive())
                    await pix.write.xadd(pix.keys.payments, {"payment": msgspec.json.encode(first)})
                    paying = group.create_task(world.pay(1_000_000, 2_500))
                    while not paying.done():
                        peak = max(peak, int((await pix.read.info("memory"))["used_memory"]))
                        await asyncio.sleep(1)
                    assert await world.heard_of_all(60)
                    world.stopping.set()
                before = (await orders.submit(pix, [first]))[0]
                assert before is not None
                assert (before.state, before.archived) == ("SETTLED", True)
                assert (await orders.status(pix, first.end_to_end_id)).final_ms > 0
            record_property("memory_bytes_peak", peak)
            assert peak < MEMORY_BYTES_MAX
            assert int(await pix.read.get(pix.keys.count)) == 1_000_001
            report = await reconcile(pix)
            assert report.findings == []
    finally:
        server.stop()
