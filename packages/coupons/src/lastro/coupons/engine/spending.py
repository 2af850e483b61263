"""A coupon in a payment: kept for the order, the rest of the amount charged, then redeemed, or given back.

Coupons knows no payments: it appends what is to be charged to a stream, and follows the stream of final payments. The
order, the payment and the charge have one id. A charge is written in the transaction that reserves its coupon, and told
until it was told: who reads it is idempotent by that id. It is marked before the first try, since from then on only its
payment, or its time, decides; until then its order may still give the coupon back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias
from uuid import UUID

import sqlalchemy as sa
import structlog

from lastro.core.clock import now_ms
from lastro.core.errors import Invalid
from lastro.core.keys import Key
from lastro.core.queue.stream import StreamQueue
from lastro.core.streams import Message
from lastro.coupons import errors
from lastro.coupons.model.event import AMOUNT_CENTS_MAX

from . import Coupons
from .database.schema import charges, coupons, issuances
from .redemption import locked, not_released, redeemed, released, take, within

State: TypeAlias = Literal["waiting", "telling", "sent", "done", "dead", "over", "late"]
RELAY_MAX = 200  # in one look
PAGE_MAX = 1_000
UNTOLD: tuple[State, ...] = ("waiting", "telling")
OPEN: tuple[State, ...] = (*UNTOLD, "sent")
READERS, FOLLOWERS = "payments", "coupons"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What an order still costs with its coupon. ``telling``: payments may know of it, or not yet.

    ``over``: it was called off, or its time was up. ``late``: it was charged after its coupon had gone back.
    """

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  # OpenAPI says of its fields what it says

    correlation_id: str
    issuance_id: str
    amount_cents: int
    """Of the whole order."""
    charge_cents: int
    """What is left to charge; 0 where the coupon pays for all of it."""
    state: State


async def spend(coupons_: Coupons, issuance_id: str, user_id: str, correlation_id: str, amount_cents: int) -> Charge:
    """Keep a user's coupon for an order and charge the rest, once per order. Raises Taken, NotYours, OrderReleased."""
    try:
        order = str(UUID(correlation_id))
    except ValueError:
        raise Invalid(field="correlation_id", reason="not a UUID") from None
    if not 0 < amount_cents <= AMOUNT_CENTS_MAX:
        raise Invalid(field="amount_cents", reason=f"1 to {AMOUNT_CENTS_MAX}")
    seconds = coupons_.settings.charge_seconds

    def act(connection: sa.Connection) -> Charge:
        query = sa.select(issuances.c.user_id, coupons.c.discount_cents).join(coupons)
        its = query.where(issuances.c.issuance_id == issuance_id).with_for_update(of=issuances)  # not its event
        row = connection.execute(its).first()
        if row is None:
            raise errors.UnknownIssuance(issuance_id=issuance_id)
        if row.user_id != user_id:
            raise errors.NotYours(issuance_id=issuance_id)
        if (known := _charge(connection, order)) is not None:
            if (known.issuance_id, known.amount_cents) != (issuance_id, amount_cents):
                raise errors.OrderExists(correlation_id=order)
            return known
        not_released(connection, issuance_id, order)
        rest = max(0, amount_cents - row.discount_cents)
        free = rest == 0
        take(connection, issuance_id, order, None if free else now_ms() + seconds * 1000)
        values = {
            "correlation_id": order,
            "issuance_id": issuance_id,
            "amount_cents": amount_cents,
            "charge_cents": rest,
            "state": "done" if free else "waiting",
        }
        if not _added(connection, values):  # meanwhile, with a coupon that was not locked here
            raise errors.OrderExists(correlation_id=order)
        return Charge(**values)

    return await within(coupons_, act)


async def charge(coupons_: Coupons, correlation_id: str) -> Charge:
    """One charge. Raises UnknownCharge."""
    found = await coupons_.database.run(lambda connection: _charge(connection, correlation_id))
    if found is None:
        raise errors.UnknownCharge(correlation_id=correlation_id)
    return found


async def relay(coupons_: Coupons) -> int:
    """Tell what is to be charged; how many. What was told and not marked is told again, under the same id.

    What waited for half of its time is not told any more: its coupon could be another order's before it is paid.
    """
    half_ms = coupons_.settings.charge_seconds * 500
    due = charges.c.state.in_(UNTOLD) & (charges.c.created_ms > now_ms() - half_ms)
    query = sa.select(charges).where(due).order_by(charges.c.created_ms).limit(RELAY_MAX)
    rows = await coupons_.database.run(lambda connection: connection.execute(query).all())
    queue = StreamQueue(coupons_.hub, Key(coupons_.settings.charges_stream), group=READERS)
    told = 0
    for row in rows:
        if not await coupons_.database.run(partial(_become, row.correlation_id, "telling", UNTOLD)):
            continue  # its order was called off meanwhile
        fields = {
            "correlation_id": row.correlation_id,
            "amount_cents": row.charge_cents,
            "reference": row.issuance_id,
        }
        await queue.publish(fields, op_id=row.correlation_id)
        await coupons_.database.run(partial(_become, row.correlation_id, "sent", ("telling",)))
        told += 1
    return told


