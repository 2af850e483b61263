"""Events over HTTP: their life, who may, the waiting room, figures."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Depends, Header, Path, Response
from pydantic import Field

from lastro.core.clock import iso
from lastro.core.docs import refuses
from lastro.core.errors import Invalid
from lastro.coupons.engine import Coupons, events
from lastro.coupons.engine.figures import Figures, figures
from lastro.coupons.errors import (
    EventExists,
    EventOver,
    KeyReused,
    NotOffered,
    Recovering,
    RoomFull,
    SoldOut,
    TooManyEvents,
    TooSmall,
    UnknownEvent,
    WrongState,
)
from lastro.coupons.model import tickets
from lastro.coupons.model.event import (
    AMOUNT_CENTS_MAX,
    EVENT_ID,
    NAME_MAX,
    NEVER_MS,
    PER_USER_MAX,
    TOTAL_MAX,
    USER_ID,
    Durability,
    Event,
    Plan,
)

from .answers import Added, CouponEvent, Place
from .engine import Body, Engine

router = APIRouter()
UNKNOWN = refuses(UnknownEvent)
MOVES = refuses(UnknownEvent, WrongState, NotOffered, Recovering)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EventId = Annotated[str, Field(pattern=f"^{EVENT_ID.pattern}$", examples=["launch"])]
UserId = Annotated[str, Header(alias="X-User-Id", pattern=f"^{USER_ID.pattern}$")]
EventPath = Annotated[str, Path(pattern=f"^{EVENT_ID.pattern}$")]


async def _named(event_id: str) -> str:
    if not EVENT_ID.fullmatch(event_id):
        raise UnknownEvent(event_id=event_id)
    return event_id


Named = Annotated[str, Depends(_named)]


class NewEvent(Body):
    """An event to create."""

    event_id: EventId
    name: str = Field("", max_length=NAME_MAX)
    total: int = Field(ge=0, le=TOTAL_MAX, description="coupons", examples=[1000])
    per_user_limit: int = Field(1, ge=1, le=PER_USER_MAX, description="coupons that one user may have")
    starts_at: datetime | None = Field(None, description="with an offset; from the beginning without it")
    ends_at: datetime | None = Field(None, description="exclusive; never without it")
    valid_until: datetime | None = Field(None, description="until then an issued coupon may be redeemed")
    discount_cents: int = Field(
        0, ge=0, le=AMOUNT_CENTS_MAX, description="what a coupon takes off the amount of an order"
    )
    durability: Durability = Field("memory", description="what a 201 waits for")
    returns_stock: bool = Field(True, description="a cancelled coupon goes to somebody else")
    eligible_only: bool = Field(False, description="only users that were named may have one")
    room_per_second: int = Field(0, ge=0, le=TOTAL_MAX, description="admitted from the waiting room; 0: there is none")
    open: bool = Field(False, description="give coupons within its window at once, instead of a draft")


class Window(Body):
    """When an event gives coupons."""

    starts_at: datetime = Field(description="with an offset", examples=["2030-01-01T12:00:00Z"])
    ends_at: datetime | None = Field(None, description="exclusive; never without it", examples=["2030-01-02T12:00:00Z"])


class Change(Body):
    """By how many an event grows."""

    delta: int = Field(ge=-TOTAL_MAX, le=TOTAL_MAX, description="coupons more; fewer if negative", examples=[100])


class Users(Body):
    """Users that may have a coupon."""

    users: list[Annotated[str, Field(pattern=f"^{USER_ID.pattern}$")]] = Field(
        min_length=1, max_length=events.ELIGIBLE_MAX, examples=[["ana", "bia"]]
    )


def place_told(place: tickets.Place) -> Place:
    """A place in the waiting room for the world."""
    return Place(
        position=place.position,
        stock=place.stock,
        poll_after_ms=place.poll_after_ms,
        ticket=place.ticket or None,
    )


def shown(event: Event) -> CouponEvent:
    """An event for the world."""
    plan = event.plan
    return CouponEvent(
        event_id=plan.event_id,
        name=plan.name,
        state=event.state,
        total=event.total,
        stock=max(0, event.stock),
        issued=event.issued,
        returned=event.returned,
        per_user_limit=plan.per_user_limit,
        starts_at=iso(plan.starts_ms) if plan.starts_ms else None,
        ends_at=iso(plan.ends_ms) if plan.ends_ms else None,
        valid_until=iso(plan.valid_until_ms) if plan.valid_until_ms else None,
        discount_cents=plan.discount_cents,
        durability=plan.durability,
        returns_stock=plan.returns_stock,
        eligible_only=plan.eligible_only,
        room_per_second=plan.room_per_second,
        epoch=event.epoch,
        version=event.version,
    )


@router.post("/events", status_code=201, responses=refuses(EventExists, TooManyEvents, NotOffered))
async def create(body: NewEvent, coupons: Engine) -> CouponEvent:
    """Create an event, once; the same again is answered the same."""
    plan = Plan(
        event_id=body.event_id,
        name=body.name,
        total=body.total,
        per_user_limit=body.per_user_limit,
        starts_ms=_ms(body.starts_at, "starts_at"),
        ends_ms=_ms(body.ends_at, "ends_at"),
        valid_until_ms=_ms(body.valid_until, "valid_until"),
        discount_cents=body.discount_cents,
        durability=body.durability,
        returns_stock=body.returns_stock,
        eligible_only=body.eligible_only,
        room_per_second=body.room_per_second,
    )
    return shown(await events.create(coupons, plan, opened=body.open))


@router.get("/events")
async def list_events(coupons: Engine) -> list[CouponEvent]:
    """Every event that is not settled."""
    return [shown(await coupons.event(event_id)) for event_id in await coupons.live()]


@router.get("/events/{event_id}", responses=UNKNOWN)
async def event(event_id: Named, coupons: Engine) -> CouponEvent:
    """An event as it stands."""
    return shown(await coupons.event(event_id))


@router.get("/events/{event_id}/stats", responses=UNKNOWN)
async def stats(event_id: Named, coupons: Engine) -> Figures:
    """How it goes: stock, winners, what is on its way into the database, what became of those in it."""
    return await figures(coupons, event_id)


@router.post("/events/{event_id}:schedule", responses=MOVES)
async def schedule(event_id: Named, body: Window, coupons: Engine) -> CouponEvent:
    """Give coupons in this window."""
    return shown(
        await events.schedule(coupons, event_id, _ms(body.starts_at, "starts_at"), _ms(body.ends_at, "ends_at"))
    )


def _simple(name: str, act: Callable[[Coupons, str], Awaitable[Event]]) -> None:
    async def endpoint(event_id: Named, coupons: Engine) -> CouponEvent:
        return shown(await act(coupons, event_id))

    endpoint.__doc__ = act.__doc__
    router.post(f"/events/{{event_id}}:{name}", name=name, responses=MOVES)(endpoint)


_simple("open", events.open_event)
_simple("pause", events.pause)
_simple("close", events.close)
_simple("settle", events.settle)


@router.post("/events/{event_id}:resize", responses=refuses(UnknownEvent, EventOver, TooSmall, KeyReused, Recovering))
async def resize(
    event_id: Named,
    body: Change,
    coupons: Engine,
    key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=128)] = None,
) -> CouponEvent:
    """So many coupons more, or fewer; once per Idempotency-Key."""
    return shown(await events.resize(coupons, event_id, body.delta, key or uuid4().hex))


@router.post("/events/{event_id}/eligible", responses=refuses(UnknownEvent, EventOver))
async def allow(event_id: Named, body: Users, coupons: Engine) -> Added:
    """Name users that may have a coupon."""
    return Added(added=await events.allow(coupons, event_id, body.users))


@router.post("/events/{event_id}/room", responses=refuses(UnknownEvent, EventOver, SoldOut, RoomFull, Recovering))
async def join(event_id: Named, user_id: UserId, coupons: Engine, response: Response) -> Place:
    """A place in the waiting room; at its turn with the ticket to show with the attempt."""
    place = await events.join(coupons, event_id, user_id)
    if place.position:
        response.headers["retry-after"] = str(-(-place.poll_after_ms // 1000))
    return place_told(place)


def _ms(moment: datetime | None, field: str) -> int:
    if moment is None:
        return NEVER_MS
    if moment.tzinfo is None:
        raise Invalid(field=field, reason="needs an offset, like 2025-07-10T12:00:00Z")
    return (moment - EPOCH) // timedelta(milliseconds=1) or 1  # 0 is never
