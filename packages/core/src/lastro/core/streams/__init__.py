"""Streams with consumer groups: append, read, acknowledge, take over, put off, bury, trim.

A ``Group`` is one consumer group of one stream. What is handed out under it is a lease: whoever does not renew it
loses the entry to the next consumer that makes a ``turn``. Settling by a consumer that lost its lease changes nothing,
except acknowledging: then the work is done, whoever did it.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lastro.core.errors import LastroError
from lastro.core.keys import Key, beside
from lastro.core.metrics import BOUNDED, counter
from lastro.core.redis import Hub

from . import scripts
from .waiting import Waiting

AGAIN = b"~"
"""First field of an entry that comes back: ``deliveries first_ms``, in a log the group. Not for use by others."""
NOBODY = "released"
"""The consumer that holds what a stopping one let go of."""
_BEFORE = re.compile(rb"(\d{1,14}) (\d{1,14})(?: (.*))?", re.DOTALL)
FIELDS_MAX = 1_000  # of a message
IDS_MAX = 500  # in one script call: unpack() fails at 8,000 values
DUE_MAX = 200  # moved in one turn
MISSING_CAP_SECONDS = 0.5
CLAIM_MAX = 200  # taken over in one turn: three commands each

RECREATED = counter(
    "stream_group_recreated_total", "consumer groups that were there and are gone", do="who flushes?", queue=BOUNDED
)
RECLAIMED = counter(
    "stream_reclaimed_total",
    "entries taken over from a consumer that went silent",
    do="which worker dies?",
    queue=BOUNDED,
)


class Message(msgspec.Struct, gc=False):
    """One delivery of one message."""

    id: bytes
    fields: dict[bytes, bytes]
    deliveries: int = 1
    """Counting this one. It only grows, so it fences: what saw a higher one for this message can refuse a lower."""
    first_ms: int = 0
    """When it was first published, server time; of a message that never came back, see its id."""
    earlier: int = 0
    """Deliveries that ended in an orderly failure, after which it was published anew."""
    suspect: bool = False
    """Twice handed out and never heard of again: it is handled alone, after ``begin``."""
    only: bytes = b""
    """The group of a log that it comes back for; empty for all."""
    unreadable: str = ""
    """Why it is no message of ours: another program's entry, which no handler gets."""


class Turn(msgspec.Struct):
    """What a turn brought."""

    messages: list[Message]
    """Taken over; the leases are ours."""
    moved: int
    """Came due."""
    next_seconds: float
    """Until the next comes due; infinite when nothing waits."""
    unfinished: bool
    """There is more to look at: make the next turn soon."""


class Measure(msgspec.Struct):
    """How a queue is doing."""

    lag: int = 0
    pending: int = 0
    delayed: int = 0
    dead: int = 0
    oldest_seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class Group:
    """A consumer group of a stream. ``keep`` makes it a log: what is acknowledged stays until ``trim``."""

    hub: Hub
    stream: Key
    name: str
    keep: bool = False
    label: str = ""
    """The queue's name in metrics; the stream's key without one, which may have an id in it."""
    _seen: bool = field(default=False, compare=False)

    def seen(self, *, created: bool) -> None:
        """It is there; one that had to be created although it was there before has been flushed away."""
        if created and self._seen:
            RECREATED.of(queue=self.label or self.stream).inc()
        self._seen = True

    async def ensure(self) -> bool:
        """Create the group at the start of the stream if it is missing; True if it was."""
        try:
            await self.hub.write.execute_command("XGROUP CREATE", self.stream, self.name, "0", "MKSTREAM")
        except LastroError as error:
            if "BUSYGROUP" not in str(error):
                raise
            self.seen(created=False)
            return False
        self.seen(created=True)
        return True

    async def acknowledge(self, ids: Sequence[bytes]) -> int:
        """Settle these: how many were not settled before. What is settled frees its memory."""
        settled = 0
        for at in range(0, len(ids), IDS_MAX):
            settled += await scripts.settle(
                self.hub.write,
                stream=self.stream,
                group=self.name,
                keep=int(self.keep),
                ids=ids[at : at + IDS_MAX],
            )
        return settled

    async def renew(self, consumer: str, ids: Sequence[bytes]) -> list[bytes]:
        """Renew these leases; returns those that another consumer has taken over."""
        lost: list[bytes] = []
        for at in range(0, len(ids), IDS_MAX):
            lost += await scripts.renew(
                self.hub.write, stream=self.stream, group=self.name, consumer=consumer, ids=ids[at : at + IDS_MAX]
            )
        return lost

    async def release(self, consumer: str) -> int:
        """Let go of everything this consumer has, so that others get it on their next turn, and of its name."""
        total = 0
        while True:
            released = await scripts.release(
                self.hub.write, stream=self.stream, group=self.name, consumer=consumer, nobody=NOBODY
            )
            total += released
            if released < IDS_MAX * 10:
                return total

    async def sweep(self, idle_seconds: float) -> int:
        """Remove the names of consumers not seen for so long that have nothing pending; how many."""
        return await scripts.sweep(
            self.hub.write, stream=self.stream, group=self.name, idle_ms=int(idle_seconds * 1000)
        )

    async def trim(self) -> int:
        """Of a log: free what every group has done with; how many entries."""
        return await scripts.trim(self.hub.write, stream=self.stream)

    async def delayed(self) -> AsyncIterator[dict[bytes, bytes]]:
        """What waits for its next try by this group, as it was published."""
        after = 0
        while True:
            page = await scripts.list_delayed(
                self.hub.read, delayed=beside(self.stream, "delayed"), after=after, count_max=IDS_MAX, group=self.name
            )
            for flat in page:
                if flat:
                    yield dict(zip(flat[::2], flat[1::2], strict=True))
            after += len(page)
            if len(page) < IDS_MAX:
                return

    async def measure(self) -> Measure:
        """Lag, pending, delayed, dead, age of the oldest."""
        lag, pending, delayed, dead, age_ms = await scripts.measure(
            self.hub.read,
            stream=self.stream,
            delayed=beside(self.stream, "delayed"),
            dead=beside(self.stream, "dead"),
            group=self.name,
            keep=int(self.keep),
        )
        return Measure(lag, pending, delayed, dead, age_ms / 1000)


