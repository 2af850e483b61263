"""After a disaster: Redis from the database, the database from Redis, and a fence between two servers.

While an event is recovered nobody gets a coupon of it, and nobody hears "sold out". Its new epoch marks all it gives
from then on; its winners are those that either side knows.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
import structlog

from lastro.core.errors import OutcomeUnknown
from lastro.core.redis.copies import Copies
from lastro.coupons import errors, keys, scripts
from lastro.coupons.model.event import Event, Plan
from lastro.coupons.model.issuance import Issuance

from . import Coupons
from .database.schema import coupons as table
from .events import name, offered
from .outbox import GROUP, entries, outbox
from .reconcile import PAGE_MAX, cancel_again, not_cancelled, restore, stored, winners, write_rows
from .stored import fields_of

COPY_WAITS = 20  # each of replica_timeout_ms

log = structlog.get_logger()


async def recover(coupons: Coupons, event_id: str) -> Event:
    """Make Redis know every winner that the database knows, whatever Redis has lost, and give coupons again.

    After a failover, a restore from a backup, or the loss of everything. Who is eligible is in Redis alone: an event
    that lost those is paused, until they are named again. Raises UnknownEvent when neither side has it,
    EventOver for a settled one that Redis keeps, TooManyEvents before anything changed, and OutcomeUnknown when the
    event promises copies and no replica has its recovery in time.
    """
    row = await coupons.database.run(
        lambda connection: connection.execute(sa.select(table).where(table.c.event_id == event_id)).mappings().first()
    )
    try:
        known = await coupons.event(event_id)
    except errors.UnknownEvent:
        if row is None:
            raise
        known = None
    if known is not None and known.stored == "settled":  # it would be named and counted again, and its stock stay
        raise errors.EventOver(event_id=event_id)
    await name(coupons, event_id)
    rows = await stored(coupons, event_id)
    epoch = await scripts.begin_recovery(
        coupons.hub.write,
        meta=keys.meta(event_id),
        stock=keys.stock(event_id),
        events=keys.events(event_id),
        group=GROUP,
        epoch=max([0, *([row["epoch"]] if row else []), *(one.issuance.epoch for one in rows)]),
        plan=await _plan(coupons, row, known),
    )
    await restore(coupons, event_id, [one.issuance for one in rows])
    await _renumber(coupons, event_id, [one.issuance for one in rows])
    returned = [one for one in rows if one.status == "cancelled"]
    if returned and (row is None or row["returns_stock"]):
        await _restore_returns(coupons, event_id, [one.issuance.issuance_id for one in returned])
    await _give_again(coupons, event_id, epoch)
    event = await coupons.event(event_id)
    if event.plan.durability == "replica":
        await _copied(coupons, event_id)
        event = await coupons.event(event_id)
        if event.epoch != epoch:  # of a primary that had not got it
            raise OutcomeUnknown(reason="another primary took over meanwhile")
    return event


async def _give_again(coupons: Coupons, event_id: str, epoch: int) -> None:
    word = await scripts.end_recovery(
        coupons.hub.write,
        meta=keys.meta(event_id),
        stock=keys.stock(event_id),
        participants=keys.participants(event_id),
        returned=keys.returned(event_id),
        events=keys.events(event_id),
        eligible=keys.eligible(event_id),
        epoch=epoch,
    )
    if word == "other":
        raise errors.Recovering(event_id=event_id)
    if word == "nobody":
        log.warning("coupons.nobody_is_eligible", event_id=event_id, act="lastro coupons allow, then open")
    await name(coupons, event_id)  # the upkeep may have forgotten it: reading a large event's rows takes its time


async def _copied(coupons: Coupons, event_id: str) -> None:
    """Until a replica has it: a new one takes its time, and a recovery done again is a further epoch."""
    copies = Copies(1, coupons.settings.replica_timeout_ms)
    line = coupons.hub.own_line(
        coupons.hub.place(keys.meta(event_id)), block_seconds=coupons.hub.timeout_seconds + copies.timeout_ms / 1000
    )
    try:
        for wait in range(COPY_WAITS):
            try:
                copies.require(await line.send(copies.of(keys.meta(event_id))))
            except OutcomeUnknown:
                if wait == COPY_WAITS - 1:
                    raise
            else:
                return
    finally:
        await coupons.hub.close_line(line)


async def rebuild(coupons: Coupons, event_id: str) -> int:
    """Write into the database what the event's stream and participants tell; how many rows it did not have.

    A coupon whose unit went back is cancelled there as well: somebody else may have that unit.
    """
    found = await winners(coupons, event_id)
    async for id_, fields in entries(outbox(coupons.hub, event_id)):
        if b"changed" in fields:
            continue
        try:
            one = Issuance.read(event_id, fields[b"winner"].decode(), fields[b"record"].decode())
        except (KeyError, ValueError) as error:  # the worker made a dead letter of it
            log.warning("coupons.not_rebuilt", event_id=event_id, entry=id_.decode(), reason=repr(error))
            continue
        found.setdefault(one.issuance_id, one)
    done = await write_rows(coupons, event_id, sorted(found.values(), key=lambda one: one.seq))
    again = await not_cancelled(coupons, event_id, [])
    await cancel_again(coupons, [finding.issuance for finding in again if finding.issuance])
    return done


async def _renumber(coupons: Coupons, event_id: str, rows: Sequence[Issuance]) -> None:
    """Winners of this server under numbers that the database has of others: their rows could never be written."""
    numbers, ids = {one.seq for one in rows}, {one.issuance_id for one in rows}
    found = await winners(coupons, event_id)
    taken = [one.winner for one in found.values() if one.seq in numbers and one.issuance_id not in ids]
    for at in range(0, len(taken), PAGE_MAX):
        page = taken[at : at + PAGE_MAX]
        records = await scripts.renumber(
            coupons.hub.write, participants=keys.participants(event_id), meta=keys.meta(event_id), winners=page
        )
        pairs = zip(page, records, strict=True)
        anew = [Issuance.read(event_id, winner, record.decode()) for winner, record in pairs]
        log.warning("coupons.renumbered", event_id=event_id, issuances=[one.issuance_id for one in anew])
        await write_rows(coupons, event_id, anew)


async def _restore_returns(coupons: Coupons, event_id: str, ids: list[str]) -> None:
    """A cancelled coupon's unit was returned, or is to be: the database cannot tell, and stock is the safer to give."""
    for at in range(0, len(ids), PAGE_MAX):
        page: dict[str | bytes, Any] = dict.fromkeys(ids[at : at + PAGE_MAX], "0")
        await coupons.hub.write.hset(keys.returned(event_id), mapping=page)  # type: ignore[arg-type]  # text keys


