"""Issued coupons over HTTP: what a user has, and what becomes of it."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path
from pydantic import Field

from lastro.core.clock import iso
from lastro.core.docs import refuses
from lastro.core.errors import Busy
from lastro.coupons.engine import redemption, spending
from lastro.coupons.errors import (
    ChargeUnderWay,
    NotYours,
    OrderExists,
    OrderReleased,
    Pending,
    Taken,
    UnknownCharge,
    UnknownEvent,
    UnknownIssuance,
)
from lastro.coupons.model.event import AMOUNT_CENTS_MAX, USER_ID
from lastro.coupons.model.issuance import Issuance, Stored

from .answers import CouponAct, IssuedCoupon, PendingCoupon, StoredCoupon
from .attempt import shown
from .engine import Body, Engine
from .events import EventPath, UserId

router = APIRouter()
FOUND = refuses(UnknownIssuance, Pending)
SPENDS = refuses(UnknownIssuance, NotYours, Taken, OrderReleased, OrderExists)
USES = refuses(UnknownIssuance, Pending, Taken, OrderReleased)
IssuanceId = Annotated[str, Path(pattern=r"^[0-9A-Za-z-]{1,64}$")]
UserPath = Annotated[str, Path(pattern=f"^{USER_ID.pattern}$")]


class Order(Body):
    """For which order."""

    order_ref: str = Field(min_length=1, max_length=redemption.ORDER_REF_MAX, examples=["order-1042"])


class Reservation(Order):
    """For which order, and how long."""

    seconds: int = Field(900, ge=1, le=redemption.RESERVE_SECONDS_MAX, description="until it is anybody's again")


class Spending(Body):
    """For which order, and its whole amount."""

    correlation_id: UUID = Field(
        description="of the order and of its payment", examples=["6f1e2a44-0c9b-4f5e-9d55-0b0a5a3f9b11"]
    )
    amount_cents: int = Field(ge=1, le=AMOUNT_CENTS_MAX, description="of the whole order", examples=[1990])


def told(stored: Stored) -> StoredCoupon:
    """A coupon as the database has it."""
    return StoredCoupon(
        **_issued(stored.issuance),
        status=stored.status,
        order_ref=stored.order_ref,
        reserved_until=_iso(stored.reserved_until_ms),
        redeemed_at=_iso(stored.redeemed_ms),
        cancelled_at=_iso(stored.cancelled_ms),
        expires_at=_iso(stored.expires_ms),
        persistence="stored",
    )


def acts_told(acts: Sequence[tuple[str, str, int]]) -> list[CouponAct]:
    """What became of a coupon, for the world."""
    return [CouponAct(act=act, order_ref=reference or None, at=iso(at_ms)) for act, reference, at_ms in acts]


def _pending(issuance: Issuance) -> PendingCoupon:
    return PendingCoupon(**_issued(issuance), status="issued", persistence="pending")


def _issued(issuance: Issuance) -> IssuedCoupon:
    found: IssuedCoupon = msgspec.to_builtins(shown(issuance))
    return found


@router.get("/events/{event_id}/issuances/{user_id}", responses=refuses(UnknownEvent, UnknownIssuance))
async def of_user(event_id: EventPath, user_id: UserPath, coupons: Engine) -> list[StoredCoupon | PendingCoupon]:
    """What a user has of an event: Redis is asked first, so that a coupon issued just now is there."""
    issued = await coupons.issuances(event_id, user_id)
    try:
        stored = {row.issuance.issuance_id: told(row) for row in await redemption.of_user(coupons, event_id, user_id)}
    except Busy:
        if not issued:
            raise
        stored = {}
    found = {one.issuance_id: stored.get(one.issuance_id) or _pending(one) for one in issued}
    if not (found | stored):
        await coupons.event(event_id)
        raise UnknownIssuance(issuance_id=f"of {user_id}")
    return list((found | stored).values())


@router.get("/issuances/{issuance_id}", responses=FOUND)
async def find(issuance_id: IssuanceId, coupons: Engine) -> StoredCoupon:
    """One coupon."""
    return told(await redemption.find(coupons, issuance_id))


@router.get("/issuances/{issuance_id}/history", responses=FOUND)
async def history(issuance_id: IssuanceId, coupons: Engine) -> list[CouponAct]:
    """All that became of it."""
    return acts_told(await redemption.history(coupons, issuance_id))


@router.get("/codes/{code}", responses=FOUND)
async def find_code(code: str, coupons: Engine) -> StoredCoupon:
    """The coupon of a code, however it was typed; 422 for one that was mistyped."""
    return told(await redemption.find_code(coupons, code))


@router.post("/issuances/{issuance_id}:reserve", responses=USES)
async def reserve(issuance_id: IssuanceId, body: Reservation, coupons: Engine) -> StoredCoupon:
    """Keep it for an order for a while."""
    return told(await redemption.reserve(coupons, issuance_id, body.order_ref, body.seconds))


@router.post("/issuances/{issuance_id}:redeem", responses=USES)
async def redeem(issuance_id: IssuanceId, body: Order, coupons: Engine) -> StoredCoupon:
    """Use it for an order; again for the same order is the same."""
    return told(await redemption.redeem(coupons, issuance_id, body.order_ref))


@router.post("/issuances/{issuance_id}:release", responses=refuses(UnknownIssuance, Pending, ChargeUnderWay))
async def release(issuance_id: IssuanceId, body: Order, coupons: Engine) -> StoredCoupon:
    """Give back what this order reserved or redeemed: it is not charged, and a late redeem of it is refused."""
    return told(await redemption.release(coupons, issuance_id, body.order_ref))


@router.post(
    "/issuances/{issuance_id}:spend",
    status_code=202,
    responses=refuses(UnknownIssuance, NotYours, Taken, OrderReleased, OrderExists),
)
async def spend(issuance_id: IssuanceId, body: Spending, user_id: UserId, coupons: Engine) -> spending.Charge:
    """Use it in a payment: the rest of the amount is charged, then it is redeemed; once per correlation_id."""
    return await spending.spend(coupons, issuance_id, user_id, str(body.correlation_id), body.amount_cents)


@router.get("/charges/{correlation_id}", responses=refuses(UnknownCharge))
async def charge(correlation_id: UUID, coupons: Engine) -> spending.Charge:
    """What an order still costs, and what became of it."""
    return await spending.charge(coupons, str(correlation_id))


@router.post("/issuances/{issuance_id}:cancel", responses=refuses(UnknownIssuance, Pending, Taken))
async def cancel(issuance_id: IssuanceId, coupons: Engine) -> StoredCoupon:
    """Take it out of use; its unit goes back into stock, once, while the event is open."""
    return told(await redemption.cancel(coupons, issuance_id))


def _iso(ms: int | None) -> str | None:
    return iso(ms) if ms else None
