"""The ledger's background work: what is over is released, what nobody needs any more is dropped."""

from collections.abc import Callable, Mapping

import structlog

from lastro.core.errors import Busy, LastroError
from lastro.core.redis import Hub
from lastro.core.worker import Run
from lastro.ledger import keys
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.check import check as recompute
from lastro.ledger.engine.post import followed
from lastro.ledger.engine.post import totals as sums
from lastro.ledger.engine.shards import Shards
from lastro.ledger.settings import LedgerSettings

log = structlog.get_logger()


def _all(hub: Hub, settings: LedgerSettings) -> list[Ledger]:
    """The ledger of this process, and its shards if it has any."""
    names = [keys.shard(settings.name, number, settings.shards) for number in range(settings.shards)]
    return [Ledger(hub, settings), *(Ledger(hub, settings, name=name) for name in names if settings.shards > 1)]


async def expire(run: Run) -> None:
    """Release expired transfers, ten times a second; as long as there are more, without a pause."""
    settings = LedgerSettings.read()
    ledgers, pause = _all(run.hub, settings), settings.expire_every_seconds
    while not run.stopping.is_set():
        released = 0
        for ledger in ledgers:
            if run.stopping.is_set():
                break
            try:
                released += await ledger.expire_transfers()
            except Busy as busy:
                log.warning("expire.postponed", ledger=ledger.archive.name, reason=str(busy))
            except LastroError as error:  # of that one's own, its archive's for example: the others go on
                log.error("expire.failed", ledger=ledger.archive.name, reason=str(error))  # noqa: TRY400  # it says it
        if released:
            log.info("expire.released", transfers=released)
        elif await run.pause(pause):
            return


async def retain(run: Run) -> None:
    """Trim the change stream by policy, and archive what is old."""
    settings = LedgerSettings.read()
    ledgers = _all(run.hub, settings)
    archives = [ledger.archive for ledger in ledgers]
    while not await run.pause(settings.retain_every_seconds):
        try:
            for ledger in ledgers:
                await ledger.retain_changes()
            for archive in archives:
                if moved := await archive.archive():
                    log.info("retain.archived", ledger=archive.name, segments=moved)
        except Busy as busy:
            log.warning("retain.postponed", reason=str(busy))


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
    settings = LedgerSettings.read()
    findings = await recompute(Ledger(hub, settings), told)
    if settings.shards > 1:
        findings += await (await Shards.open(hub, settings, settings.shards)).check()
    return findings


async def totals(hub: Hub) -> Mapping[str, Mapping[str, tuple[int, int]]]:
    """What it has posted for other domains, to be compared with what they say themselves."""
    ledger = Ledger(hub, LedgerSettings.read())
    told = {subject.name: await sums(ledger, subject, stream) for subject, stream in followed(ledger).items()}
    return {name: names for name, names in told.items() if names is not None}
