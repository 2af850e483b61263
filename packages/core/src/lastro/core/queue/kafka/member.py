"""A member of a consumer group: what it has in hand of each partition, and how far it got."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from lastro.core.queue.interruptible import unless
from lastro.core.queue.lacking import NoSecondTry
from lastro.core.queue.wire import BrokerAway, unpacked
from lastro.core.streams import Message, Turn


async def started(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Start it, or leave nothing of it behind."""
    try:
        await client.start()
    except BaseException:
        await client.stop()
        raise


@dataclass(slots=True)
class _Part:
    """How far we are in a partition: all before ``next`` is done; what was handed out from there on, and is it done."""

    next: int
    handed: dict[int, bool] = field(default_factory=dict)
    committed: int = -1

    def done(self, offset: int) -> bool:
        if self.handed.get(offset) is not False:
            return False
        self.handed[offset] = True
        while self.handed and self.handed[first := next(iter(self.handed))]:
            del self.handed[first]
            self.next = first + 1
        return True


@dataclass(slots=True)
class Member(NoSecondTry):
    """A consumer."""

    name: str
    topic: str
    client: Callable[[], AIOKafkaConsumer]
    kind = "kafka"
    parts: dict[TopicPartition, _Part] = field(default_factory=dict)
    _client: AIOKafkaConsumer | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _interrupted: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, count: int, *, block_seconds: float) -> list[Message]:
        """What was fetched, or the first that is."""
        client = await self._joined()
        self._interrupted.clear()
        fetched = client.getmany(timeout_ms=int(block_seconds * 1000), max_records=count)
        try:
            found = await unless(self._interrupted, fetched) or {}  # it takes nothing before it returns
        except KafkaError as error:
            raise BrokerAway(reason=repr(error)) from error
        return [message for part, records in found.items() for message in self._handed(part, records)]

    def _handed(self, part: TopicPartition, records: Sequence[Any]) -> list[Message]:
        """Those that we do not have in hand: after a rebalance we get again what we had not committed."""
        state = self.parts.setdefault(part, _Part(records[0].offset))
        fresh = [each for each in records if each.offset >= state.next and each.offset not in state.handed]
        state.handed |= dict.fromkeys((each.offset for each in fresh), False)
        return [Message(b"%d-%d" % (part.partition, r.offset), unpacked(r.value), 1, r.timestamp) for r in fresh]

    async def turn(self, count: int) -> Turn:
        """See to it that we are in the group; nothing is ever due, or left behind by somebody."""
        await self._joined()
        return Turn([], 0, float("inf"), unfinished=False)

    async def begin(self, message: Message) -> bool:
        """Never a suspect."""
        return self._state(message) is not None

    async def acknowledge(self, messages: Sequence[Message]) -> int:
        """Commit how far all is done; what is in a partition that is not ours any more comes again to whose it is."""
        settled = sum(state.done(_offset(each)) for each in messages if (state := self._state(each)) is not None)
        ahead = {part: state.next for part, state in self.parts.items() if state.next > state.committed}
        if ahead and self._client is not None:
            try:
                await self._client.commit(ahead)
            except KafkaError as error:  # while partitions are dealt anew, too; then fewer of these are ours
                raise BrokerAway(reason=repr(error)) from error
            for part, offset in ahead.items():
                if part in self.parts:
                    self.parts[part].committed = offset
        return settled

    async def renew(self, messages: Sequence[Message]) -> list[bytes]:
        """The client's heartbeat does; those of partitions that went are lost."""
        return [message.id for message in messages if self._state(message) is None]

    async def release(self) -> int:
        """By leaving the group, in ``aclose``; how many messages that gives back."""
        return sum(not done for state in self.parts.values() for done in state.handed.values())

    async def interrupt(self) -> None:
        """End the wait."""
        self._interrupted.set()

    async def aclose(self) -> None:
        """Leave the group."""
        client, self._client = self._client, None
        self.parts.clear()
        if client is not None:
            await client.stop()

    def _state(self, message: Message) -> _Part | None:
        number = int(message.id.partition(b"-")[0])
        return self.parts.get(TopicPartition(self.topic, number))

    async def _joined(self) -> AIOKafkaConsumer:
        async with self._opening:
            if self._client is None:
                client = self.client()
                client.subscribe([self.topic], listener=_Ours(self))
                try:
                    await started(client)
                except (KafkaError, OSError) as error:
                    raise BrokerAway(reason=repr(error)) from error
                self._client = client
            return self._client


class _Ours(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """Told when the group's partitions were dealt anew."""

    def __init__(self, consumer: Member) -> None:
        self.consumer = consumer

    def on_partitions_revoked(self, revoked: Any) -> None:
        """Nothing yet: most of them come back at once."""

    def on_partitions_assigned(self, assigned: Any) -> None:
        """What is not ours any more is in nobody's hand."""
        for part in set(self.consumer.parts) - set(assigned):
            del self.consumer.parts[part]


def _offset(message: Message) -> int:
    return int(message.id.partition(b"-")[2])
