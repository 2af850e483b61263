"""The ledger's background work: what is over is released, what nobody needs any more is dropped."""

from collections.abc import Callable, Mapping

import structlog

from lastro.core.errors import Busy
from lastro.core.redis import Hub
from lastro.core.worker import Run
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.check import check as recompute
from lastro.ledger.engine.post import followed
from lastro.ledger.engine.post import totals as sums
from lastro.ledger.settings import LedgerSettings

log = structlog.get_logger()


async def expire(run: Run) -> None:
    """Release expired transfers, ten times a second; as long as there are more, without a pause."""
    ledger = Ledger(run.hub, LedgerSettings.read())
    pause = ledger.settings.expire_every_seconds
    while not run.stopping.is_set():
        try:
            released = await ledger.expire_transfers()
        except Busy as busy:
            log.warning("expire.postponed", reason=str(busy))
            released = 0
        if released:
            log.info("expire.released", transfers=released)
        elif await run.pause(pause):
            return


async def retain(run: Run) -> None:
    """Trim the change stream by policy."""
    ledger = Ledger(run.hub, LedgerSettings.read())
    while not await run.pause(ledger.settings.retain_every_seconds):
        try:
            await ledger.retain_changes()
        except Busy as busy:
            log.warning("retain.postponed", reason=str(busy))


async def check(hub: Hub, told: Callable[[int, int], None] = lambda _done, _total: None) -> list[str]:
    """What of the ledger does not add up: the face for a check over all domains."""
    return await recompute(Ledger(hub, LedgerSettings.read()), told)


async def totals(hub: Hub) -> Mapping[str, Mapping[str, tuple[int, int]]]:
    """What it has posted for other domains, to be compared with what they say themselves."""
    ledger = Ledger(hub, LedgerSettings.read())
    told = {subject.name: await sums(ledger, subject, stream) for subject, stream in followed(ledger).items()}
    return {name: names for name, names in told.items() if names is not None}
