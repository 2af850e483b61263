"""The ledger's background work: what is over is released, what nobody needs any more is dropped."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

import structlog

from lastro.core.errors import Busy, LastroError
from lastro.core.redis import Hub
from lastro.core.worker import Run
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.post import followed
from lastro.ledger.engine.post import totals as sums
from lastro.ledger.engine.shards import Shards, all_of, check_all
from lastro.ledger.settings import LedgerSettings

log = structlog.get_logger()
AGAIN_SECONDS = 10.0
"""What goes on failing as it did is logged again after so long."""


@dataclass(slots=True)
class Acts:
    """What a worker does to one ledger after another. What one of them, or its archive, refuses stops no other."""

    postponed: str
    """The log event of what the store cannot take just now."""
    failed: str
    """And of what else keeps it from its end."""
    _told: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Of the ledgers that fail: why, and when it was logged."""

    async def take(self, ledger: str, act: Callable[[], Awaitable[int]]) -> int:
        """What the act answers; 0 if it failed, which is logged when it begins to, changes, and every AGAIN_SECONDS."""
        try:
            done = await act()
        except LastroError as error:
            reason, now = str(error), monotonic()
            before, at = self._told.get(ledger, ("", now))
            if reason != before or now - at >= AGAIN_SECONDS:
                self._told[ledger] = reason, now
                if isinstance(error, Busy):
                    log.warning(self.postponed, ledger=ledger, reason=reason)
                else:
                    log.error(self.failed, ledger=ledger, reason=reason)  # noqa: TRY400  # it says it
            return 0
        self._told.pop(ledger, None)
        return done


async def expire(run: Run) -> None:
    """Release expired transfers, ten times a second; as long as there are more, without a pause."""
    settings = LedgerSettings.read()
    ledgers, pause = all_of(run.hub, settings), settings.expire_every_seconds
    releasing = Acts("expire.postponed", "expire.failed")
    while not run.stopping.is_set():
        released = 0
        for ledger in ledgers:
            if run.stopping.is_set():
                break
            released += await releasing.take(ledger.archive.name, ledger.expire_transfers)
        if released:
            log.info("expire.released", transfers=released)
        elif await run.pause(pause):
            return


async def retain(run: Run) -> None:
    """Trim the change stream by policy, and archive what is old."""
    settings = LedgerSettings.read()
    ledgers = all_of(run.hub, settings)
    trimming, archiving = (Acts("retain.postponed", "retain.failed") for _ in range(2))
    archives = [ledger.archive for ledger in ledgers]
    while not await run.pause(settings.retain_every_seconds):
        for ledger in ledgers:
            await trimming.take(ledger.archive.name, ledger.retain_changes)
        for archive in archives:
            if moved := await archiving.take(archive.name, archive.archive):
                log.info("retain.archived", ledger=archive.name, segments=moved)


async def cross(run: Run) -> None:
    """Finish transfers between shards that somebody left half way."""
    settings = LedgerSettings.read()
    pause, after_ms = settings.recover_after_seconds, int(settings.recover_after_seconds * 1000)
    while settings.shards > 1 and not await run.pause(pause):
        try:
            shards = await Shards.open(run.hub, settings, settings.shards)
            if finished := await shards.recover(older_ms=after_ms):
                log.info("cross.recovered", transfers=finished)
        except Busy as busy:
            log.warning("cross.postponed", reason=str(busy))


async def check(hub: Hub, told: Callable[[int, int], None] = lambda _done, _total: None) -> list[str]:
    """What of the ledger does not add up: the face for a check over all domains."""
    return await check_all(hub, LedgerSettings.read(), told)


async def totals(hub: Hub) -> Mapping[str, Mapping[str, tuple[int, int]]]:
    """What it has posted for other domains, to be compared with what they say themselves."""
    ledger = Ledger(hub, LedgerSettings.read())
    told = {subject.name: await sums(ledger, subject, stream) for subject, stream in followed(ledger).items()}
    return {name: names for name, names in told.items() if names is not None}
