"""What takes minutes: orphans under a thousand payments a second, a thousand malformed ones, a million payments."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from lastro.core import local
from lastro.core.redis import connect_url
from lastro.core.testing import start_server, wait_for
from lastro.pix.engine import accounts, letters, orders, outbox
from lastro.pix.engine.pix import Pix
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.settings import PixSettings
from lastro.pix.simulator.world import Manners, World, banks

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(900)]

MEMORY_BYTES_MAX = 200_000_000
CHECK_SECONDS_MAX = 30.0


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


MALFORMED: list[tuple[str, str, dict[str, Any]]] = [
    ("rejected", "AM12", {"amount": "nan"}),
    ("rejected", "AM12", {"amount": "1e3"}),
    ("rejected", "AM12", {"amount": "-1"}),
    ("rejected", "AM12", {"amount": "0.001"}),
    ("rejected", "AM12", {"amount": "\u0661\u0662.\u0665\u0660"}),
    ("rejected", "AM01", {"amount": "0.00"}),
    ("rejected", "DT02", {"accepted_at": "2026-02-30T00:00:00.000Z"}),
    ("dead", "CH16", {"text": "x" * 2_000_000}),
    ("dead", "CH16", {"payee": None}),
    ("dead", "RC09", {"payer": "9999-001"}),
    ("dead", "RC10", {"payee": "9999-002"}),
    ("dead", "FF08", {"minute": "209913450000"}),
    ("dead", "FF08", {"minute": "202001010000"}),
]
"""What becomes of it, under which code, and what is wrong with it: None is missing."""


def malformed(order: Any, change: dict[str, Any]) -> bytes:
    """A payment with that wrong."""
    told = msgspec.to_builtins(order) | change
    minute = told.pop("minute", told["end_to_end_id"][9:21])
    told["end_to_end_id"] = told["end_to_end_id"][:9] + minute + told["end_to_end_id"][21:]
    return msgspec.json.encode({name: value for name, value in told.items() if value is not None})


async def test_a_thousand_malformed_among_a_hundred_thousand_stop_nothing(tmp_path: Path) -> None:
    """Each is rejected or dead-lettered with its code; the other 99,000 settle, and no worker restarts."""
    server = start_server(tmp_path)
    try:
        async with engine(server) as pix:
            world = World(pix, banks(8), Manners(answer_p50_s=0))
            await world.open()
            bad = [(world.order(), *MALFORMED[number % len(MALFORMED)]) for number in range(1_000)]
            with workers(server.url, 2):
                async with asyncio.TaskGroup() as group:
                    group.create_task(world.receive())
                    paying = group.create_task(world.pay(99_000, 5_000))
                    for order, _, _, change in bad:
                        await pix.write.xadd(pix.keys.payments, {"payment": malformed(order, change)})
                        await asyncio.sleep(0.015)
                    await paying
                    assert await world.heard_of_all(60)
                    world.stopping.set()

                async def empty() -> bool:
                    return bool(await pix.read.xlen(pix.keys.payments) == 0)

                await wait_for(empty, "the last entry", 10)
            assert int(await pix.read.get(pix.keys.count)) == world.seen.outcomes["ACSC"] == 99_000
            for order, became, code, _ in bad:
                if became == "rejected":
                    record = await orders.status(pix, order.end_to_end_id)
                    assert (record.state, record.code) == ("REJECTED", code)
            dead, after = list[str](), "-"
            while page := await letters.letters(pix, after=after, count=500):
                dead, after = dead + [letter.code for letter in page], page[-1].id
            assert Counter(dead) == Counter(code for _, became, code, _ in bad if became == "dead")
            assert (await reconcile(pix)).findings == []
    finally:
        server.stop()


async def test_a_million_payments_stay_below_two_hundred_megabytes(tmp_path: Path, record_property: Any) -> None:
    """Sixty seconds of retention: answers are trimmed, stories archived, repeats still recognised.

    A bank whose reader took ten answers and never acknowledged them, and another that nobody reads but a group of its
    own, lose nothing: what is not acknowledged is never trimmed.
    """
    server = start_server(tmp_path / "server")
    url = f"sqlite:///{tmp_path}/archive.sqlite"
    settings = {"LASTRO_PIX_RETENTION_SECONDS": "60", "LASTRO_PIX_ARCHIVE_URL": url}
    peak = 0
    try:
        async with engine(server, retention_seconds=60, archive_url=SecretStr(url)) as pix:
            world = World(pix, banks(8), Manners(answer_p50_s=0))
            await world.open()
            slow, unread = banks(10)[8:]
            for bank in (slow, unread):
                await accounts.fund(pix, bank, 1_000_000, "open")
            early = [world.order(100, payer=bank) for bank in (slow, unread) for _ in range(100)]
            with workers(server.url, 2, **settings):
                async with asyncio.TaskGroup() as group:
                    group.create_task(world.receive())
                    for order in early:
                        await pix.write.xadd(pix.keys.payments, {"payment": msgspec.json.encode(order)})
                    for bank in (slow, unread):
                        await wait_for(partial(heard, pix, bank, 100), f"the answers of {bank}", 20)
                    await outbox.start(pix, slow, "slow")
                    held = (await outbox.pull(pix, slow, "slow", wait_seconds=0)).messages
                    await pix.write.xgroup_create(pix.keys.outbox(unread), "never", id="0")
                    paying = group.create_task(world.pay(1_000_000, 2_500))
                    while not paying.done():
                        peak = max(peak, int((await pix.read.info("memory"))["used_memory"]))
                        await asyncio.sleep(1)
                    assert await world.heard_of_all(60)
                    world.stopping.set()
                record_property("memory_bytes_peak", peak)
                before = (await orders.submit(pix, early[:1]))[0]
                assert before is not None
                assert (before.state, before.archived) == ("SETTLED", True)
                assert (await orders.status(pix, early[0].end_to_end_id)).final_ms > 0
                assert await heard(pix, slow, 100)
                assert await heard(pix, unread, 100)
                kept = {message.id for message in await outbox.page(pix, slow, "-", 200)}
                assert {message.id for message in held} <= kept
                assert len(held) == pix.settings.pull_max
                assert not await heard(pix, banks(1)[0], 200_000), "nothing was trimmed"
            assert peak < MEMORY_BYTES_MAX
            assert int(await pix.read.get(pix.keys.count)) == 1_000_200
            assert (await reconcile(pix)).findings == []
    finally:
        server.stop()


async def heard(pix: Pix, bank: str, count: int) -> bool:
    """Whether a bank's outbox has so many answers."""
    return bool(await pix.read.xlen(pix.keys.outbox(bank)) >= count)


