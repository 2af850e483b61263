"""Issuances on their way to Kafka: at least once, in the order of each user, in an inventory that is idempotent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lastro.core.queue import Consumer, open_queue
from lastro.core.queue.kafka import KafkaQueue
from lastro.core.queue.wire import BrokerAway
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.testing.brokers import Kafka, Sqs
from lastro.core.worker import Run
from lastro.coupons import keys
from lastro.coupons.engine import Coupons, events
from lastro.coupons.engine.passing_on import relay

from .conftest import opened, persisted

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["cluster"], indirect=True)]


class Inventory:
    """The other side: a shop that keeps what it is told, each entry once."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.entries: set[tuple[bytes, bytes]] = set()
        self.users: dict[str, list[int]] = {}
        self.changes = 0

    async def has(self, count: int) -> bool:
        try:
            found = await self.consumer.read(200, block_seconds=0.1)
            for message in found:
                entry = message.fields[b"stream"], message.fields[b"entry"]
                if entry not in self.entries:
                    self.entries.add(entry)
                    if b"user_id" in message.fields:
                        mine = self.users.setdefault(message.fields[b"user_id"].decode(), [])
                        mine.append(int(message.fields[b"ordinal"]))
                    else:
                        self.changes += 1
            await self.consumer.acknowledge(found)
        except BrokerAway:
            pass
        return sum(map(len, self.users.values())) == count


@asynccontextmanager
async def told(coupons: Coupons, url: str) -> AsyncIterator[None]:
    run, sink = Run(hub=coupons.hub, settings=Settings()), open_queue(url)
    if isinstance(sink, KafkaQueue):
        sink.timeout_seconds = 1
    task = asyncio.create_task(relay(coupons, run, sink))
    try:
        yield
    finally:
        run.stopping.set()
        await task
        await sink.aclose()


async def test_an_inventory_behind_kafka_has_every_issuance_once_though_the_broker_was_away(
    coupons: Coupons, kafka: Kafka
) -> None:
    url = kafka.url()
    await opened(coupons, total=300, per_user_limit=3)
    inventory = Inventory(open_queue(url).consumer("one", lease_seconds=1.5))
    async with told(coupons, url):
        await asyncio.gather(*(coupons.issue("e", f"user{n}", key="1") for n in range(100)))
        await wait_for(lambda: inventory.has(100), "a hundred", 60)
        kafka.away()
        for key in "23":
            await asyncio.gather(*(coupons.issue("e", f"user{n}", key=key) for n in range(100)))
        await asyncio.sleep(1.5)
        kafka.back()
        await wait_for(lambda: inventory.has(300), "all of them", 60)
    assert inventory.users == {f"user{n}": [1, 2, 3] for n in range(100)}
    assert inventory.changes > 0
    await inventory.consumer.aclose()


async def test_an_event_that_was_settled_is_passed_on_to_its_end_and_forgotten(coupons: Coupons, sqs: Sqs) -> None:
    url = sqs.url(".fifo")
    queue = open_queue(url)
    inventory = Inventory(queue.consumer("one"))
    await opened(coupons, total=2)
    await coupons.hub.write.sadd(keys.RELAYING, "e")
    await asyncio.gather(*(coupons.issue("e", user) for user in ("ana", "bia")))
    await persisted(coupons)
    await events.close(coupons, "e")
    await persisted(coupons)
    await events.settle(coupons, "e")
    async with told(coupons, url):
        await wait_for(lambda: inventory.has(2), "both", 60)

        async def forgotten() -> bool:
            return not await coupons.hub.read.exists(keys.RELAYING)

        await wait_for(forgotten, "the event to be done with", 60)
    await queue.aclose()
