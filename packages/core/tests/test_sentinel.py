"""Behind sentinels: the client finds the primary, and after a failover the new one."""

import pytest

from lastro.core.errors import Busy
from lastro.core.redis import Hub, connect_url
from lastro.core.testing import wait_for
from lastro.core.testing.topologies import sentinels

pytestmark = pytest.mark.anyio
FAILOVER_SECONDS = 60.0  # a sentinel that stood still for two seconds trusts itself with none for thirty


async def test_a_client_follows_the_primary_through_a_failover() -> None:
    with sentinels(replicas=1, watching=1) as topology:
        async with await connect_url(topology.url, timeout_seconds=1.0) as hub:
            await hub.write.set("kept", "1")
            assert await hub.write.wait(1, 5000) == 1
            with topology.impatient():
                topology.primary.kill()
                await wait_for(lambda: _wrote(hub), "the new primary", FAILOVER_SECONDS)
            assert await hub.read.get("kept") == b"1"
            assert await hub.line().send([("GET", "kept")]) == [b"1"]


async def _wrote(hub: Hub) -> bool:
    try:
        await hub.write.set("after", "1")
    except Busy:
        return False
    return True
