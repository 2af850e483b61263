"""What survives ``kill -9``, of every part, under load; small here, at full size among the slow tests."""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pydantic import SecretStr
from redis import Redis

from lastro.core import local
from lastro.core.redis import connect_url
from lastro.core.testing import free_port, wait_for
from lastro.core.testing.postgres import Database
from lastro.coupons.engine import Coupons, letters
from lastro.coupons.engine.reconcile import stored
from lastro.coupons.engine.recover import recover
from lastro.coupons.model.event import Durability
from lastro.coupons.settings import CouponsSettings
from lastro.coupons.simulator.load import Crowd, issuance_ids, run_crowd
from lastro.coupons.simulator.rush import Report, rush
from lastro.coupons.simulator.rush.play import Scene, play
from lastro.coupons.simulator.stack import Stack, deployed

pytestmark = pytest.mark.anyio
Hit = Callable[[], None]


@pytest.fixture
def stack(postgres: Database) -> Iterator[Stack]:
    """Two API processes, a worker, a store with appendfsync always, PostgreSQL."""
    with TemporaryDirectory(prefix="lastro-") as folder, deployed(Stack(Path(folder), postgres.url, apis=2)) as running:
        yield running


async def stormed(
    stack: Stack, attempts: int, total: int, hits: list[Hit], *, durability: Durability = "fsync"
) -> Report:
    """A crowd in which every third user comes again, and a hit each time another part of it was answered."""
    crowd = Crowd(
        event_id="storm",
        targets=tuple(stack.targets),
        attempts=attempts,
        users=attempts * 2 // 3,
        connections=32,
    )
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done = count

    async with await connect_url(stack.store.url) as hub:
        coupons = Coupons(hub, CouponsSettings(database_url=SecretStr(stack.database_url)))
        running = asyncio.create_task(rush(coupons, crowd, total, durability=durability, told=told))
        for n, hit in enumerate(hits, 1):
            goal = attempts * n // (len(hits) + 1)
            await wait_for(lambda goal=goal: done >= goal or running.done(), f"{goal} answers", 300)  # type: ignore[misc]
            await asyncio.to_thread(hit)
        report = await running
        assert not await letters.letters(coupons, "storm")
        await coupons.aclose()
        return report


def hits_on(stack: Stack, postgres: Database) -> dict[str, Hit]:
    """Each kills a part and starts it again."""

    def api() -> None:
        stack.kill("api0")
        stack.start_api("api0")
        stack.wait_ready("api0")  # nobody here starts it again if the next hit finds it half way

    def worker() -> None:
        stack.kill("worker")
        stack.start_worker()

    def store() -> None:
        stack.store.kill()
        stack.start_store()

    def database() -> None:
        postgres.server.kill()
        postgres.server.start()

    return {"api": api, "worker": worker, "store": store, "database": database}


