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
from lastro.core.scripts import insist
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

from .conftest import drained, opened

pytestmark = pytest.mark.anyio
Hit = Callable[[], None]
SEED = int(os.environ.get("SEED", random.randrange(2**32)))
GROWN_MB_MAX = 10.0


@pytest.fixture
def stack(postgres: Database) -> Iterator[Stack]:
    """Two API processes, a worker, a store with appendfsync always, PostgreSQL."""
    with TemporaryDirectory(prefix="lastro-") as folder, deployed(Stack(Path(folder), postgres.url, apis=2)) as running:
        yield running


async def stormed(
    stack: Stack, attempts: int, total: int, hits: list[Hit], *, durability: Durability = "fsync"
) -> Report:
    """A crowd in which every third user comes again, and the hits at random moments of it, one after the other.

    All of them are over before anybody looks at what is left: while one goes on, the crowd is not told to be.
    """
    print(f"seed {SEED}")
    goals = sorted(random.Random(SEED).sample(range(attempts // 20, attempts * 9 // 10), len(hits)))
    crowd = Crowd(
        event_id="storm",
        targets=tuple(stack.targets),
        attempts=attempts,
        users=attempts * 2 // 3,
        connections=32,
    )

    def told(count: int) -> None:
        while goals and count >= goals[0]:
            goals.pop(0)
            hits.pop(0)()

    async with await connect_url(stack.store.url) as hub:
        coupons = Coupons(hub, CouponsSettings(database_url=SecretStr(stack.database_url)))
        report = await rush(coupons, crowd, total, durability=durability, told=told)
        assert not hits
        assert not await letters.letters(coupons, "storm")
        await coupons.aclose()
        return report


def hits_on(stack: Stack, postgres: Database) -> dict[str, Hit]:
    """Each kills a part and starts it again."""
    chance = random.Random(SEED)

    def api() -> None:
        name = chance.choice([*stack.listening])
        stack.kill(name)
        stack.start_api(name)
        stack.wait_ready(name)  # nobody here starts it again if the next hit finds it half way

    def worker() -> None:
        stack.kill("worker")
        stack.start_worker()
        stack.wait_worker()  # likewise

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
    chosen, hits = random.Random(SEED), list(hits_on(stack, postgres).values())
    report = await stormed(stack, 160_000, 100_000, [*hits, *chosen.choices(hits, k=24 - len(hits))])
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
    assert max(rows["API memory grew by, MB a process"], rows["worker memory grew by, MB"]) < GROWN_MB_MAX


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
        """Whether the newest replica has all that its primary had when asked first."""
        primary, replica = (Redis(unix_socket_path=str(node.socket)) for node in self.nodes[-2:])
        with primary, replica:
            written = primary.info("replication")["master_repl_offset"]
            told = replica.info("replication")
            return bool(told["master_link_status"] == "up" and told["slave_repl_offset"] >= written)

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


async def test_a_primary_killed_and_its_replica_promoted_loses_no_acknowledged_coupon() -> None:
    """Replica mode: an attempt is answered when a replica has it; with none there it hears 503 and asks again."""
    await survived(None, attempts=4_000, total=2_000, failovers=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_thirty_primaries_killed_lose_no_acknowledged_coupon(postgres: Database) -> None:
    await survived(postgres.url, attempts=90_000, total=45_000, failovers=30)


async def survived(database_url: str | None, *, attempts: int, total: int, failovers: int) -> None:
    """Each primary dies at a random moment of the crowd, once its replica has all of it; users come again and again."""
    print(f"seed {SEED}")
    with TemporaryDirectory(prefix="lastro-") as folder:
        pair = Pair(Path(folder))
        stack = Stack(Path(folder), database_url or f"sqlite:///{folder}/coupons.sqlite")
        try:
            pair.add()
            pair.add()
            stack.store = replace(pair.nodes[0], socket=pair.path, process=None)
            stack.start_worker()
            stack.start_api("api0")
            stack.wait_ready("api0")
            async with await connect_url(stack.store.url) as hub:
                coupons = Coupons(hub, CouponsSettings(database_url=SecretStr(stack.database_url)))
                crowd = Crowd(
                    event_id="storm",
                    targets=tuple(stack.targets),
                    attempts=attempts,
                    users=attempts * 5 // 8,
                    connections=16,
                )
                await failed_over(coupons, pair, crowd, total, failovers)
                await coupons.aclose()
        finally:
            stack.stop()
            pair.stop()


async def failed_over(coupons: Coupons, pair: Pair, crowd: Crowd, total: int, failovers: int) -> None:
    """So many times, each followed by a recovery; then all who were told of a coupon have it."""
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done = count

    await opened(coupons, "storm", total, durability="replica")
    running = asyncio.create_task(asyncio.to_thread(run_crowd, crowd, told))
    # while coupons are given: of those who come again nothing can be lost
    for goal in sorted(random.Random(SEED).sample(range(total // 10, total * 9 // 10), failovers)):
        await wait_for(lambda goal=goal: done >= goal or running.done(), f"{goal} answers", 300)  # type: ignore[misc]
        await wait_for(pair.synced, "the replica", 30)
        await asyncio.to_thread(pair.fail_over)
        await insist(lambda: recover(coupons, "storm"), within_seconds=30)
    seen = await running
    await drained(coupons, "storm", 60)
    rows = {row.issuance.issuance_id for row in await stored(coupons, "storm")}
    event = await coupons.event("storm")
    assert (event.epoch, seen.differing, seen.unknown) == (1 + failovers, [], [])
    assert set(issuance_ids(seen).values()) <= rows
    assert event.adds_up
    assert seen.new <= len(rows) == total
