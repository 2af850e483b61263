"""What the worker writes: events as they are, issuances in batches, each once."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from lastro.core.clock import now_ms
from lastro.core.database import DatabaseRefused
from lastro.coupons.model.event import Event
from lastro.coupons.model.issuance import Issuance, Stored

from . import schema

_EACH = ("issuance_id", "user_id", "ordinal", "seq", "epoch", "code", "issued_ms", "key_hash", "stream_id")
_of = attrgetter(*_EACH[:-1])
_TYPES = {"ordinal": "int", "seq": "bigint", "epoch": "bigint", "issued_ms": "bigint"}
# only the same issuance is passed over: one that takes another's id, number, code or place is refused, loudly
_ONCE = "ON CONFLICT (issuance_id) DO NOTHING"
_COLUMNS = f"coupon_id, event_id, status, expires_ms, {', '.join(_EACH)}"
_ARRAYS = ", ".join(f"%({name})b::{_TYPES.get(name, 'text')}[]" for name in _EACH)  # binary: text takes 3 us more a row
_POSTGRES = (
    f"INSERT INTO coupon_issuances ({_COLUMNS}) "  # noqa: S608  # names of our own columns
    "SELECT %(coupon_id)s, %(event_id)s, 'issued', %(expires_ms)s::bigint, rows.* "
    f"FROM unnest({_ARRAYS}) AS rows {_ONCE}"
)
_SQLITE = (
    f"INSERT INTO coupon_issuances ({_COLUMNS}) "  # noqa: S608  # likewise
    f"VALUES (?, ?, 'issued', ?{', ?' * len(_EACH)}) {_ONCE}"
)
Row = tuple[Issuance, str]
"""An issuance and the id of its entry in the stream."""


def insert(connection: sa.Connection, event: Event, rows: Sequence[Row]) -> int:
    """Write these, each once: how many were not there.

    Raises DatabaseRefused, a collision, for one whose id is another's: it is not the same coupon again.
    """
    done = _insert(connection, event, rows)
    if done < len(rows):
        _same(connection, [one for one, _ in rows])
    return done


def _same(connection: sa.Connection, told: Sequence[Issuance]) -> None:
    """What was passed over is there as it was told."""
    query = sa.select(schema.issuances).where(schema.issuances.c.issuance_id.in_([one.issuance_id for one in told]))
    there = {row.issuance_id: issuance_of(row) for row in connection.execute(query)}
    for one in told:
        other = there[one.issuance_id]
        if not other.same(one):
            reason = f"{one.issuance_id} is number {other.seq} of {other.event_id}, of {other.winner}"
            raise DatabaseRefused(reason=reason, collision=True)


def _insert(connection: sa.Connection, event: Event, rows: Sequence[Row]) -> int:
    told = [(*_of(one), stream_id) for one, stream_id in rows]
    expires_ms = event.plan.valid_until_ms or None
    if connection.dialect.name == "sqlite":
        first = (event.coupon_id, event.plan.event_id, expires_ms)
        return connection.exec_driver_sql(_SQLITE, [first + row for row in told]).rowcount
    columns: dict[str, Any] = dict(zip(_EACH, map(list, zip(*told, strict=True)), strict=True))
    columns |= {"coupon_id": event.coupon_id, "event_id": event.plan.event_id, "expires_ms": expires_ms}
    return connection.exec_driver_sql(_POSTGRES, columns).rowcount


def upsert_event(connection: sa.Connection, event: Event) -> None:
    """The event as it is, unless a newer version is there."""
    from sqlalchemy.dialects import postgresql, sqlite

    plan = event.plan
    changing = {
        "total_quantity": event.total,
        "starts_ms": plan.starts_ms,
        "ends_ms": plan.ends_ms or None,
        "state": event.lasting,  # a recovery is of one server: another would wait for its end for ever
        "epoch": event.epoch,
        "version": event.version,
        "updated_ms": event.now_ms,
    }
    fixed = {
        "coupon_id": event.coupon_id,
        "event_id": plan.event_id,
        "name": plan.name,
        "planned_quantity": plan.total,
        "per_user_limit": plan.per_user_limit,
        "valid_until_ms": plan.valid_until_ms or None,
        "discount_cents": plan.discount_cents,
        "durability": plan.durability,
        "returns_stock": plan.returns_stock,
        "eligible_only": plan.eligible_only,
        "room_per_second": plan.room_per_second,
        "created_ms": event.created_ms,
    }
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    added = dialect.insert(schema.coupons).values(**fixed, **changing)
    older = schema.coupons.c.version < event.version
    connection.execute(added.on_conflict_do_update(index_elements=["coupon_id"], set_=changing, where=older))


def stored_of(row: Any) -> Stored:
    """A row of ``coupon_issuances``."""
    reserved = row.status == "reserved" and row.reserved_until_ms <= now_ms()
    return Stored(
        issuance=issuance_of(row),
        status="issued" if reserved else row.status,  # a reservation that is over is none
        order_ref=None if reserved else row.order_ref,
        reserved_until_ms=None if reserved else row.reserved_until_ms,
        redeemed_ms=row.redeemed_ms,
        cancelled_ms=row.cancelled_ms,
        expires_ms=row.expires_ms,
    )


def issuance_of(row: Any) -> Issuance:
    """What Redis knew of it."""
    return Issuance(
        event_id=row.event_id,
        user_id=row.user_id,
        ordinal=row.ordinal,
        seq=row.seq,
        issuance_id=row.issuance_id,
        code=row.code,
        issued_ms=row.issued_ms,
        epoch=row.epoch,
        key_hash=row.key_hash,
    )
