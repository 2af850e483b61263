"""The engine's context: the store, the settings, the keys, and which minutes are open."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from lastro.core.clock import now_ms
from lastro.core.errors import Fault
from lastro.core.keys import Key
from lastro.core.redis import Hub
from lastro.pix import scripts
from lastro.pix.keys import Keys
from lastro.pix.model.ids import minute_ms
from lastro.pix.settings import PixSettings

OPEN_SECONDS = 20  # how long we rely on a minute being open before making sure again
HOUR_MS = 3_600_000
GAP_HOURS = 14  # an id's minute may be 12 h away from now, an original message's local time 14


@dataclass(frozen=True, slots=True)
class Pix:
    """One engine. Cheap to make; workers, the API and the command line each have their own."""

    hub: Hub
    settings: PixSettings
    keys: Keys
    _open: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, hub: Hub, settings: PixSettings) -> Self:
        """The engine on this store."""
        return cls(hub, settings, Keys.of(settings.source, settings.response_prefix, cluster=hub.capabilities.cluster))

    @property
    def read(self) -> Any:
        """The client for what may be asked twice; Any, since redis-py cannot know that its replies are bytes."""
        return self.hub.read

    @property
    def write(self) -> Any:
        """The client for single commands that change something."""
        return self.hub.write

    async def now_ms(self) -> int:
        """The server's clock: the one that decides."""
        return await scripts.now(self.hub.read, payments=self.keys.payments)

    async def open_minutes(self, minutes: Iterable[str], *, again: bool = False) -> set[str]:
        """Make sure these minutes take records; the ones that are over for good are the answer."""
        over = set()
        for minute in minutes:
            if not again and self._open.get(minute, 0) > time.monotonic():
                continue
            if await self._open_minute(minute) == "over":
                over.add(minute)
            else:
                self._open[minute] = time.monotonic() + OPEN_SECONDS
        if len(self._open) > 10_000:  # noqa: PLR2004 - two days of minutes are 2,880; more is a stranger's clock
            self._open.clear()
        return over

    async def _open_minute(self, minute: str) -> str:
        forget = forget_at_ms(minute, self.settings)
        archive = now_ms() + self.settings.retention_ms + OPEN_SECONDS * 1000
        return await scripts.open_minute(
            self.hub.write,
            records=self.keys.records(minute),
            minutes=self.keys.minutes,
            minute=minute,
            forget_at_ms=forget,
            visit_at_ms=archive if self.settings.archive_url else forget,
        )


def forget_at_ms(minute: str, settings: PixSettings) -> int:
    """When the records of a minute may go: its tolerance and the window for repeats after it."""
    return minute_ms(minute) + (GAP_HOURS + settings.window_hours) * HOUR_MS


def never_opened() -> Fault:
    """What is wrong when a minute is opened, and is not open, twice."""
    return Fault(reason="a minute would not open: is the server's clock right?")


@dataclass(slots=True)
class Places:
    """The records and outboxes one script call needs, each at its position among the keys."""

    pix: Pix
    records: dict[str, int]
    outboxes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, pix: Pix, minutes: Iterable[str]) -> Self:
        """Records come first, so all minutes are known at the start."""
        return cls(pix, {minute: at for at, minute in enumerate(dict.fromkeys(minutes), 1)})

    def outbox(self, backend_id: str) -> int:
        """The position of a backend's outbox."""
        at = self.outboxes.get(backend_id)
        if at is None:
            at = self.outboxes[backend_id] = len(self.records) + len(self.outboxes) + 1
        return at

    def keys(self) -> list[Key]:
        """All of them, in order, and last where movements are told."""
        keys = self.pix.keys
        outboxes = [keys.outbox(name) for name in self.outboxes]
        return [*(keys.records(minute) for minute in self.records), *outboxes, keys.movements]
