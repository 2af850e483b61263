"""The suite of queues in a cluster of three: each queue lies where its name hashes to, and a hub knows where."""

from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from lastro.core.queue import Queue, open_queue
from lastro.core.redis import Hub, connect_url
from lastro.core.testing.queues import QueueCases
from lastro.core.testing.topologies import Cluster, cluster

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
_numbers = count(1)


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    with cluster(replicas=0) as topology:
        yield topology


@pytest.fixture
async def hub(three: Cluster) -> AsyncIterator[Hub]:
    async with await connect_url(three.url) as connected:
        yield connected


def fresh(kind: str) -> str:
    """The URL of a queue that nobody used."""
    return f"{kind}://queue:cases-{next(_numbers)}" + ("?group=g" if kind == "stream" else "")


class TestStreamQueueInACluster(QueueCases):
    @pytest.fixture
    def queue(self, hub: Hub) -> Queue:
        return open_queue(fresh("stream"), hub)


class TestListQueueInACluster(QueueCases):
    @pytest.fixture
    def queue(self, hub: Hub) -> Queue:
        return open_queue(fresh("list"), hub)


class TestFifoQueueInACluster(QueueCases):
    @pytest.fixture
    def queue(self, hub: Hub) -> Queue:
        return open_queue(fresh("fifo"), hub)
