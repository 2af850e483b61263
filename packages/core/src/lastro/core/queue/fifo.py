"""A queue on a plain Redis list, as the original had it: LPUSH and BRPOP, first in, first out.

A message is one field, ``body``. A worker that dies, or a handler that fails, loses what it had; nothing is counted,
delayed or buried.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from lastro.core.clock import now_ms
from lastro.core.errors import Invalid
from lastro.core.keys import Key
from lastro.core.redis import Hub
from lastro.core.streams import Measure, Message, Turn
from lastro.core.streams.waiting import Waiting

from . import BLOCK_SECONDS, LEASE_SECONDS, Bound, Fields, NotOffered, Offers, flattened, scripts
from .bounded import note, within
from .lacking import NoDeadLetters, NoSecondTry

PUT_MAX = 256
OFFERS = Offers(
    acknowledged=False, leased=False, delayed=False, dead_letters=False, counted=False, begun=False, once=False
)


@dataclass(slots=True)
class FifoQueue(NoDeadLetters):
    """What is popped is gone. For what may be lost, or what other programs push and pop."""

    hub: Hub
    key: Key
    bound: Bound = field(default_factory=Bound)
    offers: Offers = OFFERS
    kind = "fifo"

    @property
    def name(self) -> str:
        """The list's key."""
        return self.key

    async def publish(self, fields: Fields, *, op_id: str | None = None, delay_seconds: float = 0) -> bytes | None:
        """LPUSH the body."""
        if op_id is not None or delay_seconds:
            raise NotOffered(kind="fifo", what="publishing once, or for later")
        ids = await self.publish_many([fields])
        return ids[0] if ids else None

    async def publish_many(self, many: Sequence[Fields]) -> list[bytes]:
        """Up to 256 in one script call."""
        return await within(self.bound, self.name, [[_body(fields)] for fields in many], self._put)

    async def _put(self, many: Sequence[list[Any]]) -> list[bytes]:
        accepted = 0
        for at in range(0, len(many), PUT_MAX):
            bodies = [body for (body,) in many[at : at + PUT_MAX]]
            accepted += await scripts.append(self.hub.write, queue=self.key, len_max=self.bound.len_max, bodies=bodies)
            if accepted < at + len(bodies):
                break
        return [b""] * accepted

    def consumer(
        self, name: str, *, lease_seconds: float = LEASE_SECONDS, block_seconds: float = BLOCK_SECONDS
    ) -> "FifoConsumer":
        """A reader; the name is for the log alone."""
        return FifoConsumer(self, name, Waiting(self.hub, self.key, block_seconds))

    async def tend(self, *, idle_seconds: float) -> None:
        """Note the queue's name."""
        await note(self.hub, self.name, f"fifo://{self.key}")

    async def measure(self) -> Measure:
        """Its length; the list knows no more."""
        return Measure(lag=int(await self.hub.read.llen(self.key)))

    async def aclose(self) -> None:
        """The hub has the connections."""


@dataclass(slots=True)
class FifoConsumer(NoSecondTry):
    """Pops."""

    queue: FifoQueue
    name: str
    waiting: Waiting
    kind = "fifo"

    async def read(self, count: int, *, block_seconds: float) -> list[Message]:
        """RPOP what is there, or wait for one with BRPOP."""
        popped = await self.waiting.ask("RPOP", self.queue.key, count)
        if not popped and block_seconds:
            one = await self.waiting.ask("BRPOP", self.queue.key, block_seconds)
            popped = [one[1]] if one else []
        return [Message(uuid4().hex.encode(), {b"body": body}, 1, now_ms()) for body in popped or ()]

    async def turn(self, count: int) -> Turn:
        """Nothing is due and nothing was left behind: it is gone."""
        return Turn([], 0, float("inf"), unfinished=False)

    async def begin(self, message: Message) -> bool:
        """Never a suspect."""
        return True

    async def acknowledge(self, messages: Sequence[Message]) -> int:
        """It was, when it was popped."""
        return len(messages)

    async def renew(self, messages: Sequence[Message]) -> list[bytes]:
        """No lease."""
        return []

    async def release(self) -> int:
        """Nothing to let go of."""
        return 0

    async def interrupt(self) -> None:
        """CLIENT UNBLOCK."""
        await self.waiting.interrupt()

    async def aclose(self) -> None:
        """Close the connection."""
        await self.waiting.aclose()


def _body(fields: Fields) -> Any:
    flat = flattened(fields)
    if len(fields) != 1 or flat[0] not in {"body", b"body"}:
        raise Invalid(field="fields", reason="a fifo's message is one field, body")
    return flat[1]