async def test_every_part_killed_under_load_loses_doubles_and_oversells_nothing(
    stack: Stack, postgres: Database
) -> None:
    hits = list(hits_on(stack, postgres).values())
    report = await stormed(stack, 9_000, 3_000, hits)
    assert report.broken == []
    assert set(report.statuses) <= {200, 201, 409}


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_hundred_thousand_coupons_through_random_kills(stack: Stack, postgres: Database) -> None:
    chosen = random.Random(int(os.environ.get("SEED", "7")))
    hits = list(hits_on(stack, postgres).values())
    report = await stormed(stack, 160_000, 100_000, [chosen.choice(hits) for _ in range(24)])
    assert report.broken == []
    assert set(report.statuses) <= {200, 201, 409}


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_database_away_for_a_minute_is_noticed_by_nobody(stack: Stack, postgres: Database) -> None:
    """No user hears of it, nothing dies, and ten seconds after its return all is in it."""
    crowd = Crowd(
        event_id="storm", targets=tuple(stack.targets), attempts=21_000, users=21_000, per_second=300, connections=32
    )

    async with await connect_url(stack.store.url) as hub:
        coupons = Coupons(hub, CouponsSettings(database_url=SecretStr(stack.database_url)))

        def away() -> None:
            postgres.server.kill()
            time.sleep(60)
            postgres.server.start()

        running = asyncio.create_task(rush(coupons, crowd, 21_000, durability="fsync"))
        await wait_for(coupons.live, "the event")
        await asyncio.to_thread(away)
        report = await running
        assert not await letters.letters(coupons, "storm")
        await coupons.aclose()
    assert (report.statuses, report.again, report.broken) == ({201: 21_000}, 0, [])
    assert report.drained_seconds <= 10


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_attempts_at_a_thousand_coupons(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTRO_COUPONS_DATABASE_URL", postgres.url)
    rows, broken = play(Scene(clients=1_000_000, coupons=1_000, users=1_000_000, apis=2), lambda done: None)
    print(rows)
    assert broken == []
    assert rows["answers"] == "1,000 × 201, 999,000 × 409"
    assert rows["Redis grew by, bytes"] < 1_000_000


class Pair:
    """A primary and its replicas behind one path: who promotes points the path at the new primary."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "current.sock"
        self.nodes: list[local.Server] = []
        self.ports: list[int] = []

    def add(self) -> None:
        """Another node; a replica of the newest primary unless it is the first."""
        port = free_port()
        more = ("--replicaof", f"127.0.0.1 {self.ports[-1]}") if self.nodes else ()
        options = ("--port", str(port), "--repl-diskless-sync-delay", "0", *more)
        self.nodes.append(local.start(self.folder / f"n{len(self.nodes)}", durability="always", options=options))
        self.ports.append(port)
        if len(self.nodes) == 1:
            self.point()

    def point(self) -> None:
        """The path is the newest node's."""
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(self.nodes[-1].socket)

    def synced(self) -> bool:
        """Whether the newest replica has all of its primary."""
        with Redis(unix_socket_path=str(self.nodes[-1].socket)) as client:
            return bool(client.info("replication").get("master_link_status") == "up")

    def fail_over(self) -> None:
        """The primary dies, its replica takes its place, and gets a replica of its own."""
        self.nodes[-2].kill()
        with Redis(unix_socket_path=str(self.nodes[-1].socket)) as client:
            client.replicaof("NO", "ONE")
        self.point()
        self.add()

    def stop(self) -> None:
        """All that are left."""
        for node in self.nodes:
            node.stop()


async def test_a_primary_killed_and_its_replica_promoted_loses_no_acknowledged_coupon(tmp_path: Path) -> None:
    """Replica mode: an attempt is answered when a replica has it; with none there it hears 503 and asks again."""
    with TemporaryDirectory(prefix="lastro-") as folder:
        pair = Pair(Path(folder))
        pair.add()
        pair.add()
        await wait_for(pair.synced, "the replica")
        stack = Stack(Path(folder), f"sqlite:///{folder}/coupons.sqlite")
        stack.store = replace(pair.nodes[0], socket=pair.path, process=None)
        try:
            await _failed_over(stack, pair)
        finally:
            stack.stop()
            pair.stop()


async def _failed_over(stack: Stack, pair: Pair) -> None:
    stack.start_worker()
    stack.start_api("api0")
    stack.wait_ready("api0")
    crowd = Crowd(event_id="storm", targets=tuple(stack.targets), attempts=4_000, users=2_500, connections=16)
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done = count

    async with await connect_url(stack.store.url) as hub:
        coupons = Coupons(hub, CouponsSettings(database_url=SecretStr(stack.database_url)))
        from .conftest import drained, opened

        await opened(coupons, "storm", 2_000, durability="replica")
        running = asyncio.create_task(asyncio.to_thread(run_crowd, crowd, told))
        await wait_for(lambda: done >= 600 or running.done(), "the crowd to be in full swing", 60)
        await asyncio.to_thread(pair.fail_over)
        event = await recover(coupons, "storm")
        seen = await running
        await drained(coupons, "storm", 30)
        rows = {row.issuance.issuance_id for row in await stored(coupons, "storm")}
        assert (event.epoch, seen.differing, seen.unknown) == (2, [], [])
        assert set(issuance_ids(seen).values()) <= rows
        assert (await coupons.event("storm")).adds_up
        assert seen.new <= len(rows) == 2_000
        await coupons.aclose()
