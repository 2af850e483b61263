"""A queue on a Redis stream and one of its consumer groups."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from lastro.core.errors import Busy
from lastro.core.keys import Key, beside
from lastro.core.redis import Hub
from lastro.core.scripts import WAITING_MAX, Batch
from lastro.core.streams import Group, Measure, Message, Reader, Turn, letters, scripts
from lastro.core.streams.letters import DEAD, DeadLetter, Reason
from lastro.core.streams.waiting import Waiting

from . import BLOCK_SECONDS, DEAD_MAX, LEASE_SECONDS, PUBLISHED, REMEMBER_SECONDS, Bound, Fields, Offers, flattened
from . import scripts as puts
from .bounded import note, once, within

PUT_MAX = 256  # messages in one script call
ERROR_CHARS_MAX = 500


@dataclass(slots=True)
class StreamQueue:
    """Redis Streams: per-message leases that any consumer can take over, and exact delivery counts.

    ``keep`` makes it a log: several groups read the same stream, and an entry goes when all of them are done with it.
    """

    hub: Hub
    stream: Key
    group: str = "workers"
    keep: bool = False
    bound: Bound = field(default_factory=Bound)
    dead_max: int = DEAD_MAX
    remember_seconds: int = REMEMBER_SECONDS
    offers: Offers = field(default_factory=Offers)
    members: Group = field(init=False)
    batch: Batch = field(init=False)
    _waiting: "list[tuple[list[Any], asyncio.Future[bytes | None]]]" = field(default_factory=list)
    _sender: "asyncio.Task[None] | None" = None

    def __post_init__(self) -> None:
        self.members = Group(hub=self.hub, stream=self.stream, name=self.group, keep=self.keep, label=self.name)
        self.batch = Batch(self.hub)

    @property
    def name(self) -> str:
        """The stream's key."""
        return self.stream

    @property
    def url(self) -> str:
        """What opens it again."""
        return f"stream://{self.stream}?group={self.group}{'&keep=yes' if self.keep else ''}"

    async def publish(self, fields: Fields, *, op_id: str | None = None, delay_seconds: float = 0) -> bytes | None:
        """Append one; concurrent calls share a script call."""
        flat = flattened(fields)
        if op_id is None and not delay_seconds:
            told = await self._with_others(flat)
            if told is not None:
                return told
            ids = await within(self.bound, self.name, [flat], self._put)
            return ids[0] if ids else None

        async def put(_: Sequence[list[Any]]) -> list[bytes]:
            told = await self.batch.submit(
                puts.publish_once,
                stream=self.stream,
                delayed=beside(self.stream, "delayed"),
                once=beside(self.stream, f"op:{op_id or '-'}"),
                len_max=self.bound.len_max,
                delay_ms=int(delay_seconds * 1000),
                remember_ms=self.remember_seconds * 1000 if op_id is not None else 0,
                token=uuid4().hex,
                fields=flat,
            )
            return once(self.name, told)

        ids = await within(self.bound, self.name, [flat], put)
        return ids[0] if ids else None

    def _with_others(self, flat: list[Any]) -> "asyncio.Future[bytes | None]":
        """The id, or None when there is no room. Raises Busy when WAITING_MAX already wait."""
        if len(self._waiting) >= WAITING_MAX:
            raise Busy
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((flat, future))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_waiting())
        return future

    async def _send_waiting(self) -> None:
        """While one call is on its way the next one fills."""
        try:
            while self._waiting:
                chunk, self._waiting = self._waiting[:PUT_MAX], self._waiting[PUT_MAX:]
                try:
                    ids: list[bytes | None] = [*await self._put([flat for flat, _ in chunk])]
                except Exception as error:  # noqa: BLE001  # its callers' to handle: each gets it, and none waits
                    for _, future in chunk:
                        if not future.done():
                            future.set_exception(error)
                    continue
                PUBLISHED.of(queue=self.name).inc(len(ids))
                ids += [None] * (len(chunk) - len(ids))
                for (_, future), id_ in zip(chunk, ids, strict=True):
                    if not future.done():
                        future.set_result(id_)
        finally:
            self._sender = None

    async def publish_many(self, many: Sequence[Fields]) -> list[bytes]:
        """Append in order, up to 256 in one script call."""
        return await within(self.bound, self.name, [flattened(fields) for fields in many], self._put)

    async def _put(self, many: Sequence[list[Any]]) -> list[bytes]:
        ids: list[bytes] = []
        for at in range(0, len(many), PUT_MAX):
            chunk = many[at : at + PUT_MAX]
            items: list[Any] = []
            for flat in chunk:
                items.append(len(flat))
                items += flat
            admitted: list[bytes] = await self.batch.submit(
                puts.publish,
                stream=self.stream,
                delayed=beside(self.stream, "delayed"),
                len_max=self.bound.len_max,
                items=items,
            )
            ids += admitted
            if len(ids) < at + len(chunk):
                break
        return ids

    def consumer(
        self, name: str, *, lease_seconds: float = LEASE_SECONDS, block_seconds: float = BLOCK_SECONDS
    ) -> "StreamConsumer":
        """A consumer of the group."""
        waiting = Waiting(self.hub, self.stream, block_seconds)
        reader = Reader(group=self.members, consumer=name, lease_seconds=lease_seconds, waiting=waiting)
        return StreamConsumer(self, name, reader)

    async def tend(self, *, idle_seconds: float) -> None:
        """Remove names of consumers that are gone; of a log, trim."""
        await self.members.sweep(idle_seconds)
        if self.keep:
            await self.members.trim()
        await note(self.hub, self.name, self.url)

    async def measure(self) -> Measure:
        """In one script."""
        return await self.members.measure()

    async def letters(self, *, count: int = letters.PAGE_MAX, after: bytes = b"") -> list[DeadLetter]:
        """The oldest dead letters after that one."""
        return await letters.letters(self.hub, self.stream, count=count, after=after)

    async def letter(self, id_: bytes) -> DeadLetter | None:
        """One dead letter, or None."""
        return await letters.letter(self.hub, self.stream, id_)

    async def replay(self, ids: Sequence[bytes]) -> int:
        """Each in one step: in the stream again, and no longer dead."""
        done = 0
        for at in range(0, len(ids), PUT_MAX):
            done += await scripts.replay(
                self.hub.write,
                stream=self.stream,
                dead=beside(self.stream, "dead"),
                ids=ids[at : at + PUT_MAX],
            )
        return done

    async def discard(self, ids: Sequence[bytes]) -> int:
        """Delete them."""
        return await letters.discard(self.hub, self.stream, ids)

    async def aclose(self) -> None:
        """The hub has the connections."""