async def follow(coupons_: Coupons, message: Message) -> None:
    """A payment came to its end: redeem its coupon, or give it back. Not ours: nothing to do.

    Who pays another amount under an order's id has not paid this order, and payments takes no second one of that id.
    """
    order = message.fields.get(b"correlation_id", b"").decode(errors="replace")
    known = await coupons_.database.run(lambda connection: _charge(connection, order))
    if known is None:
        return
    done, paid = message.fields.get(b"state") == b"done", _paid(message.fields)
    if done and paid != str(known.charge_cents):
        log.error("coupons.another_amount", order=order, charge_cents=known.charge_cents, paid_cents=paid)
        done = False
    await within(coupons_, partial(_paid_for if done else _not_paid_for, known.issuance_id, order))


def _paid_for(issuance_id: str, order: str, connection: sa.Connection) -> None:
    try:
        redeemed(connection, issuance_id, order)
    except (errors.OrderReleased, errors.Taken):
        _become(order, "late", (*OPEN, "dead", "over"), connection)
    else:
        _become(order, "done", OPEN, connection)


def _not_paid_for(issuance_id: str, order: str, connection: sa.Connection, state: State = "dead") -> bool:
    """Give its coupon back; what came to its end meanwhile stays as it is, and keeps its coupon."""
    locked(connection, issuance_id)  # before its charge, as everywhere
    ended = _become(order, state, OPEN, connection)
    if ended:
        released(connection, issuance_id, order)
    return ended


async def give_up(coupons_: Coupons) -> int:
    """Orders whose payment never came, or that could not even be told, give their coupon back; how many."""
    before = now_ms() - coupons_.settings.charge_seconds * 1000
    due = charges.c.state.in_(OPEN) & (charges.c.created_ms <= before)
    query = sa.select(charges).where(due).limit(RELAY_MAX)
    rows = await coupons_.database.run(lambda connection: connection.execute(query).all())
    acts = [partial(_given_up, row.issuance_id, row.correlation_id) for row in rows]
    return sum([await coupons_.database.run(act) for act in acts])


def _given_up(issuance_id: str, order: str, connection: sa.Connection) -> bool:
    try:
        return _not_paid_for(issuance_id, order, connection, state="over")
    except errors.UnknownIssuance:  # it was written before its charge: somebody took it away
        log.error("coupons.charge_without_coupon", order=order, issuance_id=issuance_id)  # noqa: TRY400  # that is all of it
        return _become(order, "over", OPEN, connection)


async def late(coupons_: Coupons) -> list[str]:
    """Orders that were charged after their coupon had gone back: somebody has to look at them."""
    query = sa.select(charges.c.correlation_id).where(charges.c.state == "late").limit(RELAY_MAX)
    return await coupons_.database.run(lambda connection: list(connection.execute(query).scalars()))


async def paid_otherwise(coupons_: Coupons) -> list[str]:
    """Orders that are done for another amount than was paid, as far back as the stream of final payments goes."""
    first = sa.select(sa.func.min(charges.c.created_ms)).where(charges.c.state == "done")
    oldest_ms = await coupons_.database.run(lambda connection: connection.execute(first).scalar())
    if oldest_ms is None:
        return []
    found: list[str] = []
    start = b"%d" % oldest_ms
    while True:
        page: Any = await coupons_.hub.read.xrange(coupons_.settings.finals_stream, start, count=PAGE_MAX)
        if not page:
            return found
        start = b"(" + page[-1][0]
        done = [fields for _, fields in page if fields.get(b"state") == b"done"]
        paid = {fields.get(b"correlation_id", b"").decode(errors="replace"): _paid(fields) for fields in done}
        query = sa.select(charges.c.correlation_id, charges.c.charge_cents).where(charges.c.state == "done")
        its = query.where(charges.c.correlation_id.in_(paid))
        rows = await coupons_.database.run(lambda connection, its=its: connection.execute(its).all())  # type: ignore[misc]
        found += [
            f"{order}: done for {cents}, paid {paid[order]}" for order, cents in rows if paid[order] != str(cents)
        ]


def finals(coupons_: Coupons) -> StreamQueue:
    """The stream of final payments, read in a group of our own."""
    return StreamQueue(coupons_.hub, Key(coupons_.settings.finals_stream), group=FOLLOWERS, keep=True)


def _paid(fields: Mapping[bytes, bytes]) -> str:
    return fields.get(b"amount_cents", b"").decode(errors="replace")


def _charge(connection: sa.Connection, correlation_id: str) -> Charge | None:
    row = connection.execute(sa.select(charges).where(charges.c.correlation_id == correlation_id)).mappings().first()
    if row is None:
        return None
    told: dict[str, Any] = {name: value for name, value in row.items() if name != "created_ms"}
    return Charge(**told)


def _added(connection: sa.Connection, values: Mapping[str, Any]) -> bool:
    """Whether the order had no charge, once whoever else writes one has ended."""
    from sqlalchemy.dialects import postgresql, sqlite

    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    added = dialect.insert(charges).values(**values, created_ms=now_ms())
    once = added.on_conflict_do_nothing(index_elements=["correlation_id"]).returning(charges.c.correlation_id)
    return connection.execute(once).first() is not None


def _become(correlation_id: str, state: State, before: tuple[State, ...], connection: sa.Connection) -> bool:
    its = (charges.c.correlation_id == correlation_id) & charges.c.state.in_(before)
    return connection.execute(sa.update(charges).where(its).values(state=state)).rowcount == 1
