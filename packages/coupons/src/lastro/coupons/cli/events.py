"""The life of an event."""

from typing import Annotated, Literal
from uuid import uuid4

from typer import Argument, Option, Typer, echo

from lastro.coupons.engine import Coupons, events
from lastro.coupons.engine.figures import figures
from lastro.coupons.model.event import Event, Plan

from .act import AsJson, EventId, act, line, moment_ms, show

app = Typer()


@app.command()
def create(
    event_id: EventId,
    total: Annotated[int, Argument(help="coupons")],
    name: Annotated[str, Option(help="for people")] = "",
    per_user: Annotated[int, Option(help="coupons of one user")] = 1,
    starts_at: Annotated[str | None, Option(help="ISO 8601")] = None,
    ends_at: Annotated[str | None, Option(help="ISO 8601, exclusive")] = None,
    valid_until: Annotated[str | None, Option(help="until then a coupon may be redeemed")] = None,
    discount_cents: Annotated[int, Option(min=0, help="what a coupon takes off an order")] = 0,
    durability: Annotated[Literal["memory", "fsync", "replica"], Option(help="what a 201 waits for")] = "memory",
    keep_cancelled: Annotated[bool, Option("--keep-cancelled", help="a cancelled coupon goes to nobody")] = False,  # noqa: FBT002
    eligible_only: Annotated[bool, Option("--eligible-only", help="only users named by `allow`")] = False,  # noqa: FBT002
    room_per_second: Annotated[int, Option(help="users admitted from a waiting room")] = 0,
    now: Annotated[bool, Option("--open", help="give coupons within its window at once")] = False,  # noqa: FBT002
) -> None:
    """Create an event, once; a draft unless --open."""
    plan = Plan(
        event_id=event_id,
        name=name,
        total=total,
        per_user_limit=per_user,
        starts_ms=moment_ms(starts_at, "--starts-at"),
        ends_ms=moment_ms(ends_at, "--ends-at"),
        valid_until_ms=moment_ms(valid_until, "--valid-until"),
        discount_cents=discount_cents,
        durability=durability,
        returns_stock=not keep_cancelled,
        eligible_only=eligible_only,
        room_per_second=room_per_second,
    )
    echo(line(act(lambda coupons: events.create(coupons, plan, opened=now))))


@app.command()
def schedule(
    event_id: EventId,
    starts_at: Annotated[str, Argument(help="ISO 8601")],
    ends_at: Annotated[str | None, Argument(help="ISO 8601, exclusive")] = None,
) -> None:
    """Give coupons in this window."""
    starts_ms, ends_ms = moment_ms(starts_at, "starts_at"), moment_ms(ends_at, "ends_at")
    _done(act(lambda coupons: events.schedule(coupons, event_id, starts_ms, ends_ms), database=False))


@app.command("open")
def open_event(event_id: EventId) -> None:
    """Give coupons from now on."""
    _done(act(lambda coupons: events.open_event(coupons, event_id), database=False))


@app.command()
def pause(event_id: EventId) -> None:
    """Give none until it is opened again."""
    _done(act(lambda coupons: events.pause(coupons, event_id), database=False))


@app.command()
def resize(
    event_id: EventId,
    delta: Annotated[int, Argument(help="so many more; after -- so many fewer: `resize e -- -5`")],
    op_id: Annotated[str | None, Option(help="twice under one id is once")] = None,
) -> None:
    """So many coupons more, or fewer."""
    _done(act(lambda coupons: events.resize(coupons, event_id, delta, op_id or uuid4().hex), database=False))


@app.command()
def close(event_id: EventId) -> None:
    """Give none any more."""
    _done(act(lambda coupons: events.close(coupons, event_id), database=False))


@app.command()
def settle(event_id: EventId) -> None:
    """Archive a closed event: Redis forgets it after the retention, the database keeps it."""
    _done(act(lambda coupons: events.settle(coupons, event_id)))


@app.command()
def allow(event_id: EventId, users: Annotated[list[str], Argument(help="who may have a coupon")]) -> None:
    """Name users that may have a coupon."""
    echo(f"{act(lambda coupons: events.allow(coupons, event_id, users), database=False)} added")


@app.command("list")
def list_events(as_json: AsJson = False) -> None:  # noqa: FBT002
    """Every event that is not settled."""

    async def every(coupons: Coupons) -> list[Event]:
        return [await coupons.event(event_id) for event_id in await coupons.live()]

    found = act(every, database=False)
    if as_json:
        from lastro.coupons.api.events import shown

        show([shown(event) for event in found])
        return
    for event in found:
        echo(line(event))


@app.command()
def stats(event_id: EventId, as_json: AsJson = False) -> None:  # noqa: FBT002
    """How an event goes."""
    told = act(lambda coupons: figures(coupons, event_id))
    if as_json:
        show(told)
        return
    echo(f"{told.event_id}  {told.state}  {told.stock} of {told.total} left, {told.issued} issued")
    echo(f"  {told.on_their_way} on their way into the database, {told.dead} dead letters")
    for status, count in sorted(told.by_status.items()):
        echo(f"  {count} {status}")


def _done(event: Event) -> None:
    echo(line(event))
