"""Whether Redis and the database say the same of an event; what would make them, and doing it.

Safe while the event runs: what is on its way into the database is no finding, what is found is looked at again, and
every repair is idempotent. Who won is never decided here: a winner known to either side is a winner.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa
import structlog

from lastro.core.clock import now_ms
from lastro.core.database import DatabaseRefused
from lastro.coupons import errors, keys, scripts
from lastro.coupons.model.event import Event
from lastro.coupons.model.issuance import Issuance, Stored

from . import Coupons
from .database.rows import insert, stored_of, upsert_event
from .database.schema import coupons as events
from .database.schema import issuances, runs
from .letters import pages
from .outbox import GROUP, entries, outbox
from .redemption import cancel, give_back, not_given_back

Kind: TypeAlias = Literal[
    "missing in database", "missing in redis", "not cancelled", "not returned", "stock", "differs", "too many", "older"
]
PAGE_MAX = 1_000
Told: TypeAlias = Callable[[int, int], None]
"""Hears how many of how many were looked at."""
REPAIRED: tuple[Kind, ...] = ("missing in database", "missing in redis", "not cancelled", "not returned", "stock")
RECONCILED = "reconciled"
"""The stream id of a row that reconciliation wrote."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not add up."""

    kind: Kind
    about: str
    issuance: Issuance | None = None

    def __str__(self) -> str:
        """For people."""
        return f"{self.kind}: {self.about}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a reconciliation of one event found and did."""

    event_id: str
    findings: list[Finding] = field(default_factory=list)
    actions: int = 0
    applied: bool = False
    left: list[Finding] = field(default_factory=list)
    """What still does not add up: without ``applied``, all of it."""


def quietly(done: int, total: int) -> None:
    """Nobody asked."""


async def reconcile(coupons: Coupons, event_id: str, *, apply: bool = False) -> Report:
    """Look, and with ``apply`` repair; the run is noted in the database. Raises UnknownEvent, DatabaseAway."""
    started = now_ms()
    findings = await look(coupons, event_id)
    actions = await _repair(coupons, event_id, findings) if apply else 0
    left = await look(coupons, event_id) if apply and findings else findings
    told = json.dumps([str(finding) for finding in findings[:PAGE_MAX]])

    def note(connection: sa.Connection) -> None:
        row = {"event_id": event_id, "started_ms": started, "ended_ms": now_ms(), "applied": apply}
        connection.execute(sa.insert(runs).values(**row, actions=actions, findings=told))

    await coupons.database.run(note)
    return Report(event_id=event_id, findings=findings, actions=actions, applied=apply, left=left)


async def look(coupons: Coupons, event_id: str, told: Told = quietly) -> list[Finding]:
    """What does not add up, and did not a moment later either. A page at a time, whatever the event's size."""
    event = await coupons.event(event_id)
    missing, found = await _by_redis(coupons, event_id, event.issued, told)
    rows = await _count(coupons, event_id)
    if rows != (await coupons.event(event_id)).issued - len(missing):  # else the database has those, and no others
        found += await _by_database(coupons, event_id)
    return [
        *await _missing_in_database(coupons, event_id, missing),
        *found,
        *await not_cancelled(coupons, event_id, missing),
        *[Finding("not returned", _about(one), one) for one in await not_given_back(coupons, event)],
        *await _stock(coupons, event_id, rows),
        *await _changes(coupons, event_id),
    ]


async def _by_redis(coupons: Coupons, event_id: str, expected: int, told: Told) -> tuple[list[Issuance], list[Finding]]:
    """Every winner of Redis: those that the database has not, and those that it has otherwise."""
    missing: list[Issuance] = []
    found: list[Finding] = []
    done = 0
    async for page in coupons.hub.hash_pages(keys.participants(event_id), PAGE_MAX):
        won = {one.issuance_id: one for one in (_read(event_id, *pair) for pair in page.items())}
        rows = {row.issuance.issuance_id: row.issuance for row in await stored(coupons, event_id, list(won))}
        missing += [one for id_, one in won.items() if id_ not in rows]
        found += [
            Finding("differs", f"{_about(won[id_])}; the database says {_about(row)}")
            for id_, row in rows.items()
            if not row.same(won[id_])
        ]
        done += len(won)
        told(done, max(done, expected))
    return missing, found


async def _by_database(coupons: Coupons, event_id: str) -> list[Finding]:
    """Every row of the database that Redis has not, or has otherwise."""
    found: list[Finding] = []
    after = 0
    while True:
        query = sa.select(issuances).where(issuances.c.event_id == event_id, issuances.c.seq > after)
        query = query.order_by(issuances.c.seq).limit(PAGE_MAX)
        page = await coupons.database.run(
            lambda connection, query=query: [stored_of(row) for row in connection.execute(query)]  # type: ignore[misc]
        )
        if not page:
            return found
        after = page[-1].issuance.seq
        found += await _missing_in_redis(coupons, event_id, page)


