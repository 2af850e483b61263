"""What becomes of a coupon: reserve, redeem, release, cancel, expire.

The database decides, each time in one conditional UPDATE in a transaction with its audit line. Every act may be asked
twice: an order reference names who it is for, and an order that gave its coupon back never gets it again.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa

from lastro.core.clock import now_ms
from lastro.core.errors import Invalid
from lastro.coupons import errors, keys, scripts
from lastro.coupons.model.codes import read_code
from lastro.coupons.model.event import Event
from lastro.coupons.model.issuance import Issuance, Stored

from . import Coupons
from .database.rows import stored_of
from .database.schema import audit, charges, issuances
from .outbox import outbox

RESERVE_SECONDS_MAX = 86_400
EXPIRE_MAX = 1_000  # in one transaction
ORDER_REF_MAX = 128
PAGE = 1_000
Answer = TypeVar("Answer")


async def find(coupons: Coupons, issuance_id: str) -> Stored:
    """One coupon. Raises UnknownIssuance; Pending when it may be on its way into the database."""
    return await _run(coupons, issuance_id, lambda connection: _row(connection, issuance_id))


async def find_code(coupons: Coupons, code: str) -> Stored:
    """The coupon of a code as somebody typed it. Raises Invalid for a mistyped one."""
    try:
        written = read_code(code)
    except ValueError as error:
        raise Invalid(field="code", reason=str(error)) from None

    def read(connection: sa.Connection) -> Stored:
        row = connection.execute(sa.select(issuances).where(issuances.c.code == written)).first()
        if row is None:
            raise errors.UnknownIssuance(issuance_id=written)
        return stored_of(row)

    return await _run(coupons, written, read)


async def of_user(coupons: Coupons, event_id: str, user_id: str) -> list[Stored]:
    """What the database has of a user's coupons of an event."""
    query = sa.select(issuances).where(issuances.c.event_id == event_id, issuances.c.user_id == user_id)
    return await coupons.database.run(
        lambda connection: [stored_of(row) for row in connection.execute(query.order_by(issuances.c.ordinal))]
    )


async def reserve(coupons: Coupons, issuance_id: str, order_ref: str, seconds: int) -> Stored:
    """Keep it for an order, until it is redeemed or so long. Raises Taken, OrderReleased."""
    if not 0 < seconds <= RESERVE_SECONDS_MAX:
        raise Invalid(field="seconds", reason=f"1 to {RESERVE_SECONDS_MAX}")

    def act(connection: sa.Connection) -> Stored:
        locked(connection, issuance_id)
        not_released(connection, issuance_id, order_ref)
        return take(connection, issuance_id, order_ref, now_ms() + seconds * 1000)

    return await _run(coupons, issuance_id, act, order_ref)


async def redeem(coupons: Coupons, issuance_id: str, order_ref: str) -> Stored:
    """Use it for an order; again for the same order is the same. Raises Taken, OrderReleased."""
    return await _run(coupons, issuance_id, lambda connection: redeemed(connection, issuance_id, order_ref), order_ref)


async def release(coupons: Coupons, issuance_id: str, order_ref: str) -> Stored:
    """Give back what this order reserved or redeemed: the order came to nothing, and is not charged any more.

    A late redeem of it is refused. Raises ChargeUnderWay once payments may have been told of the rest of the order.
    """

    def act(connection: sa.Connection) -> Stored:
        locked(connection, issuance_id)  # before its charge, as everywhere
        return released(connection, issuance_id, _called_off(connection, issuance_id, order_ref))

    return await _run(coupons, issuance_id, act, order_ref)


async def cancel(coupons: Coupons, issuance_id: str) -> Stored:
    """Take it out of use; its unit goes back into stock, once, while the event is open. Raises Taken."""

    def act(connection: sa.Connection) -> Stored:
        now = now_ms()
        found = locked(connection, issuance_id)
        if found.status == "cancelled":
            return found
        done = _update(connection, _free(now), issuance_id, status="cancelled", cancelled_ms=now, order_ref=None)
        return _told(connection, issuance_id, "cancelled", "", done=done)

    found = await _run(coupons, issuance_id, act)
    await give_back(coupons, found.issuance)  # what does not get so far, the upkeep does
    return found


