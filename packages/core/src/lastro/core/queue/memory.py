"""A queue in this process, for tests and for work that may die with it. The same rules, kept by a few dictionaries."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count as counting

import msgspec

from lastro.core.clock import now_ms
from lastro.core.streams import Measure, Message, Turn
from lastro.core.streams.letters import PAGE_MAX, DeadLetter, Reason

from . import BLOCK_SECONDS, DEAD_MAX, LEASE_SECONDS, Bound, Fields, Offers, flattened
from .bounded import AGAIN, once, within

REMEMBERED_MAX = 100_000  # operation ids
OFFERS = Offers(durable=False)


@dataclass(slots=True)
class _Held:
    message: Message
    consumer: str
    until: float


@dataclass(slots=True)
class MemoryQueue:
    """In memory."""

    name: str
    bound: Bound = field(default_factory=Bound)
    dead_max: int = DEAD_MAX
    offers: Offers = OFFERS
    ready: deque[Message] = field(default_factory=deque)
    held: dict[bytes, _Held] = field(default_factory=dict)
    later: list[tuple[float, Message]] = field(default_factory=list)
    dead: dict[bytes, DeadLetter] = field(default_factory=dict)
    _ids: "counting[int]" = field(default_factory=counting)
    _once: dict[str, bytes] = field(default_factory=dict)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(self, fields: Fields, *, op_id: str | None = None, delay_seconds: float = 0) -> bytes | None:
        """Append, now or later."""
        message = self._message(flattened(fields))

        async def put(_: Sequence[object]) -> list[bytes]:
            if op_id is not None and op_id in self._once:  # another was let in with it while this one waited
                return once(self.name, [self._once[op_id], AGAIN])
            if self._full():
                return []
            if op_id is not None:
                self._once[op_id] = message.id
                if len(self._once) > REMEMBERED_MAX:
                    del self._once[next(iter(self._once))]
            if delay_seconds:
                self.later.append((time.monotonic() + delay_seconds, message))
            else:
                self.put(message)
            return [message.id]

        ids = await within(self.bound, self.name, [[message]], put)
        return ids[0] if ids else None

    async def publish_many(self, many: Sequence[Fields]) -> list[bytes]:
        """Append in order."""

        async def put(flats: Sequence[list[object]]) -> list[bytes]:
            ids = []
            for flat in flats:
                if self._full():
                    break
                message = self._message(flat)
                self.put(message)
                ids.append(message.id)
            return ids

        return await within(self.bound, self.name, [list(flattened(fields)) for fields in many], put)

    def _full(self) -> bool:
        return len(self.ready) + len(self.held) + len(self.later) >= self.bound.len_max

    def _message(self, flat: Sequence[object]) -> Message:
        raw = [value if isinstance(value, bytes) else str(value).encode() for value in flat]
        return Message(b"%d-%d" % (now_ms(), next(self._ids)), dict(zip(raw[::2], raw[1::2], strict=True)), 0, now_ms())

    def put(self, message: Message) -> None:
        """At the end of the line."""
        self.ready.append(message)
        self._arrived.set()

    def due(self) -> int:
        """Move what came due; how many."""
        now = time.monotonic()
        moved = sorted((entry for entry in self.later if entry[0] <= now), key=lambda entry: entry[0])
        self.later = [entry for entry in self.later if entry[0] > now]
        for _, message in moved:
            self.put(message)
        return len(moved)

    async def arrival(self, seconds: float) -> None:
        """Wait for a message."""
        self._arrived.clear()
        if self.ready:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            pass

    def wake(self) -> None:
        """End all waits."""
        self._arrived.set()

    def consumer(
        self, name: str, *, lease_seconds: float = LEASE_SECONDS, block_seconds: float = BLOCK_SECONDS
    ) -> "MemoryConsumer":
        """A consumer."""
        return MemoryConsumer(self, name, lease_seconds)

    async def tend(self, *, idle_seconds: float) -> None:
        """Nothing gathers here."""

    async def measure(self) -> Measure:
        """As it is now."""
        undone = [*self.ready, *(held.message for held in self.held.values())]
        oldest = (now_ms() - min(message.first_ms for message in undone)) / 1000 if undone else 0.0
        return Measure(len(self.ready), len(self.held), len(self.later), len(self.dead), oldest)

    async def letters(self, *, count: int = PAGE_MAX, after: bytes = b"") -> list[DeadLetter]:
        """The oldest dead letters after that one."""
        found = list(self.dead.values())
        start = next((at + 1 for at, letter in enumerate(found) if letter.id == after), 0)
        return found[start : start + count]

    async def letter(self, id_: bytes) -> DeadLetter | None:
        """One dead letter, or None."""
        return self.dead.get(id_)

    async def replay(self, ids: Sequence[bytes]) -> int:
        """Back in line as published."""
        found = [letter for id_ in ids if (letter := self.dead.pop(id_, None)) is not None]
        for letter in found:
            self.put(Message(letter.message_id, letter.fields, 0, letter.first_ms))
        return len(found)

    async def discard(self, ids: Sequence[bytes]) -> int:
        """Forget them."""
        return sum(self.dead.pop(id_, None) is not None for id_ in ids)

    async def aclose(self) -> None:
        """Nothing to close."""


@dataclass(slots=True)
class MemoryConsumer:
    """One reader."""

    queue: MemoryQueue
    name: str
    lease_seconds: float

    async def read(self, count: int, *, block_seconds: float) -> list[Message]:
        """From the front of the line."""
        if not self.queue.ready and block_seconds:
            await self.queue.arrival(block_seconds)
        return [self._take(self.queue.ready.popleft()) for _ in range(min(count, len(self.queue.ready)))]

    def _take(self, message: Message) -> Message:
        suspect = message.deliveries - message.earlier > 1
        taken = msgspec.structs.replace(
            message, deliveries=message.deliveries + 1, suspect=suspect, fields=dict(message.fields)
        )
        counted = message if suspect else taken
        self.queue.held[message.id] = _Held(counted, self.name, time.monotonic() + self.lease_seconds)
        return taken

    async def turn(self, count: int) -> Turn:
        """Move what came due, take over what is past its lease."""
        moved, now = self.queue.due(), time.monotonic()
        over = [held.message for held in self.queue.held.values() if held.until <= now][:count]
        soonest = min((when for when, _ in self.queue.later), default=float("inf"))
        return Turn([self._take(message) for message in over], moved, max(0.0, soonest - now), unfinished=False)

    def _settle(self, message: Message) -> bool:
        held = self.queue.held.get(message.id)
        if held is None or held.consumer != self.name:
            return False
        del self.queue.held[message.id]
        return True

    async def begin(self, message: Message) -> bool:
        """Count the delivery of a suspect."""
        held = self.queue.held.get(message.id)
        if held is None or held.consumer != self.name:
            return False
        held.message = message
        return True

    async def acknowledge(self, messages: Sequence[Message]) -> int:
        """Done, whoever holds them."""
        return sum(self.queue.held.pop(message.id, None) is not None for message in messages)

    async def retry(self, message: Message, *, delay_seconds: float) -> bool:
        """Later."""
        mine = self._settle(message)
        if mine:
            again = msgspec.structs.replace(message, earlier=message.deliveries, suspect=False)
            self.queue.later.append((time.monotonic() + delay_seconds, again))
        return mine

    async def bury(self, message: Message, *, reason: Reason, error: str, deliveries: int) -> bool:
        """Dead."""
        if len(self.queue.dead) >= self.queue.dead_max or not self._settle(message):
            return False
        self.queue.dead[message.id] = DeadLetter(
            message.id, reason, error, deliveries, message.first_ms, now_ms(), message.id, message.fields
        )
        return True

    async def renew(self, messages: Sequence[Message]) -> list[bytes]:
        """Hold on to them."""
        lost = []
        for message in messages:
            held = self.queue.held.get(message.id)
            if held is None or held.consumer != self.name:
                lost.append(message.id)
            else:
                held.until = time.monotonic() + self.lease_seconds
        return lost

    async def release(self) -> int:
        """Back to the front of the line."""
        mine = [id_ for id_, held in self.queue.held.items() if held.consumer == self.name]
        for id_ in reversed(mine):
            self.queue.ready.appendleft(self.queue.held.pop(id_).message)
        self.queue.wake()
        return len(mine)

    async def interrupt(self) -> None:
        """End the wait."""
        self.queue.wake()

    async def aclose(self) -> None:
        """Nothing to close."""
