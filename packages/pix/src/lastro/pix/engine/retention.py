"""What bounds memory: answers are trimmed by age, final records go to the archive and leave a mark for repeats.

After the window for repeats a minute is forgotten whole, and what its payments came to is remembered.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import aclosing

import structlog

from lastro.core.clock import now_ms
from lastro.core.errors import Fault
from lastro.core.keys import Key
from lastro.pix import scripts
from lastro.pix.metrics import ARCHIVED, TRIMMED
from lastro.pix.model.record import Record

from .archive import write
from .deadlines import readable
from .pix import HOUR_MS, Pix, forget_at_ms

SCAN_COUNT = 250  # records in one step: one transaction of the archive, one script
MINUTES_MAX = 20  # minutes of one visit
CONSUMER_IDLE_MS = 600_000
MOVEMENTS_KEEP_MS = 30_000  # time for a reader to come; what its group has not acknowledged stays
MOVEMENTS_UNREAD_MS = 2**52  # their bound is a number: books must have every one

log = structlog.get_logger()


async def trim(pix: Pix) -> int:
    """Cut every outbox to its time; what a reader has not acknowledged stays longer, but not for ever."""
    cut = 0
    for outbox in await pix.read.smembers(pix.keys.backends):
        try:
            cut += await scripts.trim(
                pix.hub.write,
                outbox=Key(outbox.decode()),
                backends=pix.keys.backends,
                keep_ms=pix.settings.retention_ms,
                unread_ms=int(pix.settings.unread_seconds * 1000),
            )
        except Fault as fault:  # one outbox that is none does not stop the others
            log.error("pix.trim_failed", outbox=outbox.decode(), reason=str(fault))  # noqa: TRY400 - the reason is it
    if cut:
        TRIMMED.of().inc(cut)
    await scripts.trim(
        pix.hub.write,
        outbox=pix.keys.movements,
        backends=pix.keys.backends,
        keep_ms=MOVEMENTS_KEEP_MS,
        unread_ms=MOVEMENTS_UNREAD_MS,
    )
    return cut


async def take_turn(pix: Pix, worker: str, seconds: float) -> bool:
    """Whether it is this worker's turn, now for so long from here: two at once would be right, and do all twice."""
    word = await scripts.take_turn(pix.hub.write, turn=pix.keys.retaining, worker=worker, life_ms=int(seconds * 1000))
    return word == "mine"


async def archive(pix: Pix, stopped: Callable[[], bool] = lambda: False) -> int:
    """Move the stories of old final records into the archive; how many went. Safe to run twice. Raises DatabaseAway.

    A record is shortened only after its row is committed, and only if it still is what was written. A minute is
    forgotten when it has nothing to archive, and all is final. Once ``stopped``, what is left waits for the next visit.
    """
    now = now_ms()
    due = await pix.read.zrangebyscore(pix.keys.minutes, "-inf", now, start=0, num=MINUTES_MAX)
    archived = 0
    for minute in (member.decode() for member in due):
        done, left = await _archive_minute(pix, minute, now, stopped) if pix.settings.archive_url else (0, 0)
        archived += done
        if stopped():
            break
        forget = forget_at_ms(minute, pix.settings)
        if left or forget <= now:
            if left == 0 and await _forget(pix, minute, stopped):
                continue
            forget = now + min(pix.settings.retention_ms // 4, HOUR_MS)
        await scripts.set_aside(pix.hub.write, wheel=pix.keys.minutes, member=minute, at_ms=forget, parts=[minute])
    if archived:
        ARCHIVED.of().inc(archived)
    return archived


async def _archive_minute(pix: Pix, minute: str, now: int, stopped: Callable[[], bool]) -> tuple[int, int]:
    """How many went, and how many are not old or final enough."""
    done = left = 0
    async with aclosing(pix.hub.hash_pages(pix.keys.records(minute), SCAN_COUNT)) as pages:
        async for page in pages:
            if stopped():
                break
            old: list[bytes] = []
            for name, line in page.items():
                if not name or line[:1].islower():
                    continue
                record = _final(name, line)
                if record is not None and record.final_ms <= now - pix.settings.retention_ms:
                    old += [name, line]
                else:
                    left += 1
            if old:
                await pix.hub.copied(pix.keys.records(minute))
                pairs = zip(old[::2], old[1::2], strict=True)
                await write(pix, [(name.decode(), line.decode()) for name, line in pairs])
                done += await scripts.archive(
                    pix.hub.write, records=pix.keys.records(minute), archived=pix.keys.archived, items=old
                )
    return done, left


async def _forget(pix: Pix, minute: str, stopped: Callable[[], bool]) -> bool:
    """Forget a minute's records, and remember what they came to; False when they must stay for now."""
    shortened = int(await pix.read.hget(pix.keys.archived, "shortened") or 0)
    seen, sums = set[bytes](), Counter[str]()
    async with aclosing(pix.hub.hash_pages(pix.keys.records(minute), SCAN_COUNT)) as pages:
        async for page in pages:
            if stopped():
                return False
            for name, line in page.items():
                if name in seen:
                    continue
                seen.add(name)
                if not name:
                    continue
                record = _final(name, line)
                if record is None or (pix.settings.archive_url and not record.archived):
                    return False
                _add(sums, record)
    word = await scripts.forget(
        pix.hub.write,
        records=pix.keys.records(minute),
        minutes=pix.keys.minutes,
        archived=pix.keys.archived,
        minute=minute,
        forget_at_ms=forget_at_ms(minute, pix.settings),
        fields=len(seen),
        shortened=shortened,
        sums=[part for pair in sums.items() for part in pair],
    )
    return word == "forgotten"


def _final(name: bytes, line: bytes) -> Record | None:
    """The record; None while it is not final, and for what is none: nobody takes it away."""
    record = readable(name.decode(), line.decode(errors="replace"))
    return record if record is not None and record.final else None


def _add(sums: Counter[str], record: Record) -> None:
    """As the script does that shortens a record; one that is shortened has been added."""
    if record.archived or record.state != "SETTLED":
        return
    if not record.is_original:
        sums[f"{record.payer}:out"] += record.cents
        sums[f"{record.payee}:in"] += record.cents
    if not record.is_return:
        sums["count"] += 1
        sums["cents"] += record.cents


async def dismiss(pix: Pix) -> int:
    """Forget consumers that hold nothing and have been silent for ten minutes."""
    gone = 0
    for source in (pix.keys.payments, pix.keys.normal, pix.keys.answers):
        try:
            gone += await scripts.dismiss(
                pix.hub.write, source=source, group=pix.settings.group, idle_ms=CONSUMER_IDLE_MS
            )
        except Fault as fault:
            if "NOGROUP" not in str(fault) and "no such key" not in str(fault):
                raise
    return gone
