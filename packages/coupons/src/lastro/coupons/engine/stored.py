"""An event as Redis keeps it, and back."""

from typing import Any

from lastro.coupons.model.event import Event, Plan


def fields_of(plan: Plan, *, coupon_id: str, state: str) -> list[str | int]:
    """Field, value, … of an event's meta, but for what scripts count."""
    told: dict[str, str | int] = {
        "coupon_id": coupon_id,
        "name": plan.name,
        "state": state,
        "per_user": plan.per_user_limit,
        "starts_ms": plan.starts_ms,
        "ends_ms": plan.ends_ms,
        "valid_until_ms": plan.valid_until_ms,
        "discount_cents": plan.discount_cents,
        "durability": plan.durability,
        "returns_stock": int(plan.returns_stock),
        "eligible_only": int(plan.eligible_only),
        "room": plan.room_per_second,
        "planned": plan.total,
    }
    return [part for pair in told.items() for part in pair]


def event_of(event_id: str, told: list[Any]) -> Event:
    """From what ``look`` says."""
    now_ms, stock, issued, returned, *flat = told
    pairs = iter(part.decode() for part in flat)
    meta = dict(zip(pairs, pairs, strict=True))
    plan = Plan(
        event_id=event_id,
        name=meta["name"],
        total=int(meta["planned"]),
        per_user_limit=int(meta["per_user"]),
        starts_ms=int(meta["starts_ms"]),
        ends_ms=int(meta["ends_ms"]),
        valid_until_ms=int(meta["valid_until_ms"]),
        discount_cents=int(meta["discount_cents"]),
        durability=meta["durability"],
        returns_stock=meta["returns_stock"] == "1",
        eligible_only=meta["eligible_only"] == "1",
        room_per_second=int(meta["room"]),
    )
    return Event(
        plan=plan,
        coupon_id=meta["coupon_id"],
        stored=meta["state"],
        lasting=meta.get("was") or meta["state"],
        stock=stock,
        total=int(meta["total"]),
        issued=issued,
        returned=returned,
        seq=int(meta["seq"]),
        epoch=int(meta["epoch"]),
        generation=int(meta["gen"]),
        version=int(meta["version"]),
        created_ms=int(meta["created_ms"]),
        now_ms=now_ms,
    )
