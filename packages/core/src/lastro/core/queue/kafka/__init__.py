"""A queue on a Kafka topic: ``kafka://host:9092,host:9092/topic?group=…&key=…``.

Messages with the same value in their field ``key`` come in order. A consumer of the group has whole partitions, for as
long as it is in the group; how far it got in each is committed. What was read and not acknowledged comes again after a
rebalance, to whoever has the partition then. Kafka has no leases, delays, counts and dead letters of single messages,
and its retention is its bound.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from lastro.core.errors import Invalid
from lastro.core.keys import QUEUES
from lastro.core.queue import BLOCK_SECONDS, LEASE_SECONDS, PUBLISHED, Fields, NotOffered, Offers, flattened
from lastro.core.queue.lacking import NoDeadLetters
from lastro.core.queue.wire import BrokerAway, key_of, packed
from lastro.core.redis import Hub
from lastro.core.streams import Measure

from .member import Member, started

TIMEOUT_SECONDS = 10.0
BEATS = 4  # heartbeats in a lease
OFFERS = Offers(
    leased=False, delayed=False, dead_letters=False, counted=False, begun=False, once=False, bounded=False, keyed=True
)


@dataclass(slots=True)
class KafkaQueue(NoDeadLetters):
    """A topic, and one group that reads it."""

    servers: str
    topic: str
    group: str = "workers"
    key: str = "key"
    hub: Hub | None = None
    timeout_seconds: float = TIMEOUT_SECONDS
    offers: Offers = OFFERS
    kind = "kafka"
    _producer: AIOKafkaProducer | None = None
    _looking: AIOKafkaConsumer | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """The topic."""
        return self.topic

    async def publish(self, fields: Fields, *, op_id: str | None = None, delay_seconds: float = 0) -> bytes | None:
        """Send one, and wait until all replicas in sync have it."""
        if op_id is not None or delay_seconds:
            raise NotOffered(kind="kafka", what="publishing once, or for later")
        return (await self.publish_many([fields]))[0]

    async def publish_many(self, many: Sequence[Fields]) -> list[bytes]:
        """Send in order, all on their way at once; after BrokerAway any of them may be there."""
        flats = [flattened(fields) for fields in many]
        records = [(packed(flat).encode(), key_of(flat, self.key)) for flat in flats]
        try:
            producer = await self._sending()
            sent = [await producer.send(self.topic, value=value, key=key) for value, key in records]
            told: list[Any] = await asyncio.gather(*sent, return_exceptions=True)
            for each in told:
                if isinstance(each, BaseException):
                    raise each
        except MessageSizeTooLargeError as error:
            raise Invalid(field="fields", reason=str(error)) from error
        except (KafkaError, OSError) as error:
            await self._stop_sending()  # its numbers have a gap now; the next one begins its own
            raise BrokerAway(reason=repr(error)) from error
        PUBLISHED.of(queue=self.name).inc(len(told))
        return [b"%d-%d" % (each.partition, each.offset) for each in told]

    async def _sending(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self.servers,
                    enable_idempotence=True,  # a request of ours that is repeated is not there twice, and in order
                    request_timeout_ms=int(self.timeout_seconds * 1000),
                )
                await started(producer)
                self._producer = producer
            return self._producer

    async def _stop_sending(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError):
                await producer.stop()

    def consumer(
        self, name: str, *, lease_seconds: float = LEASE_SECONDS, block_seconds: float = BLOCK_SECONDS
    ) -> Member:
        """A member of the group; silent for longer than its lease, it is out, and others get its partitions."""
        return Member(name, self.topic, lambda: self.reader(lease_seconds))

    def reader(self, lease_seconds: float = LEASE_SECONDS) -> AIOKafkaConsumer:
        """A client of the group, not started."""
        lease_ms = int(lease_seconds * 1000)
        return AIOKafkaConsumer(
            bootstrap_servers=self.servers,
            group_id=self.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=lease_ms,
            rebalance_timeout_ms=lease_ms,
            heartbeat_interval_ms=max(1, lease_ms // BEATS),
            request_timeout_ms=int(max(self.timeout_seconds, lease_seconds) * 1000) + 1,
        )

    async def tend(self, *, idle_seconds: float) -> None:
        """Note the queue's name."""
        if self.hub is not None:
            url = f"kafka://{self.servers}/{self.topic}?group={self.group}&key={self.key}"
            await self.hub.write.hset(QUEUES, self.name, url)

    async def measure(self) -> Measure:
        """What the group has not committed; that is in hand, too."""
        try:
            async with self._opening:
                if self._looking is None:
                    looking = self.reader()
                    await started(looking)
                    self._looking = looking
            await self._looking.topics()  # it asks the broker who leads
            numbers = await (await self._sending()).partitions_for(self.topic)  # it waits until the topic is there
            parts = [TopicPartition(self.topic, number) for number in numbers]
            ends = await self._looking.end_offsets(parts)
            done = [await self._looking.committed(part) or 0 for part in parts]
        except (KafkaError, OSError) as error:
            raise BrokerAway(reason=repr(error)) from error
        return Measure(lag=sum(ends.values()) - sum(done))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._stop_sending()
        looking, self._looking = self._looking, None
        if looking is not None:
            await looking.stop()
