"""Over TLS: both sides show their certificates, whichever way Redis is run."""

from pathlib import Path

import pytest

from lastro.core.errors import Busy
from lastro.core.redis import Hub, connect_url
from lastro.core.redis.clients import Tls
from lastro.core.testing import free_port
from lastro.core.testing.topologies import HOST, Certificates, Node, certificates, cluster, sentinels

pytestmark = [pytest.mark.anyio, pytest.mark.needs("openssl"), pytest.mark.needs("redis-server")]
REDIS = Path("/usr/bin/redis-server")


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


def shown(trusted: Certificates) -> Tls:
    return Tls(trusted.ca, trusted.cert, trusted.key)


async def works(hub: Hub) -> None:
    """By a client, by a line, by a blocking read."""
    assert await hub.write.set("{k}", "1", ex=60)
    assert await hub.line(hub.place("{k}")).send([("INCR", "{k}"), ("GET", "{k}")]) == [2, b"2"]
    assert await hub.blocking(0.01).xread({"{k}:none": "0"}, block=10) == []


async def test_a_server_and_a_client_that_show_their_certificates_talk(trusted: Certificates, tmp_path: Path) -> None:
    server = Node(tmp_path, free_port(), ("--port", "0"), REDIS, trusted.options)
    url = f"rediss://{HOST}:{server.port}"
    async with await connect_url(url, tls=shown(trusted)) as hub:
        await works(hub)
    for missing in (Tls(), Tls(trusted.ca)):  # an authority it does not know; no certificate of our own
        with pytest.raises(Busy):
            await connect_url(url, tls=missing, timeout_seconds=1.0)
    server.end()


@pytest.mark.slow
async def test_behind_sentinels_all_connections_are_secure(trusted: Certificates) -> None:
    with sentinels(replicas=1, watching=1, binary=REDIS, tls=trusted.options) as topology:
        url = topology.url.replace("redis", "rediss", 1)
        async with await connect_url(url, tls=shown(trusted)) as hub:
            await works(hub)


@pytest.mark.slow
async def test_in_a_cluster_all_connections_are_secure(trusted: Certificates) -> None:
    with cluster(replicas=0, binary=REDIS, tls=trusted.options) as topology:
        url = topology.url.replace("redis", "rediss", 1)
        async with await connect_url(url, tls=shown(trusted)) as hub:
            await works(hub)