@dataclass(slots=True, kw_only=True)
class Reader:
    """One consumer of a group: a connection of its own for waiting, and its place in the look for abandoned entries."""

    group: Group
    consumer: str
    lease_seconds: float
    waiting: Waiting
    _cursor: bytes = b"0-0"
    _missing: int = 0

    async def read(self, count: int, *, block_seconds: float) -> list[Message]:
        """Up to ``count`` new messages, waiting for the first; none when the wait is over or the group was missing."""
        command: list[Any] = ["XREADGROUP", "GROUP", self.group.name, self.consumer, "COUNT", count]
        if block_seconds:
            command += ["BLOCK", max(1, int(block_seconds * 1000))]
        try:
            reply = await self.waiting.ask(*command, "STREAMS", self.group.stream, ">")
        except LastroError as error:
            words = str(error.about.get("reason", ""))
            if not words.startswith(("NOGROUP", "UNBLOCKED")):
                raise
            # flushed, or restored without it: a group that vanishes again and again is created ever more slowly
            await asyncio.sleep(min(MISSING_CAP_SECONDS, 0.05 * 2**self._missing) if self._missing else 0)
            self._missing += 1
            await self.group.ensure()
            return []
        self._missing = 0
        return await self._ours(parsed(reply[0][1])) if reply else []

    async def _ours(self, messages: list[Message]) -> list[Message]:
        """Without what comes back for another group of a log: that is done with here."""
        mine = {b"", self.group.name.encode()}
        if others := [message.id for message in messages if message.only not in mine]:
            await self.group.acknowledge(others)
        return [message for message in messages if message.only in mine]

    async def turn(self, count: int) -> Turn:
        """See to the group, to what is due, and take over up to ``count`` entries whose lease ran out."""
        created, moved, next_ms, self._cursor, taken = await scripts.turn(
            self.group.hub.write,
            stream=self.group.stream,
            delayed=beside(self.group.stream, "delayed"),
            group=self.group.name,
            consumer=self.consumer,
            lease_ms=int(self.lease_seconds * 1000),
            cursor=self._cursor,
            count_max=min(count, CLAIM_MAX),
            due_max=DUE_MAX,
        )
        self.group.seen(created=bool(created))
        messages = []
        for id_, flat, deliveries in taken:
            (message,) = parsed([(id_, flat)])
            message.deliveries += deliveries
            message.suspect = deliveries > 1
            messages.append(message)
        messages = await self._ours(messages)
        if messages:
            RECLAIMED.of(queue=self.group.label or self.group.stream).inc(len(messages))
        unfinished = self._cursor != b"0-0" or moved == DUE_MAX
        return Turn(messages, moved, next_ms / 1000 if next_ms >= 0 else float("inf"), unfinished)

    async def begin(self, message: Message) -> bool:
        """Count the delivery of a suspect; False when it is no longer ours."""
        answer = await scripts.begin(
            self.group.hub.write,
            stream=self.group.stream,
            group=self.group.name,
            consumer=self.consumer,
            entry=message.id,
            deliveries=message.deliveries - message.earlier,
        )
        return answer == "ok"


def parsed(entries: Iterable[Any]) -> list[Message]:
    """Entries as the server sends them: ``[[id, [field, value, …]], …]``."""
    messages = []
    for id_, flat in entries:
        back = flat[:1] == [
            AGAIN
        ]  # in the first place, where the queue puts it: elsewhere it is a field like any other
        pairs = iter(flat[2:] if back else flat)
        message = Message(id_, dict(zip(pairs, pairs, strict=True)))
        if back:
            _come_back(message, flat[1])
        if AGAIN in message.fields:
            message.unreadable = _not_ours(message.fields[AGAIN])
        if len(flat) > 2 * FIELDS_MAX + 2:
            message.unreadable = f"{len(flat) // 2} fields, and a message has at most {FIELDS_MAX}"
        messages.append(message)
    return messages


def _come_back(message: Message, told: bytes) -> None:
    before = _BEFORE.fullmatch(told)
    if before is None:
        message.unreadable = _not_ours(told)
        return
    message.earlier = int(before[1])
    message.deliveries += message.earlier
    message.first_ms = int(before[2])
    message.only = before[3] or b""


def _not_ours(told: bytes) -> str:
    return f"its field {AGAIN.decode()} is not the queue's: {told[:100]!r}"