async def test_the_check_of_a_million_payments_ends_within_thirty_seconds(tmp_path: Path, record_property: Any) -> None:
    """All of them whole, with their three million answers; then it names the two that somebody touched."""
    server = start_server(tmp_path)
    try:
        async with engine(server) as pix:
            world = World(pix, banks(8), Manners(answer_p50_s=0))
            await world.open()
            with workers(server.url, 2, LASTRO_PIX_DEADLINE_MS="3600000"):
                async with asyncio.TaskGroup() as group:
                    group.create_task(world.receive())
                    await world.pay(1_000_000, 6_000)
                    assert await world.heard_of_all(300)
                    world.stopping.set()
            begun = time.monotonic()
            report = await reconcile(pix)
            seconds = time.monotonic() - begun
            record_property("check_seconds", seconds)
            print(f"check: {seconds:.1f} s")
            assert (report.records, report.messages, report.findings) == (1_000_000, 3_000_000, [])
            assert report.sums_checked
            missing, wrong = [(await pix.read.xrevrange(pix.keys.outbox(bank), count=1))[0] for bank in banks(2)]
            await pix.write.xdel(pix.keys.outbox(banks(1)[0]), missing[0])
            told = wrong[1] | {b"amount_cents": b"1"}
            await pix.write.xdel(pix.keys.outbox(banks(2)[1]), wrong[0])
            await pix.write.xadd(pix.keys.outbox(banks(2)[1]), told)
            found = {(finding.kind, finding.id) for finding in (await reconcile(pix)).findings}
            assert found == {("missing_response", missing[1][b"id"].decode()), ("wrong_amount", told[b"id"].decode())}
            assert seconds < CHECK_SECONDS_MAX
    finally:
        server.stop()