async def _plan(coupons: Coupons, row: Any, known: Event | None) -> list[str | int]:
    """What meta is made of when Redis has lost it, or what was changed last."""
    if row is None:
        assert known is not None
        return ["state", known.stored]
    plan = Plan(
        event_id=row["event_id"],
        name=row["name"],
        total=row["planned_quantity"],
        per_user_limit=row["per_user_limit"],
        starts_ms=row["starts_ms"],
        ends_ms=row["ends_ms"] or 0,
        valid_until_ms=row["valid_until_ms"] or 0,
        discount_cents=row["discount_cents"],
        durability=row["durability"],
        returns_stock=row["returns_stock"],
        eligible_only=row["eligible_only"],
        room_per_second=row["room_per_second"],
    )
    await offered(coupons, plan)
    counted = {
        "total": row["total_quantity"],
        "created_ms": row["created_ms"],
        "version": row["version"],
        "epoch": row["epoch"],
        "seq": 0,
        "gen": row["version"],
    }
    # recovering: of earlier builds, nobody knows what it was; settled: it was forgotten in time, and is to be again
    state = {"recovering": "paused", "settled": "closed"}.get(row["state"], row["state"])
    fields = fields_of(plan, coupon_id=row["coupon_id"], state=state)
    return [*fields, *(part for pair in counted.items() for part in pair)]
