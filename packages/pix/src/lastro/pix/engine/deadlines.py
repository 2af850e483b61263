"""A receiver that stays silent: AB03 to both sides, by the server's clock, swept by whichever worker comes by."""

import structlog

from lastro.core.errors import Fault
from lastro.pix import scripts
from lastro.pix.metrics import EXPIRED
from lastro.pix.model.ids import minute_of
from lastro.pix.model.record import Record

from .pix import Pix, Places

RETRY_MS = 5_000
SWEEP_MAX = 40  # members of one sweep; each is what one batch accepted

log = structlog.get_logger()


async def expire(pix: Pix) -> int:
    """Sweep what is due; how many payments were rejected. Safe to call from everywhere at once."""
    due = await pix.read.zrangebyscore(pix.keys.deadlines, "-inf", await pix.now_ms(), start=0, num=SWEEP_MAX)
    expired = 0
    for member in due:
        try:
            expired += await _sweep(pix, member)
        except Fault as fault:
            log.error("pix.expire_failed", reason=str(fault))  # noqa: TRY400 - the reason is the error
            await _set_aside(pix, member)
    if expired:
        EXPIRED.of().inc(expired)
    return expired


async def _set_aside(pix: Pix, member: bytes) -> None:
    """The store refuses this one: its payments are tried one by one, and the one that is at fault again later."""
    ids = member.split(b" ")
    at_ms = await pix.now_ms() + (RETRY_MS if len(ids) == 1 else 0)
    await scripts.set_aside(pix.hub.write, wheel=pix.keys.deadlines, member=member, at_ms=at_ms, parts=ids)


async def _sweep(pix: Pix, member: bytes) -> int:
    silent = [record for record in await read_records(pix, member.decode().split(" ")) if not record.final]
    places = Places.of(pix, [minute_of(record.id) for record in silent])
    items: list[scripts.Arg] = []
    for record in silent:
        items += (record.id, record.payer, record.payee, places.records[minute_of(record.id)])
        items += (places.outbox(record.payer), places.outbox(record.payee))
    return max(
        0,
        await scripts.expire(
            pix.hub.write,
            deadlines=pix.keys.deadlines,
            accounts=pix.keys.accounts,
            counters=pix.keys.counters,
            latency=pix.keys.latency,
            backends=pix.keys.backends,
            ks=places.keys(),
            due=member,
            minutes=len(places.records),
            items=items,
        ),
    )


async def read_records(pix: Pix, ids: list[str]) -> list[Record]:
    """The records of these ids, in one round trip; ids without one, or with one that says nothing, are left out."""
    if not ids:
        return []
    async with pix.read.pipeline(transaction=False) as pipe:
        for payment_id in ids:
            pipe.hget(pix.keys.records(minute_of(payment_id)), payment_id)
        lines = await pipe.execute()
    found = [readable(name, line.decode(errors="replace")) for name, line in zip(ids, lines, strict=True) if line]
    return [record for record in found if record is not None]


def readable(name: str, line: str) -> Record | None:
    """A record, or None for what is none: it stops no other, and check names it."""
    try:
        return Record.parse(name, line)
    except ValueError as error:
        log.error("pix.unreadable", id=name, reason=str(error))  # noqa: TRY400 - the reason is the error
        return None