async def give_back(coupons: Coupons, issuance: Issuance) -> bool:
    """Put the unit of a cancelled coupon back into stock, once; False when it was, or the event does not take it."""
    word = await scripts.give_back(
        coupons.hub.write,
        meta=keys.meta(issuance.event_id),
        stock=keys.stock(issuance.event_id),
        returned=keys.returned(issuance.event_id),
        issuance_id=issuance.issuance_id,
    )
    return word == "ok"


async def not_given_back(coupons: Coupons, event: Event) -> list[Issuance]:
    """Cancelled coupons of an event whose unit did not go back: somebody died, or the store was away, in between."""
    event_id = event.plan.event_id
    if not event.plan.returns_stock or event.state not in {"open", "sold_out", "paused", "scheduled"}:
        return []
    query = sa.select(issuances).where(issuances.c.event_id == event_id, issuances.c.status == "cancelled")
    cancelled = await coupons.database.run(lambda c: [stored_of(row).issuance for row in c.execute(query)])
    absent: list[Issuance] = []
    for at in range(0, len(cancelled), PAGE):
        page = cancelled[at : at + PAGE]
        back: list[Any] = await coupons.hub.read.hmget(keys.returned(event_id), [one.issuance_id for one in page])
        absent += [one for one, at_ms in zip(page, back, strict=True) if at_ms is None]
    return absent


async def expire(coupons: Coupons) -> int:
    """Mark what nobody used in time, at most EXPIRE_MAX of them; how many. Redeeming looks at the time itself."""

    def act(connection: sa.Connection) -> int:
        now = now_ms()
        due = sa.select(issuances.c.issuance_id).where(_unused(now), issuances.c.expires_ms <= now)
        # PostgreSQL looks again at a row that it waited for, but by the outer condition alone
        over = sa.update(issuances).where(issuances.c.issuance_id.in_(due.limit(EXPIRE_MAX)), _unused(now))
        marked = over.values(status="expired", order_ref=None, reserved_until_ms=None)
        ids = list(connection.execute(marked.returning(issuances.c.issuance_id)).scalars())
        for issuance_id in ids:
            note(connection, issuance_id, "expired", "")
        return len(ids)

    return await coupons.database.run(act)


async def history(coupons: Coupons, issuance_id: str) -> list[tuple[str, str, int]]:
    """Act, order and time of all that became of it, oldest first. Raises UnknownIssuance, Pending."""
    query = sa.select(audit.c.act, audit.c.reference, audit.c.at_ms).where(audit.c.issuance_id == issuance_id)

    def read(connection: sa.Connection) -> list[tuple[str, str, int]]:
        _row(connection, issuance_id)
        return [(act, ref, at) for act, ref, at in connection.execute(query.order_by(audit.c.number))]

    return await _run(coupons, issuance_id, read)


async def within(coupons: Coupons, act: Callable[[sa.Connection], Answer]) -> Answer:
    """An act of this kind in a transaction; Pending for a coupon that may be on its way into the database."""
    return await _run(coupons, "", act)


def take(connection: sa.Connection, issuance_id: str, order_ref: str, until_ms: int | None) -> Stored:
    """For an order: reserved until then, or redeemed; or Taken.

    Who reserved it in time may redeem it until the reservation ends, and not reserve it for longer past its time.
    """
    now = now_ms()
    its = _is(issuances, "reserved", order_ref)
    mine = its & (_in_time(now) if until_ms is not None else _in_time(now) | (issuances.c.reserved_until_ms > now))
    status = "redeemed" if until_ms is None else "reserved"
    values = {"reserved_until_ms": until_ms, "redeemed_ms": now if until_ms is None else None}
    done = _update(connection, _free(now) | mine, issuance_id, status=status, order_ref=order_ref, **values)
    return _told(connection, issuance_id, status, order_ref, done=done)


def redeemed(connection: sa.Connection, issuance_id: str, order_ref: str) -> Stored:
    """As ``redeem``, within a transaction."""
    found = locked(connection, issuance_id)
    if found.status == "redeemed" and found.order_ref == order_ref:
        return found
    not_released(connection, issuance_id, order_ref)
    return take(connection, issuance_id, order_ref, None)


def _called_off(connection: sa.Connection, issuance_id: str, order_ref: str) -> str:
    """The order, as its charge names it if it has one, however its UUID was spelled."""
    try:
        order = str(UUID(order_ref))
    except ValueError:
        return order_ref
    its = (charges.c.correlation_id == order) & (charges.c.issuance_id == issuance_id)
    connection.execute(sa.update(charges).where(its, charges.c.state == "waiting").values(state="over"))
    state = connection.execute(sa.select(charges.c.state).where(its)).scalar()
    if state in {"telling", "sent"}:
        raise errors.ChargeUnderWay(order_ref=order, issuance_id=issuance_id)
    return order if state else order_ref


