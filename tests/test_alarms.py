"""Every alert, by a real Prometheus beside a real engine: silent while all is well, and heard when it is made true."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis

from lastro.core import local
from lastro.core.testing import free_port
from lastro.core.testing.engine import READY_SECONDS, Engine, running, until
from lastro.core.testing.postgres import Database
from lastro.core.testing.prometheus import Prometheus, watching

OPS = Path(__file__).parent.parent / "ops" / "prometheus"
ALERTS = set(re.findall(r"alert: (\w+)", (OPS / "rules.yml").read_text()))
REQUESTS_MAX = 40
LOOKED_AT_SECONDS = 4.0  # two looks of the slowest that measures
BUSY = {
    "LastroLoopLag",
    "LastroSlow",
    "LastroPixSlow",
    "LastroPixAnswersSlow",
    "LastroCouponsSlow",
    "LastroLedgerSlow",
}
"""What a machine that does other things, too, makes true by itself."""
TOKEN = {"X-Rinha-Token": "123"}

pytestmark = [pytest.mark.slow, pytest.mark.needs("prometheus"), pytest.mark.timeout(900)]


@dataclass(eq=False)
class Scene:
    """The engine, its server with a replica, its database, its processors, and who watches them."""

    engine: Engine
    primary: local.Server
    store: Any
    replica: local.Server
    database: Database
    processors: list[str]
    prometheus: Prometheus
    heard: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def listen(self) -> None:
        """Remember every alert that fires, until it is over."""
        while not self.over.wait(0.2):
            self.heard |= self.prometheus.firing()

    def hold(self, *pids: int, seconds: float) -> None:
        """Hold processes for a while, as a hypervisor does; then let them work long enough to be looked at."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        time.sleep(LOOKED_AT_SECONDS)

    def hear(self, *names: str, seconds: float = 30.0, again: Callable[[], object] | None = None) -> None:
        """Wait for these alerts; ``again`` makes their condition true once more before each look."""

        def heard() -> bool:
            if again:
                again()
            return self.heard >= set(names)

        until(heard, seconds, f"did not fire: {names}")


@contextmanager
def replicated(last: ExitStack) -> Iterator[tuple[local.Server, local.Server]]:
    """A server and its replica."""
    folders = [Path(last.enter_context(TemporaryDirectory(prefix="lastro-"))) for _ in range(2)]
    port = free_port()
    primary = local.start(folders[0], durability="no", options=("--port", str(port), "--repl-diskless-sync-delay", "0"))
    replica = local.start(folders[1], durability="no", options=("--replicaof", f"127.0.0.1 {port}"))
    try:
        yield primary, replica
    finally:
        replica.stop()
        primary.stop()


@pytest.fixture
def scene(postgres: Database) -> Iterator[Scene]:
    """All of it running, with traffic in every domain."""
    with ExitStack() as last:
        primary, replica = last.enter_context(replicated(last))
        processors = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
        engine = last.enter_context(
            running(
                "--simulate",
                LASTRO_REDIS_URL=primary.url,
                LASTRO_REQUESTS_MAX=str(REQUESTS_MAX),
                LASTRO_COUPONS_DATABASE_URL=postgres.url,
                LASTRO_PIX_RETENTION_SECONDS="20",
                PROCESSOR_DEFAULT_URL=processors[0],
                PROCESSOR_FALLBACK_URL=processors[1],
            )
        )
        prometheus = last.enter_context(watching(OPS, engine.url))
        store = redis.Redis.from_url(primary.url)
        found = Scene(engine, primary, store, replica, postgres, processors, prometheus)
        listening = threading.Thread(target=found.listen)
        last.callback(listening.join)
        last.callback(found.over.set)
        listening.start()
        yield found


def test_every_alert_fires_when_it_should_and_none_before(scene: Scene) -> None:
    until(lambda: scene.prometheus.query("lastro_domain_acts_total > 0"), READY_SECONDS, "nothing moves")
    time.sleep(10)
    assert scene.heard - BUSY == set()
    processes_held(scene)
    server_slow(scene)
    books(scene)
    letters(scene)
    workers_gone(scene)
    database_away(scene)
    processors_fail(scene)
    server_in_trouble(scene)
    server_held(scene)
    scene.hear("LastroBacklogOld", seconds=60)
    scene.engine.process.kill()
    for pid in scene.engine.parts().values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    scene.hear("LastroDown")
    assert scene.heard == ALERTS


def processes_held(scene: Scene) -> None:
    """Every process of the engine is held for a second; Pix's workers for longer than the SPI allows a payment."""
    parts = scene.engine.parts()
    scene.hear("LastroLoopLag", again=lambda: scene.hold(*parts.values(), seconds=1), seconds=60)
    scene.hear("LastroPixSlow", again=lambda: scene.hold(parts["pix.work"], seconds=7), seconds=60)

    def unanswered() -> None:  # what is paid while nobody works is then asked while no receiver answers
        os.kill(parts["pix.work"], signal.SIGSTOP)
        time.sleep(2)
        os.kill(parts["world"], signal.SIGSTOP)
        os.kill(parts["pix.work"], signal.SIGCONT)
        scene.hold(parts["world"], seconds=4)

    scene.hear("LastroPixAnswersSlow", again=unanswered, seconds=60)


def server_slow(scene: Scene) -> None:
    """The server answers late; while coupons are still asked for, which an event with a dead letter ends."""

    def stutter() -> None:
        for _ in range(10):
            os.kill(scene.primary.pid, signal.SIGSTOP)
            time.sleep(0.3)
            os.kill(scene.primary.pid, signal.SIGCONT)
            time.sleep(0.1)

    scene.hear("LastroSlow", "LastroCouponsSlow", "LastroLedgerSlow", again=stutter, seconds=90)


