"""What this process knows to be sold out, so that a crowd that comes too late costs Redis nothing.

An entry holds as long as the event's generation does, which grows with every unit that comes back; it is asked for
LOOK_SECONDS apart, and without an answer the entry goes. Winners are never answered from here: they get their coupon.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from lastro.core.errors import LastroError
from lastro.core.redis import Hub
from lastro.coupons import keys
from lastro.coupons.model.issuance import ORDINAL

LOOK_SECONDS = 0.2
TRUST_SECONDS = 0.7
"""After the last look that agreed; with LOOK_SECONDS it is below the second that a reopened event may take."""
WINNERS_MAX = 100_000  # of one event; above, its attempts go to Redis: 0.4 µs each in a batch
EVENTS_MAX = 100


@dataclass(slots=True)
class Gone:
    """A sold-out event."""

    generation: int
    winners: frozenset[str]
    agreed: float


@dataclass(eq=False)
class Guard:
    """Of one process."""

    hub: Hub
    _gone: dict[str, Gone] = field(default_factory=dict)
    _learning: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    _looking: "asyncio.Task[None] | None" = None

    def sold_out(self, event_id: str, user_id: str) -> bool:
        """Whether this user, who is no winner, comes too late for certain."""
        gone = self._gone.get(event_id)
        return gone is not None and user_id not in gone.winners and time.monotonic() - gone.agreed < TRUST_SECONDS

    def learn(self, event_id: str, generation: int) -> None:
        """The script said "sold out": find out who won, then answer for it."""
        if event_id not in self._gone and event_id not in self._learning and len(self._gone) < EVENTS_MAX:
            self._learning[event_id] = asyncio.create_task(self._learn(event_id, generation))

    async def aclose(self) -> None:
        """Forget everything."""
        tasks = [*self._learning.values(), *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._gone.clear()

    async def _learn(self, event_id: str, generation: int) -> None:
        try:
            line = self.hub.line(self.hub.place(keys.stock(event_id)))
            participants = keys.participants(event_id)
            (count,) = await line.send([("HLEN", participants)])
            if not isinstance(count, int) or count > WINNERS_MAX:
                return
            # asked after the generation was told: a winner from then on is among them, or the generation is another
            (winners,) = await line.send([("HKEYS", participants)])
            users = frozenset(winner.decode().partition(ORDINAL)[0] for winner in winners)
            gone = Gone(generation, users, 0.0)
            if await self._agrees(event_id, gone):
                self._gone[event_id] = gone
                if self._looking is None:
                    self._looking = asyncio.create_task(self._look())
        except LastroError:
            return  # the next sold-out answer brings the next try
        finally:
            del self._learning[event_id]

    async def _look(self) -> None:
        try:
            while self._gone:
                await asyncio.sleep(LOOK_SECONDS)
                for event_id, gone in list(self._gone.items()):
                    if not await self._agrees(event_id, gone):
                        del self._gone[event_id]
        finally:
            self._looking = None

    async def _agrees(self, event_id: str, gone: Gone) -> bool:
        asked = time.monotonic()
        try:
            line = self.hub.line(self.hub.place(keys.stock(event_id)))
            told: list[Any] = await line.send([("GET", keys.stock(event_id)), ("HGET", keys.meta(event_id), "gen")])
        except LastroError:
            return asked - gone.agreed < TRUST_SECONDS
        if told == [b"0", b"%d" % gone.generation]:
            gone.agreed = asked
            return True
        return False
