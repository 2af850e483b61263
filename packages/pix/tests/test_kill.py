"""kill -9 of workers and of the server, at random moments: exactly one final state and one final message a side."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lastro.core import local
from lastro.core.money import cents
from lastro.core.redis import connect_url
from lastro.core.testing import start_server, wait_for
from lastro.pix.engine.accounts import accounts
from lastro.pix.engine.pix import Pix
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.settings import PixSettings
from lastro.pix.simulator.original import message
from lastro.pix.simulator.world import FUNDS_CENTS, Manners, World, banks

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

IDLE_MS = 500
SEED = random.randrange(2**32)


@dataclass
class Crew:
    """Worker processes of their own, as a deployment has them."""

    url: str
    running: list["subprocess.Popen[bytes]"]

    def hire(self) -> None:
        """One more."""
        environment = os.environ | {
            "LASTRO_REDIS_URL": self.url,
            "LASTRO_PIX_IDLE_THRESHOLD_MS": str(IDLE_MS),
            "LASTRO_LOG_LEVEL": "error",
        }
        self.running.append(subprocess.Popen([sys.executable, "-m", "lastro.core.cli", "pix", "work"], env=environment))

    def kill_one(self, chance: random.Random) -> None:
        """Kill -9 by chance, and hire another."""
        victim = self.running.pop(chance.randrange(len(self.running)))
        victim.kill()
        victim.wait()
        self.hire()

    def dismiss(self) -> None:
        """All of them, gracefully."""
        for worker in self.running:
            worker.terminate()
        for worker in self.running:
            worker.wait(60)


@contextmanager
def crew(url: str, count: int) -> Iterator[Crew]:
    hired = Crew(url, [])
    for _ in range(count):
        hired.hire()
    try:
        yield hired
    finally:
        hired.dismiss()


@asynccontextmanager
async def engine(server: local.Server) -> AsyncIterator[Pix]:
    async with await connect_url(server.url) as hub:
        yield Pix.of(hub, PixSettings())


async def settled_everywhere(pix: Pix, world: World, payments: int) -> None:
    """The rule, from every side."""
    report = await reconcile(pix)
    assert report.findings == []
    assert report.sums_checked
    finals: Counter[tuple[str, str]] = Counter()
    moved = 0
    for bank in world.banks:
        for _, fields in await pix.read.xrange(pix.keys.outbox(bank)):
            if fields[b"message"] == b"pacs.002":
                finals[bank, fields[b"id"].decode()] += 1
                moved += int(fields[b"amount_cents"]) if fields[b"status"] == b"ACSC" else 0
    assert len(finals) == 2 * payments
    assert set(finals.values()) == {1}
    assert int(await pix.read.get(pix.keys.count)) == payments
    assert int(await pix.read.get(pix.keys.cents)) == cents((await pix.read.get(pix.keys.amount)).decode()) == moved
    assert sum(account.free_cents for account in await accounts(pix)) == FUNDS_CENTS * len(world.banks)


Strike = Callable[[local.Server, Crew, random.Random], local.Server]


def kill_a_worker(server: local.Server, hired: Crew, chance: random.Random) -> local.Server:
    hired.kill_one(chance)
    return server


def kill_the_server(server: local.Server, hired: Crew, chance: random.Random) -> local.Server:
    """And start it again on the same folder; the clients find it there."""
    os.kill(server.pid, signal.SIGKILL)
    if server.process is not None:
        server.process.wait()
    return start_server(server.folder, durability="always")


async def survive(tmp_path: Path, strike: Strike, *, payments: int, workers: int, strikes: int, rate: float) -> None:
    """Payments flow, disaster strikes at random moments, and in the end everything adds up."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    server = start_server(tmp_path, durability="always" if strike is kill_the_server else "no")
    try:
        async with engine(server) as pix:
            world = World(pix, banks(8), Manners(answer_p50_s=0.01, answer_p95_s=0.05, duplicates=0.05), chance)
            await world.open()
            with crew(server.url, workers) as hired:
                async with asyncio.TaskGroup() as group:
                    group.create_task(world.receive())
                    paying = group.create_task(world.pay(payments, rate))
                    for _ in range(strikes):
                        await asyncio.sleep(chance.uniform(0.2, 1.6 * payments / rate / strikes))
                        server = await asyncio.to_thread(strike, server, hired, chance)
                    await paying
                    assert await world.heard_of_all(120)
                    world.stopping.set()

                async def nothing_pending() -> bool:
                    return all([await pix.read.xlen(source) == 0 for source in (pix.keys.payments, pix.keys.answers)])

                await wait_for(nothing_pending, "the last acknowledgement", 60)
            await settled_everywhere(pix, world, payments)
    finally:
        server.stop()


async def test_workers_are_killed_and_every_payment_settles_exactly_once(tmp_path: Path) -> None:
    await survive(tmp_path, kill_a_worker, payments=2_000, workers=2, strikes=4, rate=500)


async def test_the_server_is_killed_with_fsync_always_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    await survive(tmp_path, kill_the_server, payments=1_000, workers=2, strikes=2, rate=400)


@pytest.mark.slow
async def test_fifty_thousand_payments_four_workers_twenty_kills(tmp_path: Path) -> None:
    await survive(tmp_path, kill_a_worker, payments=50_000, workers=4, strikes=20, rate=2_000)


@pytest.mark.slow
async def test_fifty_thousand_payments_through_twenty_kills_of_the_server(tmp_path: Path) -> None:
    await survive(tmp_path, kill_the_server, payments=50_000, workers=4, strikes=20, rate=2_000)


async def test_original_messages_are_confirmed_once_through_kills(tmp_path: Path) -> None:
    """The original demo's own job: with ten kills it confirmed up to 531 of 20,000 twice."""
    chance = random.Random(SEED)
    server = start_server(tmp_path)
    try:
        async with engine(server) as pix:
            sent = [message(str(number % 4 + 1), chance.randint(100, 100_000)) for number in range(5_000)]
            with crew(server.url, 2) as hired:
                for start in range(0, len(sent), 500):
                    async with pix.hub.write.pipeline(transaction=False) as pipe:
                        for told in sent[start : start + 500]:
                            pipe.execute_command(
                                "XADD", pix.keys.payments, "*", *[part for pair in told.items() for part in pair]
                            )
                        await pipe.execute()
                    await asyncio.to_thread(hired.kill_one, chance)

                async def counted() -> bool:
                    return int(await pix.read.get(pix.keys.count) or 0) == len(sent)

                await wait_for(counted, "the confirmations", 60)
            heard: Counter[str] = Counter()
            for backend in ("1", "2", "3", "4"):
                for _, fields in await pix.read.xrange(pix.keys.outbox(backend)):
                    heard[fields[b"transaction_id"].decode()] += 1
            assert heard == Counter(told["transaction_id"] for told in sent)
            assert int(await pix.read.get(pix.keys.cents)) == sum(cents(told["amount"]) for told in sent)
            assert (await reconcile(pix)).findings == []
    finally:
        server.stop()
