"""A queue on a Redis list that loses nothing: BLMOVE into a list in hand, one per consumer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from lastro.core.keys import Key, beside
from lastro.core.redis import Hub
from lastro.core.streams import DUE_MAX, IDS_MAX, RECLAIMED, Measure, Message, Turn, letters
from lastro.core.streams.letters import DEAD, DeadLetter, Reason
from lastro.core.streams.waiting import Waiting

from . import BLOCK_SECONDS, DEAD_MAX, LEASE_SECONDS, REMEMBER_SECONDS, Bound, Fields, Offers, flattened, scripts
from .bounded import note, once, within

PUT_MAX = 256
MEASURE_TRIES = 5  # consumers that come in between are counted on the next try
ERROR_CHARS_MAX = 500


@dataclass(slots=True)
class ListQueue:
    """A list, and a list in hand per consumer: a crash loses nothing. The consumer has the lease."""

    hub: Hub
    key: Key
    bound: Bound = field(default_factory=Bound)
    dead_max: int = DEAD_MAX
    remember_seconds: int = REMEMBER_SECONDS
    offers: Offers = field(default_factory=Offers)

    @property
    def name(self) -> str:
        """The list's key."""
        return self.key

    def beside(self, what: str) -> Key:
        """A key of this queue."""
        return beside(self.key, what)

    async def publish(self, fields: Fields, *, op_id: str | None = None, delay_seconds: float = 0) -> bytes | None:
        """LPUSH, in a script."""
        flat = flattened(fields)

        async def put(_: Sequence[Any]) -> list[bytes]:
            return once(self.name, await self._push([flat], op_id, delay_seconds))

        ids = await within(self.bound, self.name, [flat], put)
        return ids[0] if ids else None

    async def publish_many(self, many: Sequence[Fields]) -> list[bytes]:
        """Up to 256 in one script call."""

        async def put(flats: Sequence[Any]) -> list[bytes]:
            ids: list[bytes] = []
            for at in range(0, len(flats), PUT_MAX):
                ids += await self._push(flats[at : at + PUT_MAX])
                if len(ids) < min(len(flats), at + PUT_MAX):
                    break
            return ids

        return await within(self.bound, self.name, [flattened(fields) for fields in many], put)

    async def _push(self, flats: Sequence[Any], op_id: str | None = None, delay_seconds: float = 0) -> list[bytes]:
        items: Any = []
        for flat in flats:
            items += (len(flat) + 1, uuid4().hex, *flat)
        return await scripts.push(
            self.hub.write,
            queue=self.key,
            delayed=self.beside("delayed"),
            once=self.beside(f"op:{op_id or '-'}"),
            len_max=self.bound.len_max,
            delay_ms=int(delay_seconds * 1000),
            remember_ms=self.remember_seconds * 1000 if op_id is not None else 0,
            items=items,
        )

    def consumer(
        self, name: str, *, lease_seconds: float = LEASE_SECONDS, block_seconds: float = BLOCK_SECONDS
    ) -> "ListConsumer":
        """A consumer with its own list in hand."""
        return ListConsumer(self, name, lease_seconds, Waiting(self.hub, self.key, block_seconds))

    async def tend(self, *, idle_seconds: float) -> None:
        """Names go with their leases: only the queue's own is noted."""
        await note(self.hub, self.name, f"list://{self.key}")

    async def measure(self) -> Measure:
        """In one script, once it is known who there is."""
        names: list[bytes] = []
        for _ in range(MEASURE_TRIES):
            lag, pending, delayed, dead, age_ms, now = await scripts.weigh(
                self.hub.read,
                queue=self.key,
                delayed=self.beside("delayed"),
                dead=self.beside("dead"),
                consumers=self.beside("consumers"),
                taken=[self.beside(f"taken:{name.decode()}") for name in names],
            )
            if set(now) <= set(names):
                break
            names = now  # the script may only look at keys it was given: once more, with theirs
        return Measure(lag, pending, delayed, dead, age_ms / 1000)

    async def letters(self, *, count: int = letters.PAGE_MAX, after: bytes = b"") -> list[DeadLetter]:
        """The oldest dead letters after that one."""
        return await letters.letters(self.hub, self.key, count=count, after=after)

    async def letter(self, id_: bytes) -> DeadLetter | None:
        """One dead letter, or None."""
        return await letters.letter(self.hub, self.key, id_)

    async def replay(self, ids: Sequence[bytes]) -> int:
        """Each in one step: in the list again, and no longer dead."""
        done = 0
        for at in range(0, len(ids), IDS_MAX):
            done += await scripts.revive(
                self.hub.write, queue=self.key, dead=self.beside("dead"), ids=ids[at : at + IDS_MAX]
            )
        return done

    async def discard(self, ids: Sequence[bytes]) -> int:
        """Delete them."""
        return await letters.discard(self.hub, self.key, ids)

    async def aclose(self) -> None:
        """The hub has the connections."""