def released(connection: sa.Connection, issuance_id: str, order_ref: str) -> Stored:
    """As ``release``, within a transaction, whatever its charge."""
    locked(connection, issuance_id)
    its = issuances.c.status.in_(("reserved", "redeemed")) & (issuances.c.order_ref == order_ref)
    _update(connection, its, issuance_id, status="issued", order_ref=None, reserved_until_ms=None, redeemed_ms=None)
    if not _was_released(connection, issuance_id, order_ref):
        note(connection, issuance_id, "released", order_ref)
    return _row(connection, issuance_id)


async def _run(
    coupons: Coupons, issuance_id: str, act: Callable[[sa.Connection], Answer], order_ref: str | None = None
) -> Answer:
    if order_ref is not None and not (0 < len(order_ref) <= ORDER_REF_MAX and order_ref.isprintable()):
        raise Invalid(field="order_ref", reason=f"1 to {ORDER_REF_MAX} characters")
    try:
        return await coupons.database.run(act)
    except errors.UnknownIssuance:
        for event_id in await coupons.live():
            told = await outbox(coupons.hub, event_id).members.measure()
            if told.lag or told.pending or told.delayed:
                raise errors.Pending from None
        raise


def locked(connection: sa.Connection, issuance_id: str) -> Stored:
    """The coupon, and no other act on it until this transaction ends."""
    return _row(connection, issuance_id, lock=True)


def _row(connection: sa.Connection, issuance_id: str, *, lock: bool = False) -> Stored:
    query = sa.select(issuances).where(issuances.c.issuance_id == issuance_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise errors.UnknownIssuance(issuance_id=issuance_id)
    return stored_of(row)


def _free(now: int) -> Any:
    """Nobody's: issued, or its reservation is over; and not past its time."""
    return _unused(now) & _in_time(now)


def _unused(now: int) -> Any:
    """Issued, or its reservation is over; of those two states alone, which is what `issuances_to_expire` holds."""
    either = issuances.c.status.in_(("issued", "reserved"))
    return either & ((issuances.c.status == "issued") | (issuances.c.reserved_until_ms <= now))


def _in_time(now: int) -> Any:
    return issuances.c.expires_ms.is_(None) | (issuances.c.expires_ms > now)


def _is(table: sa.Table, status: str, order_ref: str) -> Any:
    return (table.c.status == status) & (table.c.order_ref == order_ref)


def _update(connection: sa.Connection, where: Any, issuance_id: str, **values: Any) -> bool:
    told = connection.execute(
        sa.update(issuances).where(issuances.c.issuance_id == issuance_id, where).values(**values)
    )
    return told.rowcount == 1


def _told(connection: sa.Connection, issuance_id: str, act: str, reference: str, *, done: bool) -> Stored:
    """The coupon as it is, with its audit line; or Taken."""
    found = _row(connection, issuance_id)
    if not done:
        own = found.status == "reserved" and found.order_ref == reference
        late = own or found.status == "issued"  # it is free, and yet it was not to be had: its time is over
        by = f" by order {found.order_ref}" if found.order_ref and not late else ""
        raise errors.Taken(issuance_id=issuance_id, status="expired" if late else found.status, by=by)
    note(connection, issuance_id, act, reference)
    return found


def note(connection: sa.Connection, issuance_id: str, act: str, reference: str) -> None:
    """Its audit line."""
    connection.execute(sa.insert(audit).values(issuance_id=issuance_id, act=act, reference=reference, at_ms=now_ms()))


def _was_released(connection: sa.Connection, issuance_id: str, order_ref: str) -> bool:
    its = (audit.c.issuance_id == issuance_id) & (audit.c.act == "released") & (audit.c.reference == order_ref)
    return connection.execute(sa.select(audit.c.number).where(its)).first() is not None


def not_released(connection: sa.Connection, issuance_id: str, order_ref: str) -> None:
    """Raise OrderReleased when this order gave this coupon back before."""
    if _was_released(connection, issuance_id, order_ref):
        raise errors.OrderReleased(order_ref=order_ref, issuance_id=issuance_id)
