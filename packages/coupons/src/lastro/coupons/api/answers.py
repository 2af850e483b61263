"""What the endpoints answer, for the OpenAPI document and for mypy. Cents are centavos; moments are UTC."""

from typing import (
    Annotated,
    Literal,  # of typing's pydantic reads none before 3.12
)

from pydantic import Field
from typing_extensions import TypedDict

from lastro.coupons.model.event import Durability, State
from lastro.coupons.model.issuance import Status

Moment = Annotated[str, Field(examples=["2026-11-21T03:00:00.000Z"], description="ISO 8601 in UTC, to the millisecond")]


class CouponEvent(TypedDict):
    """An event as it stands."""

    event_id: str
    name: str
    state: State
    total: Annotated[int, Field(description="coupons that it gives, after every resize")]
    stock: Annotated[int, Field(description="coupons that are left")]
    issued: Annotated[int, Field(description="coupons given so far, those that came back included")]
    returned: Annotated[int, Field(description="coupons that were cancelled and went back into stock")]
    per_user_limit: Annotated[int, Field(description="coupons that one user may have")]
    starts_at: Annotated[Moment | None, Field(description="null: from the beginning")]
    ends_at: Annotated[Moment | None, Field(description="exclusive; null: never")]
    valid_until: Annotated[Moment | None, Field(description="until then a coupon may be redeemed; null: for ever")]
    discount_cents: Annotated[int, Field(description="what a coupon takes off the amount of an order")]
    durability: Annotated[Durability, Field(description="what a 201 waits for")]
    returns_stock: Annotated[bool, Field(description="a cancelled coupon goes to somebody else")]
    eligible_only: Annotated[bool, Field(description="only users that were named may have one")]
    room_per_second: Annotated[int, Field(description="users admitted from the waiting room; 0: there is none")]
    epoch: Annotated[int, Field(description="grows with every recovery")]
    version: Annotated[int, Field(description="grows with every change")]


class IssuedCoupon(TypedDict):
    """A coupon in a user's hands; the same bytes whenever it is asked for."""

    issuance_id: Annotated[str, Field(description="a UUID")]
    event_id: str
    user_id: str
    ordinal: Annotated[int, Field(description="which of the user's, from 1")]
    seq: Annotated[int, Field(description="which of the event's, from 1")]
    code: Annotated[str, Field(description="what is typed to use it")]
    issued_at: Moment


class StoredCoupon(IssuedCoupon):
    """A coupon as the database has it."""

    status: Status
    order_ref: Annotated[str | None, Field(description="the order it is reserved or redeemed for")]
    reserved_until: Moment | None
    redeemed_at: Moment | None
    cancelled_at: Moment | None
    expires_at: Annotated[Moment | None, Field(description="null: never")]
    persistence: Literal["stored"]


class PendingCoupon(IssuedCoupon):
    """A coupon on its way into the database."""

    status: Literal["issued"]
    persistence: Literal["pending"]


class CouponAct(TypedDict):
    """One line of what became of a coupon."""

    act: Annotated[str, Field(examples=["reserved"])]
    order_ref: str | None
    at: Moment


class Added(TypedDict):
    """How many were not there before."""

    added: int


class Place(TypedDict):
    """A place in the waiting room."""

    position: Annotated[int, Field(description="users before you; 0: it is your turn")]
    stock: Annotated[int, Field(description="coupons that are left")]
    poll_after_ms: Annotated[int, Field(description="ms to wait before asking again")]
    ticket: Annotated[
        str | None, Field(description="to show with the attempt; null while you wait, and when nothing is left")
    ]


class Reconciled(TypedDict):
    """What Redis and the database do not agree on."""

    event_id: str
    findings: list[str]
    actions: Annotated[int, Field(description="repairs that were done")]
    applied: Annotated[bool, Field(description="whether it was to be repaired")]
    left: Annotated[list[str], Field(description="findings that no repair took away")]