@dataclass(slots=True)
class StreamConsumer:
    """A consumer of a group."""

    queue: StreamQueue
    name: str
    reader: Reader

    async def read(self, count: int, *, block_seconds: float) -> list[Message]:
        """XREADGROUP on a connection of its own."""
        return await self.reader.read(count, block_seconds=block_seconds)

    async def turn(self, count: int) -> Turn:
        """One script: group, delayed set, XAUTOCLAIM from where the last turn stopped."""
        return await self.reader.turn(count)

    async def begin(self, message: Message) -> bool:
        """Count the delivery of a suspect."""
        return await self.reader.begin(message)

    async def acknowledge(self, messages: Sequence[Message]) -> int:
        """XACK and XDEL in one script."""
        return await self.queue.members.acknowledge([message.id for message in messages])

    async def retry(self, message: Message, *, delay_seconds: float) -> bool:
        """Into the delayed set."""
        answer = await self.queue.batch.submit(
            scripts.retry,
            stream=self.queue.stream,
            delayed=beside(self.queue.stream, "delayed"),
            group=self.queue.group,
            consumer=self.name,
            entry=message.id,
            deliveries=message.deliveries,
            delay_ms=int(delay_seconds * 1000),
            keep=int(self.queue.keep),
        )
        return answer == "ok"

    async def bury(self, message: Message, *, reason: Reason, error: str, deliveries: int) -> bool:
        """Into the stream of dead letters."""
        answer = await self.queue.batch.submit(
            scripts.bury,
            stream=self.queue.stream,
            dead=beside(self.queue.stream, "dead"),
            group=self.queue.group,
            consumer=self.name,
            entry=message.id,
            deliveries=deliveries,
            reason=reason,
            error=error[:ERROR_CHARS_MAX],
            dead_max=self.queue.dead_max,
            keep=int(self.queue.keep),
        )
        if answer == "ok":
            DEAD.of(queue=self.queue.name, reason=reason).inc()
        return answer == "ok"

    async def renew(self, messages: Sequence[Message]) -> list[bytes]:
        """XCLAIM JUSTID on what is still ours."""
        return await self.queue.members.renew(self.name, [message.id for message in messages])

    async def release(self) -> int:
        """XCLAIM to nobody, so old that the next turn of another takes it; then the name goes."""
        return await self.queue.members.release(self.name)

    async def interrupt(self) -> None:
        """CLIENT UNBLOCK."""
        await self.reader.waiting.interrupt()

    async def aclose(self) -> None:
        """Close the connection."""
        await self.reader.waiting.aclose()
