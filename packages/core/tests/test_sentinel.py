"""Behind sentinels: the client finds the primary, and after a failover the new one."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lastro.core import local
from lastro.core.errors import Busy
from lastro.core.redis import Hub, connect_url
from lastro.core.testing import free_port, wait_for

pytestmark = pytest.mark.anyio
FAILOVER_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary with its replica, and the sentinel that watches them."""

    primary: local.Server
    url: str


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Real servers and a real sentinel; the quorum is one."""
    with TemporaryDirectory(prefix="lastro-") as name:
        folder = Path(name)
        ports = [free_port() for _ in range(3)]
        primary = local.start(folder / "a", options=("--port", str(ports[0]), "--repl-diskless-sync-delay", "0"))
        replica = local.start(folder / "b", options=("--port", str(ports[1]), "--replicaof", f"127.0.0.1 {ports[0]}"))
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {ports[2]}\ndir {folder}\nsentinel monitor lastro 127.0.0.1 {ports[0]} 1\n"
            "sentinel down-after-milliseconds lastro 500\nsentinel failover-timeout lastro 3000\n"
        )
        sentinel = subprocess.Popen([local.find(), config, "--sentinel"], stdout=subprocess.DEVNULL)
        yield Pair(primary, f"redis+sentinel://127.0.0.1:{ports[2]}/lastro")
        sentinel.terminate()
        sentinel.wait()
        for server in (primary, replica):
            server.stop()


async def test_a_client_follows_the_primary_through_a_failover(pair: Pair) -> None:
    hub: Hub = await wait_for(lambda: _connected(pair.url), "the sentinel", FAILOVER_SECONDS)
    async with hub:
        await hub.write.set("kept", "1")
        assert await hub.write.wait(1, 5000) == 1
        pair.primary.kill()
        await wait_for(lambda: _wrote(hub), "the new primary", FAILOVER_SECONDS)
        assert await hub.read.get("kept") == b"1"
        assert await hub.line().send([("GET", "kept")]) == [b"1"]


async def _connected(url: str) -> Hub | None:
    try:
        hub = await connect_url(url, timeout_seconds=1.0)
    except Busy:
        return None
    told = await hub.read.info("replication")
    if told["connected_slaves"] == 1:
        return hub
    await hub.aclose()
    return None


async def _wrote(hub: Hub) -> bool:
    try:
        await hub.write.set("after", "1")
    except Busy:
        return False
    return True