@dataclass(slots=True)
class ListConsumer:
    """One consumer of a list: what it took lies in a list of its own until it is settled or its lease is over."""

    queue: ListQueue
    name: str
    lease_seconds: float
    waiting: Waiting
    _members: dict[bytes, bytes] = field(default_factory=dict)
    _unsure: bool = False
    """A read failed: what it was given may lie in hand unseen."""
    _astray: bool = False
    """A message in hand was not found there: it is another consumer's, or lies there as what we have not heard of."""
    _more: bool = False
    """The last turn found more in hand than we know of: a wait that the network cut may be answered much later."""

    @property
    def taken(self) -> Key:
        """What it has in hand."""
        return self.queue.beside(f"taken:{self.name}")

    async def read(self, count: int, *, block_seconds: float) -> list[Message]:
        """What is there; nothing there, BLMOVE waits for one and its companions are taken with it."""
        look = self._unsure or self._astray
        self._unsure, self._astray = (
            True,
            False,
        )  # until this is done; what goes astray meanwhile the next read looks for
        moved = await self._orphans() if look else []
        found = await self._take(count, moved)
        if not found and block_seconds:
            member = await self.waiting.ask("BLMOVE", self.queue.key, self.taken, "RIGHT", "LEFT", block_seconds)
            if member is not None:
                found = await self._take(count - 1, [member])
        self._unsure = False
        return found

    async def _orphans(self) -> list[bytes]:
        known = set(self._members.values())
        in_hand: Any = await self.queue.hub.write.lrange(self.taken, 0, -1)
        return [member for member in in_hand if member not in known]

    async def _take(self, count: int, moved: Sequence[bytes]) -> list[Message]:
        found = await scripts.take(
            self.queue.hub.write,
            queue=self.queue.key,
            taken=self.taken,
            consumers=self.queue.beside("consumers"),
            consumer=self.name,
            lease_ms=int(self.lease_seconds * 1000),
            count_max=count,
            moved=moved,
        )
        messages = []
        for member, id_, handed_out, first_ms, earlier, flat in found:
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            deliveries = int(earlier) + handed_out + 1
            messages.append(Message(id_, fields, deliveries, int(first_ms), int(earlier), handed_out > 1))
            self._members[id_] = member
        return messages

    async def turn(self, count: int) -> Turn:
        """What dead consumers had goes back to the front of the line; it is not taken here, ``read`` does that."""
        moved, next_ms, silent = await scripts.look(
            self.queue.hub.write,
            queue=self.queue.key,
            delayed=self.queue.beside("delayed"),
            consumers=self.queue.beside("consumers"),
            consumer=self.name,
            lease_ms=int(self.lease_seconds * 1000),
            due_max=DUE_MAX,
        )
        more = await self.queue.hub.write.llen(self.taken) > len(self._members)
        self._astray, self._more = self._astray or (more and self._more), more
        for name in silent:
            if (put_back := await self._recover(name.decode(), own=False)) > 0:
                RECLAIMED.of(queue=self.queue.name).inc(put_back)
        return Turn([], moved, next_ms / 1000 if next_ms >= 0 else float("inf"), moved == DUE_MAX)

    async def _recover(self, name: str, *, own: bool) -> int:
        return await scripts.recover(
            self.queue.hub.write,
            queue=self.queue.key,
            taken=self.queue.beside(f"taken:{name}"),
            consumers=self.queue.beside("consumers"),
            consumer=name,
            own=int(own),
        )

    async def begin(self, message: Message) -> bool:
        """Count the delivery of a suspect."""
        before = self._members.get(message.id)
        begun = before and await scripts.start(self.queue.hub.write, taken=self.taken, member=before)
        if begun:
            self._members[message.id] = begun
        elif before:
            self._stray([message.id])
        return bool(begun)

    def _stray(self, ids: Sequence[bytes]) -> None:
        for id_ in ids:
            self._members.pop(id_, None)
        self._astray = self._astray or bool(ids)

    async def acknowledge(self, messages: Sequence[Message]) -> int:
        """LREM each, in a script."""
        finished = 0
        for at in range(0, len(messages), IDS_MAX):
            chunk = messages[at : at + IDS_MAX]
            members = [self._members[message.id] for message in chunk if message.id in self._members]
            if members:
                finished += await scripts.finish(self.queue.hub.write, taken=self.taken, members=members)
            for message in chunk:
                self._members.pop(message.id, None)
        return finished

    async def retry(self, message: Message, *, delay_seconds: float) -> bool:
        """Into the delayed set."""
        answer = await scripts.put_off(
            self.queue.hub.write,
            taken=self.taken,
            delayed=self.queue.beside("delayed"),
            member=self._members.get(message.id, b""),
            deliveries=message.deliveries,
            delay_ms=int(delay_seconds * 1000),
        )
        self._members.pop(message.id, None)
        return answer == "ok"

    async def bury(self, message: Message, *, reason: Reason, error: str, deliveries: int) -> bool:
        """Into the stream of dead letters; while there is no room, into the delayed set for as long as a lease."""
        answer = await scripts.give_up(
            self.queue.hub.write,
            taken=self.taken,
            dead=self.queue.beside("dead"),
            delayed=self.queue.beside("delayed"),
            member=self._members.get(message.id, b""),
            deliveries=deliveries,
            reason=reason,
            error=error[:ERROR_CHARS_MAX],
            dead_max=self.queue.dead_max,
            delay_ms=int(self.lease_seconds * 1000),
        )
        if answer == "ok":
            DEAD.of(queue=self.queue.name, reason=reason).inc()
        self._members.pop(message.id, None)
        return answer == "ok"

    async def renew(self, messages: Sequence[Message]) -> list[bytes]:
        """The consumer's own lease; what is not in hand any more was lost."""
        ids = {self._members[message.id]: message.id for message in messages if message.id in self._members}
        members = [*ids]
        lost: list[bytes] = []
        for at in range(0, len(members), IDS_MAX):
            gone = await scripts.hold(
                self.queue.hub.write,
                taken=self.taken,
                consumers=self.queue.beside("consumers"),
                consumer=self.name,
                lease_ms=int(self.lease_seconds * 1000),
                members=members[at : at + IDS_MAX],
            )
            lost += [ids[member] for member in gone]
        self._stray(lost)
        return lost

    async def release(self) -> int:
        """Everything in hand goes back to the front of the line."""
        total = 0
        while (put_back := await self._recover(self.name, own=True)) > 0:
            total += put_back
        self._members.clear()
        return total

    async def interrupt(self) -> None:
        """CLIENT UNBLOCK."""
        await self.waiting.interrupt()

    async def aclose(self) -> None:
        """Close the connection."""
        await self.waiting.aclose()