async def _count(coupons: Coupons, event_id: str) -> int:
    query = sa.select(sa.func.count()).where(issuances.c.event_id == event_id)
    return await coupons.database.run(lambda connection: int(connection.execute(query).scalar_one()))


async def winners(coupons: Coupons, event_id: str) -> dict[str, Issuance]:
    """By issuance id, all that Redis has."""
    found: dict[str, Issuance] = {}
    async for page in coupons.hub.hash_pages(keys.participants(event_id), PAGE_MAX):
        found.update((one.issuance_id, one) for one in (_read(event_id, *pair) for pair in page.items()))
    return found


def _read(event_id: str, winner: bytes, record: bytes) -> Issuance:
    return Issuance.read(event_id, winner.decode(), record.decode())


async def stored(coupons: Coupons, event_id: str, ids: Sequence[str] | None = None) -> list[Stored]:
    """All that the database has, or of these."""
    query = sa.select(issuances)
    if ids is None:
        query = query.where(issuances.c.event_id == event_id)
    else:  # by their key alone: SQLite would rather look through the whole event for each page
        query = query.where(issuances.c.issuance_id.in_(ids))
    found = await coupons.database.run(lambda connection: [stored_of(row) for row in connection.execute(query)])
    return [one for one in found if one.issuance.event_id == event_id]


async def _missing_in_database(coupons: Coupons, event_id: str, missing: Sequence[Issuance]) -> list[Finding]:
    """But for what the worker still has before it."""
    if not missing:
        return []
    coming = await _coming(coupons, event_id)
    left = {one.issuance_id: one for one in missing if one.issuance_id not in coming}
    for page in _pages(list(left)):  # the worker went on between our looks
        for row in await stored(coupons, event_id, page):
            del left[row.issuance.issuance_id]
    return [Finding("missing in database", _about(one), one) for one in left.values()]


async def _coming(coupons: Coupons, event_id: str) -> set[str]:
    """Issuances whose entries are not acknowledged: not read yet, in a worker's hand, or waiting for their next try."""
    queue = outbox(coupons.hub, event_id)
    told = await queue.members.measure()
    if not (told.lag or told.pending or told.delayed or told.dead):
        return set()
    groups: Any = await coupons.hub.read.xinfo_groups(queue.stream)
    # asked after what was delivered: a worker that reads in between has its batch behind ``last``
    pending: Any = await coupons.hub.read.xpending(queue.stream, GROUP)
    last = next(group["last-delivered-id"] for group in groups if group["name"] in {GROUP, GROUP.encode()})
    start = pending["min"] if pending["pending"] else b"(" + last
    found = {_issuance_id(fields) async for fields in queue.members.delayed()}  # first: it comes to the stream's end
    found |= {_issuance_id(fields) async for _, fields in entries(queue, start)}
    async for page in pages(coupons, event_id):
        found.update(_issuance_id(letter.fields) for letter in page)
    return found


def _issuance_id(fields: dict[bytes, bytes]) -> str:
    return fields.get(b"record", b"").decode(errors="replace").partition("|")[2].partition("|")[0]


async def _missing_in_redis(coupons: Coupons, event_id: str, rows: Sequence[Stored]) -> list[Finding]:
    """Of these; a row whose place another winner has in Redis differs."""
    found = []
    names = [row.issuance.winner for row in rows]
    records: list[Any] = await coupons.hub.read.hmget(keys.participants(event_id), names)
    for row, record in zip(rows, records, strict=True):
        one = row.issuance
        if record is None:
            found.append(Finding("missing in redis", _about(one), one))
        elif _read(event_id, one.winner.encode(), record).issuance_id != one.issuance_id:
            found.append(Finding("differs", f"{_about(one)}; Redis gave {record.decode()}"))
    return found


async def not_cancelled(coupons: Coupons, event_id: str, missing: Sequence[Issuance]) -> list[Finding]:
    """Coupons whose unit went back and that can be used, as if never cancelled: the database was set back meanwhile."""
    found: dict[str, Finding] = {}
    absent = {one.issuance_id: one for one in missing}
    async for page in coupons.hub.hash_pages(keys.returned(event_id), PAGE_MAX):
        ids = [id_.decode() for id_ in page]
        rows = {row.issuance.issuance_id: row for row in await stored(coupons, event_id, ids)}
        for id_ in ids:
            if id_ not in rows:
                told = f"{event_id} {id_}: its unit went back, and the database has it not"
                found[id_] = Finding("not cancelled", told, absent.get(id_))
            elif (row := rows[id_]).status not in {"cancelled", "expired"}:
                by = f" for order {row.order_ref}" if row.order_ref else ""
                told = f"{_about(row.issuance)}: its unit went back, and it is {row.status}{by}"
                found[id_] = Finding("not cancelled", told, row.issuance)
    return list(found.values())


