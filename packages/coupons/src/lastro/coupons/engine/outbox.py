"""The stream of an event as a queue: what was issued, on its way into the database.

It is a log that is kept until the event is settled: until then the database can be rebuilt from it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from lastro.core.keys import QUEUES, Key
from lastro.core.queue.stream import StreamQueue
from lastro.core.redis import Hub
from lastro.core.streams import Measure
from lastro.coupons import keys

GROUP = "persist"
NAME = "coupons"
PAGE_MAX = 500


@dataclass(slots=True)
class Outbox(StreamQueue):
    """One event's. Workers count all of them under one name: the label of a metric is no id."""

    others: dict[Key, Measure] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of all events together."""
        return NAME

    async def tend(self, *, idle_seconds: float) -> None:
        """As a queue's, without trimming."""
        await self.hub.write.hset(QUEUES, self.stream, self.url)
        await self.members.sweep(idle_seconds)

    async def measure(self) -> Measure:
        """Of all events that this process reads."""
        self.others[self.stream] = await self.members.measure()
        told = list(self.others.values())
        return Measure(
            sum(one.lag for one in told),
            sum(one.pending for one in told),
            sum(one.delayed for one in told),
            sum(one.dead for one in told),
            max(one.oldest_seconds for one in told),
        )

    async def forget(self) -> None:
        """No longer among the queues."""
        await self.hub.write.hdel(QUEUES, self.stream)


async def entries(queue: Outbox, start: bytes = b"-") -> AsyncIterator[tuple[bytes, dict[bytes, bytes]]]:
    """Id and fields of every entry from there on."""
    while True:
        page: Any = await queue.hub.read.xrange(queue.stream, start, count=PAGE_MAX)
        if not page:
            return
        for id_, fields in page:
            yield id_, fields
        start = b"(" + page[-1][0]


def outbox(hub: Hub, event_id: str, others: dict[Key, Measure] | None = None) -> Outbox:
    """The outbox of an event."""
    return Outbox(hub, keys.events(event_id), group=GROUP, keep=True, others={} if others is None else others)
