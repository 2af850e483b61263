"""One suite, four kinds of queue; and what a URL may say."""

import asyncio

import pytest

from lastro.core.errors import Misconfigured
from lastro.core.queue import Backoff, Bound, Queue, open_queue
from lastro.core.redis import Hub
from lastro.core.testing.queues import QueueCases

pytestmark = pytest.mark.anyio


class TestStreamQueue(QueueCases):
    @pytest.fixture
    def queue(self, hub: Hub) -> Queue:
        return open_queue("stream://queue:cases?group=g", hub)


class TestListQueue(QueueCases):
    @pytest.fixture
    def queue(self, hub: Hub) -> Queue:
        return open_queue("list://queue:cases", hub)


class TestFifoQueue(QueueCases):
    @pytest.fixture
    def queue(self, hub: Hub) -> Queue:
        return open_queue("fifo://queue:cases", hub)


class TestMemoryQueue(QueueCases):
    @pytest.fixture
    def queue(self) -> Queue:
        return open_queue("memory://cases")


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("orders", "no scheme"),
        ("kafka://orders", "kafka"),
        ("stream://", "names no queue"),
        ("stream://orders?maxlen=3", "maxlen"),
        ("stream://orders?len_max=0", "len_max"),
        ("stream://orders?len_max=many", "many"),
        ("list://orders?when_full=explode", "explode"),
        ("stream://orders?keep=perhaps", "perhaps"),
    ],
)
async def test_a_malformed_url_is_refused_and_the_error_names_what_is_wrong(hub: Hub, url: str, names: str) -> None:
    with pytest.raises(Misconfigured, match=names):
        open_queue(url, hub)


def test_a_redis_queue_needs_a_hub() -> None:
    with pytest.raises(Misconfigured, match="hub"):
        open_queue("stream://orders")


async def test_concurrent_publishers_share_a_write_and_each_gets_its_own_id(hub: Hub) -> None:
    queue = open_queue("stream://queue:cases", hub)
    ids = await asyncio.gather(*(queue.publish({"n": n}) for n in range(500)))
    assert len(set(ids)) == 500
    assert (await queue.measure()).lag == 500


def test_a_retry_waits_anywhere_between_now_and_a_ceiling_that_doubles_up_to_its_cap() -> None:
    backoff = Backoff(base_seconds=0.1, cap_seconds=1)
    for deliveries, ceiling in ((1, 0.1), (2, 0.2), (4, 0.8), (5, 1.0), (1000, 1.0)):
        waits = [backoff.seconds(deliveries) for _ in range(200)]
        assert 0 <= min(waits) < ceiling / 2 < max(waits) <= ceiling


def test_a_bound_is_chosen_by_url() -> None:
    queue = open_queue("memory://cases?len_max=7&when_full=block&block_seconds=2")
    assert queue.bound == Bound(len_max=7, when_full="block", block_seconds=2)  # type: ignore[attr-defined]


async def test_a_message_that_cannot_be_written_down_is_its_publishers_error_and_the_queue_goes_on(hub: Hub) -> None:
    queue = open_queue("stream://queue:cases", hub)
    with pytest.raises(UnicodeEncodeError):
        await queue.publish({"n": "\ud800"})
    assert await queue.publish({"n": 1}) is not None