def books(scene: Scene) -> None:
    """A counter is wrong, and a domain was last checked two days ago."""
    lastro = str(Path(sys.executable).parent / "lastro")
    scene.store.hincrby("payments_totals:default", "all:n", 1_000)
    environment = {**os.environ, "LASTRO_REDIS_URL": scene.primary.url}
    assert subprocess.run([lastro, "check", "payments"], env=environment, capture_output=True, check=False).returncode
    scene.store.hset("lastro:checked", "pix", f"{int(time.time() * 1000) - 200_000_000}|0")
    scene.hear("LastroDiffers", "LastroUnchecked")
    scene.store.hincrby("payments_totals:default", "all:n", -1_000)


def event(scene: Scene) -> str:
    """What the keys begin with of an event that is not settled; with a dead letter it never is."""
    until(lambda: scene.store.hlen("coupons:live"), READY_SECONDS, "there is no event")
    return f"coupon:{{{scene.store.hkeys('coupons:live')[0].decode()}}}"


def letters(scene: Scene) -> None:
    """A charge that is none, and a coupon that two have."""
    scene.store.xadd("payments:charges", {"correlation_id": "not one", "amount_cents": "-1"})
    of = event(scene)
    until(lambda: scene.store.hlen(f"{of}:participants"), READY_SECONDS, "nobody wins")
    _, record = next(scene.store.hscan_iter(f"{of}:participants"))
    number, _, *rest = record.decode().split("|")
    scene.store.xadd(f"{of}:events", {"winner": "another", "record": "|".join((number, str(uuid4()), *rest))})
    scene.hear("LastroDeadLetters", "LastroCouponsCollide")


def workers_gone(scene: Scene) -> None:
    """Nobody writes winners to the database, nobody posts: no worker tells how old its queue is, and it is heard."""
    parts = scene.engine.parts()
    gone = [parts[name] for name in ("coupons.work", "ledger.work")]
    for pid in gone:
        os.kill(pid, signal.SIGSTOP)
    scene.store.xadd(f"{event(scene)}:events", {"winner": "waits", "record": "and is none"})
    scene.hear("LastroCouponsHeld", "LastroLedgerHeld", seconds=90)
    assert "LastroBacklogOld" not in scene.heard
    for pid in gone:
        os.kill(pid, signal.SIGCONT)


def database_away(scene: Scene) -> None:
    """PostgreSQL is gone: issuing goes on, what waits for it grows old."""
    scene.database.server.kill()
    scene.hear("LastroDatabaseDown", seconds=60)
    stream = f"{event(scene)}:events"

    def more() -> None:
        batch = scene.store.pipeline(transaction=False)
        for number in range(500):
            batch.xadd(stream, {"winner": f"w{number}", "record": "waits, and is none"})
        batch.execute()
        time.sleep(0.2)

    scene.hear("LastroBacklogGrows", "LastroBehind", again=more, seconds=60)


def processors_fail(scene: Scene) -> None:
    """First nobody sends although the processors work, then one says that it fails, then both do."""
    sender = scene.engine.parts()["payments.work"]
    os.kill(sender, signal.SIGSTOP)
    httpx.post(f"{scene.engine.url}/payments", json={"correlationId": str(uuid4()), "amount": 1})
    scene.hear("LastroPaymentsHeld", seconds=60)
    os.kill(sender, signal.SIGCONT)

    def fail(*urls: str) -> None:
        for url in urls:
            httpx.put(f"{url}/admin/configurations/failure", json={"failure": True}, headers=TOKEN)

    scene.hear("LastroOneProcessorFailing", again=lambda: fail(scene.processors[0]), seconds=60)
    assert "LastroProcessorFailing" not in scene.prometheus.firing()
    scene.heard.discard("LastroProcessorFailing")  # of when the world was held, and with it the processors
    scene.hear("LastroProcessorFailing", again=lambda: fail(*scene.processors))


def server_in_trouble(scene: Scene) -> None:
    """Its memory is nearly used up, it cannot save, its replica falls behind, then is gone."""
    used = scene.store.info("memory")["used_memory"]
    scene.store.config_set("maxmemory", int(used * 1.05))
    scene.hear("LastroServerMemory")
    scene.store.config_set("maxmemory", 0)
    Path(scene.primary.folder / "dump.rdb").mkdir()
    scene.store.bgsave()
    scene.hear("LastroServerPersistence")
    os.kill(scene.replica.pid, signal.SIGSTOP)
    scene.store.set("ballast", bytes(80_000_000))
    scene.hear("LastroReplicaBehind")
    scene.replica.kill()
    scene.hear("LastroReplicaMissing")
    scene.store.delete("ballast")


def server_held(scene: Scene) -> None:
    """The server does not answer at all, while more ask than may wait."""

    def crowd() -> None:
        with ThreadPoolExecutor(REQUESTS_MAX * 2) as callers, suppress(httpx.TransportError):
            list(callers.map(lambda _: httpx.get(f"{scene.engine.url}/payments-summary", timeout=20), range(100)))

    def hold() -> None:
        waiting = threading.Thread(target=crowd)
        waiting.start()
        scene.hold(scene.primary.pid, seconds=8)
        waiting.join()

    scene.hear("LastroServerDown", "LastroErrors", "LastroShedding", again=hold, seconds=60)
