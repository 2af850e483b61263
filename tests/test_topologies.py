"""The whole engine, all domains with traffic, on every way to run Redis: at its end everything adds up."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import NoPermissionError

from lastro.core.cli.acl import lines
from lastro.core.panels import Look, Watch
from lastro.core.plugins import plugs
from lastro.core.settings import Settings
from lastro.core.testing import free_port, wait_for
from lastro.core.testing.engine import running
from lastro.core.testing.topologies import HOST, Node, cluster, sentinels, until

SECRET = "not-a-secret"  # noqa: S105  # of a server that lives for one test
STOP_SECONDS = 60.0
MOVED_SECONDS = 60.0
MOVED = 5
"""Acts of each domain between two faults."""


def run(url: str, fault: Callable[[], None] | None = None, **variables: str) -> None:
    """``lastro up --simulate`` against that URL until every domain moves, also after the fault; then it must add up."""
    with running("--simulate", LASTRO_REDIS_URL=url, **variables) as engine:
        asyncio.run(moving(url))
        if fault is not None:
            fault()
            asyncio.run(moving(url))
        engine.process.terminate()
        status = engine.process.wait(STOP_SECONDS)
        told = engine.log.read_text()
        assert status == 0, told
        assert "adds up" in told


async def moving(url: str) -> None:
    """Wait until every domain has finished some acts more than now."""
    shows = {name: plug.load() for name, plug in plugs("lastro.panels").items()}
    watch = Watch(Settings(redis_url=SecretStr(url)), shows)
    first: Look | None = None

    async def moved() -> bool:
        nonlocal first
        look = await watch.look()
        if not look.panels:  # the server is away
            return False
        first = first or look
        return all(panel.done >= first.panels[name].done + MOVED for name, panel in look.panels.items())

    try:
        await wait_for(moved, "acts in every domain", MOVED_SECONDS)
    finally:
        await watch.aclose()


@contextmanager
def node(*options: str, binary: Path | None = None) -> Iterator[Node]:
    """One server."""
    with TemporaryDirectory(prefix="lastro-") as folder:
        running_node = Node(Path(folder), free_port(), options, binary)
        try:
            yield running_node
        finally:
            running_node.end()


@pytest.mark.slow
def test_the_engine_runs_on_a_cluster() -> None:
    with cluster() as topology:
        run(topology.url)
        assert all(node.ask("DBSIZE") for node in topology.nodes[:3])


@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_any_primary_of_the_cluster_may_die_under_the_engine(number: int) -> None:
    """Its replica takes over, it is started again as a replica, and what all domains were told is still so."""
    with cluster() as topology:

        def fault() -> None:
            dead = topology.nodes[number]
            with topology.impatient():
                dead.kill()
                until(lambda: topology.owner(number * 5_461 + 1) is not dead, "another primary")
            dead.start()

        run(topology.url, fault, LASTRO_REDIS_REPLICAS="1", LASTRO_REDIS_TIMEOUT_SECONDS="1")


@pytest.mark.slow
def test_the_engine_runs_behind_sentinels_with_copies() -> None:
    with sentinels(replicas=1, watching=1) as topology:
        run(topology.url, LASTRO_REDIS_REPLICAS="1")


def test_the_file_of_access_lists_is_what_the_command_prints() -> None:
    assert (Path(__file__).parent.parent / "ops/redis/users.acl").read_text().splitlines() == lines()


def test_the_engine_runs_as_a_user_that_may_touch_its_own_keys_only() -> None:
    """Nothing it does is refused, so no script touches a key that its domain's keys.py does not name."""
    with node() as server:
        for line in lines():
            server.ask("ACL", "SETUSER", *line.split()[1:], f">{SECRET}")
        run(f"redis://lastro:{SECRET}@{HOST}:{server.port}")
        refused = server.ask("ACL", "LOG")
        assert refused == []
        with Redis(port=server.port, username="lastro", password=SECRET) as user:
            for forbidden in (("GET", "other"), ("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "SET", "maxmemory", "1")):
                with pytest.raises(NoPermissionError):
                    user.execute_command(*forbidden)