async def cancel_again(coupons: Coupons, many: Iterable[Issuance]) -> int:
    """Of coupons that were cancelled before; how many were. One that an order has by now is for a person."""
    done = 0
    for one in many:
        with suppress(errors.Taken, errors.UnknownIssuance, errors.Pending):
            await cancel(coupons, one.issuance_id)
            done += 1
    return done


async def _stock(coupons: Coupons, event_id: str, rows: int) -> list[Finding]:
    event = await coupons.event(event_id)  # one moment: stock, winners and returns of one script
    found = []
    if event.stored != "recovering" and not event.adds_up:
        right = event.total - event.issued + event.returned
        found.append(Finding("stock", f"{event.stock} in stock; {event.issued} winners leave {right}"))
    if max(rows, event.issued) > event.total + event.returned:
        found.append(Finding("too many", f"{max(rows, event.issued)} issued of {event.total + event.returned}"))
    return found


async def _changes(coupons: Coupons, event_id: str) -> list[Finding]:
    """What an operator changed, and a server that took over has not heard of, or counted another change for."""
    query = sa.select(events).where(events.c.event_id == event_id)
    row = await coupons.database.run(lambda connection: connection.execute(query).first())
    event = await coupons.event(event_id)  # asked second: the database only follows
    if row is None or row.version < event.version:
        return []
    if row.version > event.version:
        told = f"{event_id}: change {row.version} is in the database, Redis knows {event.version}: recover it"
        return [Finding("older", told)]
    plan = event.plan
    theirs, ours = (row.total_quantity, row.starts_ms, row.ends_ms or 0), (event.total, plan.starts_ms, plan.ends_ms)
    about = f"{event_id}: total, start and end {ours}; the database says {theirs} of the same change {row.version}"
    return [Finding("differs", about)] if theirs != ours else []


async def _repair(coupons: Coupons, event_id: str, findings: Sequence[Finding]) -> int:
    """What can be repaired without deciding who won; how many acts changed something."""
    of: dict[Kind, list[Issuance]] = {kind: [] for kind in REPAIRED}
    for finding in findings:
        if finding.issuance is not None:
            of[finding.kind].append(finding.issuance)
    done = await write_rows(coupons, event_id, of["missing in database"])
    done += await restore(coupons, event_id, of["missing in redis"])
    done += await cancel_again(coupons, of["not cancelled"])
    for one in of["not returned"]:
        done += await give_back(coupons, one)
    if of["missing in redis"] or any(finding.kind == "stock" for finding in findings):
        done += bool(await restock(coupons, event_id))
    return done


async def write_rows(coupons: Coupons, event_id: str, many: Sequence[Issuance]) -> int:
    """Into the database; how many were not there. One that it refuses is left, alone: another has its place."""
    event = await coupons.event(event_id)
    return sum([await _write(coupons, event, page) for page in _pages(many)])


async def _write(coupons: Coupons, event: Event, many: Sequence[Issuance]) -> int:
    def act(connection: sa.Connection) -> int:
        upsert_event(connection, event)
        return insert(connection, event, [(one, RECONCILED) for one in many])

    try:
        return await coupons.database.run(act)
    except DatabaseRefused as refused:
        if len(many) == 1:
            log.warning("coupons.not_written", issuance=_about(many[0]), reason=str(refused))
            return 0
    half = len(many) // 2
    return await _write(coupons, event, many[:half]) + await _write(coupons, event, many[half:])


async def restore(coupons: Coupons, event_id: str, many: Sequence[Issuance]) -> int:
    """Into Redis; how many were not there. The stock is another act."""
    done = 0
    for page in _pages(many):
        done += await scripts.restore(
            coupons.hub.write,
            participants=keys.participants(event_id),
            meta=keys.meta(event_id),
            seq=max(one.seq for one in page),
            winners=[part for one in page for part in (one.winner, one.record)],
        )
    return done


async def restock(coupons: Coupons, event_id: str) -> int:
    """Make the stock what the winners leave; by how much it changed."""
    return await scripts.restock(
        coupons.hub.write,
        stock=keys.stock(event_id),
        meta=keys.meta(event_id),
        participants=keys.participants(event_id),
        returned=keys.returned(event_id),
    )


def _pages(many: Sequence[Any]) -> Iterable[Any]:
    return (many[at : at + PAGE_MAX] for at in range(0, len(many), PAGE_MAX))


def _about(one: Issuance) -> str:
    return f"{one.event_id} {one.seq} {one.issuance_id} of {one.user_id}"


async def check(coupons: Coupons, told: Told = quietly) -> list[str]:
    """What does not add up in any event that is not settled; dead letters too, since somebody has to look at them."""
    found: list[str] = []
    for event_id in await coupons.live():
        found += [str(finding) for finding in await look(coupons, event_id, told)]
        dead = (await outbox(coupons.hub, event_id).members.measure()).dead
        if dead:
            found.append(f"{event_id}: {dead} dead letters (lastro coupons dead list {event_id})")
    return found
