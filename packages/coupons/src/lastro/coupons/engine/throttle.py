"""How often one client may try: GCRA in this process, first and for nothing; across processes by core's, in Redis."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter

from lastro.core.errors import TooFast

CLIENTS_MAX = (
    20_000  # remembered at once, some 2 MB; then those that may burst again are forgotten, then who used least
)


@dataclass(frozen=True, slots=True)
class Left:
    """What a client may still do, for its RateLimit header."""

    policy: str
    rest: int
    refill_seconds: int


@dataclass(eq=False, slots=True)
class Throttle:
    """One policy: so many in a second, so many at once."""

    policy: str
    per_second: float
    burst: int
    clock: Callable[[], float] = time.monotonic
    _empty_at: dict[str, float] = field(default_factory=dict)

    def take(self, client: str) -> Left:
        """Let this one through or raise TooFast; what the client has left."""
        now, interval = self.clock(), 1 / self.per_second
        empty_at = max(now, self._empty_at.get(client, now)) + interval
        wait = empty_at - now - self.burst * interval
        if wait > 1e-9:  # noqa: PLR2004  # the clock's own grain
            raise TooFast(retry_after_seconds=math.ceil(wait), policy=self.policy)
        if client not in self._empty_at and len(self._empty_at) >= CLIENTS_MAX:
            self._forget(now)
        self._empty_at[client] = empty_at
        return Left(self.policy, int((now + self.burst * interval - empty_at) / interval + 1e-6), math.ceil(interval))

    @property
    def window_seconds(self) -> int:
        """In which a full burst comes back."""
        return math.ceil(self.burst / self.per_second)

    def _forget(self, now: float) -> None:
        """Nobody frees who is held by coming as many: those that used most stay."""
        used = sorted(((at, client) for client, at in self._empty_at.items() if at > now), key=itemgetter(0))
        self._empty_at = {client: at for at, client in used[-(CLIENTS_MAX // 2) :]}
