"""The life of an event: create, schedule, open, pause, resize, close, settle; who may; the waiting room."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import sqlalchemy as sa

from lastro.core.clock import now_ms
from lastro.core.errors import Invalid, LastroError
from lastro.coupons import errors, keys, scripts
from lastro.coupons.model import tickets
from lastro.coupons.model.event import (
    AMOUNT_CENTS_MAX,
    BEFORE,
    EVENT_ID,
    MOMENT_MS_MAX,
    NAME_MAX,
    NEVER_MS,
    PER_USER_MAX,
    TOTAL_MAX,
    USER_ID,
    Event,
    Plan,
    Stored,
)

from . import Coupons
from .database.schema import coupons as table
from .outbox import GROUP, outbox
from .stored import fields_of

ELIGIBLE_MAX = 10_000  # users in one call
POLL_MS_MIN = 1_000
POLL_MS_MAX = 30_000


async def create(coupons: Coupons, plan: Plan, *, opened: bool = False) -> Event:
    """Create an event, once: a draft, or open within its window.

    Raises EventExists, TooManyEvents, NotOffered; DatabaseAway for one that Redis does not have.
    """
    _checked(plan)
    await offered(coupons, plan)
    try:
        settled = (await coupons.event(plan.event_id)).stored == "settled"
    except errors.UnknownEvent:
        settled = False
        await _new(coupons, plan)
        await name(coupons, plan.event_id)
    if not settled:  # else its keys have an end, and its name was taken from it as it was counted
        await scripts.create(  # also what is there: a repeat waits for the copies that its first answer missed
            coupons.hub.write,
            meta=keys.meta(plan.event_id),
            stock=keys.stock(plan.event_id),
            events=keys.events(plan.event_id),
            group=GROUP,
            total=plan.total,
            plan=fields_of(plan, coupon_id=str(uuid4()), state="open" if opened else "draft"),
        )
        await name(coupons, plan.event_id)  # the upkeep may have forgotten a name as old as a first try
    event = await coupons.event(plan.event_id)
    if replace(event.plan, starts_ms=plan.starts_ms, ends_ms=plan.ends_ms) != plan:
        raise errors.EventExists(event_id=plan.event_id, reason="it is another")
    return event


async def _new(coupons: Coupons, plan: Plan) -> None:
    """Raise Invalid for one whose coupons nobody could use any more, EventExists where the database has its name.

    Redis lost it, or forgot it after it was settled: a second one would give its coupons again, and no row of them
    could be written beside the first one's.
    """
    event_id = plan.event_id
    if plan.valid_until_ms and plan.valid_until_ms <= now_ms():
        raise Invalid(field="valid_until", reason="it is over")
    query = sa.select(table.c.state).where(table.c.event_id == event_id)

    def known(connection: sa.Connection) -> str | None:
        made = sa.inspect(connection).has_table(table.name)  # else nobody made the tables yet, and it has no event
        return connection.execute(query).scalar() if made else None

    state = await coupons.database.run(known)
    if state == "settled":
        raise errors.EventExists(event_id=event_id, reason="it is over and settled: take another name")
    if state is not None:
        raise errors.EventExists(event_id=event_id, reason="the database has it, and Redis does not: recover it")


async def name(coupons: Coupons, event_id: str) -> None:
    """Among those whose streams are read; before it exists, so that none is issued unseen. Raises TooManyEvents."""
    max_ = coupons.settings.events_max
    if await scripts.register(coupons.hub.write, live=keys.LIVE, event_id=event_id, events_max=max_) == "full":
        raise errors.TooManyEvents(events_max=max_)


async def schedule(coupons: Coupons, event_id: str, starts_ms: int, ends_ms: int) -> Event:
    """Give coupons from ``starts_ms`` until before ``ends_ms`` (0: no end)."""
    _window(starts_ms, ends_ms, (await coupons.event(event_id)).plan.valid_until_ms)
    return await _become(coupons, event_id, "open", str(starts_ms), str(ends_ms))


async def open_event(coupons: Coupons, event_id: str) -> Event:
    """Give coupons from now on, whatever its start was; also after a pause."""
    return await _become(coupons, event_id, "open", "now")


async def pause(coupons: Coupons, event_id: str) -> Event:
    """Give none until it is opened again."""
    return await _become(coupons, event_id, "paused")


async def close(coupons: Coupons, event_id: str) -> Event:
    """Give none any more."""
    return await _become(coupons, event_id, "closed")


async def end(coupons: Coupons, event: Event) -> None:
    """Close what was over as it was looked at, unless somebody changed it since: it may have been given more time."""
    if event.stored == "open" and event.state == "closed":
        with suppress(errors.WrongState):
            await _become(coupons, event.plan.event_id, "closed", version=str(event.version))


async def resize(coupons: Coupons, event_id: str, delta: int, op_id: str) -> Event:
    """So many coupons more, or fewer, once per ``op_id``. Raises TooSmall when fewer are left, EventOver, KeyReused."""
    if not -TOTAL_MAX <= delta <= TOTAL_MAX:
        raise Invalid(field="delta", reason=f"at most {TOTAL_MAX}")
    word = await scripts.resize(
        coupons.hub.write,
        meta=keys.meta(event_id),
        stock=keys.stock(event_id),
        events=keys.events(event_id),
        once=keys.once(event_id, op_id),
        delta=delta,
        total_max=TOTAL_MAX,
        life_ms=coupons.settings.remember_seconds * 1000,
    )
    if word == "conflict":
        raise errors.KeyReused(field="Idempotency-Key", reason="it was used with another delta")
    event = await coupons.event(event_id)
    if word == "unknown":
        raise errors.Recovering(event_id=event_id)
    if word == "settled":
        raise errors.EventOver(event_id=event_id)
    if word == "large":
        raise Invalid(field="delta", reason=f"an event has at most {TOTAL_MAX} coupons")
    if word == "short":
        raise errors.TooSmall(event_id=event_id, stock=event.stock, by=-delta)
    return event


async def settle(coupons: Coupons, event_id: str) -> Event:
    """Archive a closed event: all it gave is in the database, and Redis forgets it after the retention."""
    event = await coupons.event(event_id)
    if event.stored not in BEFORE["settled"]:  # asked before what is on its way: afterwards it gives no more
        raise errors.WrongState(event_id=event_id, state=event.state, to="settled")
    queue = outbox(coupons.hub, event_id)
    told = await queue.members.measure()
    if told.lag or told.pending or told.delayed or told.dead:
        left = told.lag + told.pending + told.delayed
        state = f"closed with {left} coupons on their way into the database and {told.dead} dead letters"
        raise errors.WrongState(event_id=event_id, state=state, to="settled")
    word = await scripts.settle(
        coupons.hub.write,
        meta=keys.meta(event_id),
        others=[make(event_id) for make in BESIDES],
        version=event.version,
        life_ms=coupons.settings.retention_seconds * 1000,
    )
    event = await coupons.event(event_id)
    if word != "ok":
        raise errors.WrongState(event_id=event_id, state=f"{event.state} and was just changed", to="settled")
    its = sa.update(table).where(
        table.c.coupon_id == event.coupon_id
    )  # no change of it comes through its stream any more
    await coupons.database.run(lambda connection: connection.execute(its.values(state="settled")))
    await scripts.unregister(
        coupons.hub.write, live=keys.LIVE, settled=keys.SETTLED, event_id=event_id, issued=event.issued
    )
    await queue.forget()
    return event


async def allow(coupons: Coupons, event_id: str, users: Sequence[str]) -> int:
    """Name users that may have a coupon; how many were not named before. Raises EventOver for a settled event."""
    if (await coupons.event(event_id)).stored == "settled":
        raise errors.EventOver(event_id=event_id)
    added = 0
    for at in range(0, len(users), ELIGIBLE_MAX):
        added += int(await coupons.hub.write.sadd(keys.eligible(event_id), *users[at : at + ELIGIBLE_MAX]))
    return added


async def join(coupons: Coupons, event_id: str, user_id: str) -> tickets.Place:
    """A place in the waiting room, the same for the same user; at its turn a ticket.

    Raises SoldOut, EventOver, RoomFull.
    """
    if not USER_ID.fullmatch(user_id):
        raise Invalid(field="user_id", reason="1 to 128 letters, digits and . _ @ : + -")
    left, before, rate, at_ms = await scripts.join(
        coupons.hub.write,
        room=keys.room(event_id),
        stock=keys.stock(event_id),
        meta=keys.meta(event_id),
        user_id=user_id,
        room_max=coupons.settings.room_max,
    )
    if left < 0:
        await coupons.event(event_id)
        raise errors.Recovering(event_id=event_id)
    if left == 0:
        raise errors.SoldOut(event_id=event_id)
    if before == -3:  # noqa: PLR2004  # as the script says
        raise errors.EventOver(event_id=event_id)
    if before == -1:
        raise errors.RoomFull(event_id=event_id)
    if before > 0:
        wait_ms = min(POLL_MS_MAX, max(POLL_MS_MIN, before * 1000 // rate))
        return tickets.Place(position=before, stock=left, poll_after_ms=wait_ms)
    until_ms = at_ms + coupons.settings.ticket_seconds * 1000
    ticket = tickets.sign(coupons.settings.signing, event_id, user_id, until_ms)
    return tickets.Place(position=0, stock=left, poll_after_ms=0, ticket=ticket)


BESIDES = (keys.stock, keys.participants, keys.events, keys.returned, keys.eligible, keys.room)
"""The keys of an event, but for its own."""


async def _become(
    coupons: Coupons, event_id: str, state: Stored, starts_ms: str = "", ends_ms: str = "", version: str = ""
) -> Event:
    word = await scripts.change_state(
        coupons.hub.write,
        meta=keys.meta(event_id),
        events=keys.events(event_id),
        state=state,
        starts_ms=starts_ms,
        ends_ms=ends_ms,
        version=version,
        before=BEFORE[state],
    )
    answer = word.decode() if isinstance(word, bytes) else word
    if answer == "unknown":
        raise errors.UnknownEvent(event_id=event_id)
    if answer != "ok":
        raise errors.WrongState(event_id=event_id, state=answer, to=state)
    return await coupons.event(event_id)


def _checked(plan: Plan) -> None:
    if not EVENT_ID.fullmatch(plan.event_id):
        raise Invalid(field="event_id", reason="1 to 64 letters, digits, points, dashes")
    if not 0 <= plan.total <= TOTAL_MAX:
        raise Invalid(field="total", reason=f"0 to {TOTAL_MAX}")
    if not 1 <= plan.per_user_limit <= PER_USER_MAX:
        raise Invalid(field="per_user_limit", reason=f"1 to {PER_USER_MAX}")
    if len(plan.name) > NAME_MAX or not plan.name.isprintable():
        raise Invalid(field="name", reason=f"at most {NAME_MAX} printable characters")
    _window(plan.starts_ms, plan.ends_ms, plan.valid_until_ms)
    if not 0 <= plan.discount_cents <= AMOUNT_CENTS_MAX:
        raise Invalid(field="discount_cents", reason=f"0 to {AMOUNT_CENTS_MAX}")
    if not 0 <= plan.room_per_second <= TOTAL_MAX:
        raise Invalid(field="room_per_second", reason=f"0 to {TOTAL_MAX}")


def _window(starts_ms: int, ends_ms: int, valid_until_ms: int = NEVER_MS) -> None:
    told = {"starts_at": starts_ms, "ends_at": ends_ms, "valid_until": valid_until_ms}
    for field, ms in told.items():
        if not 0 <= ms <= MOMENT_MS_MAX:
            raise Invalid(field=field, reason="from 1970 to 9999")
    if ends_ms and ends_ms <= starts_ms:
        raise Invalid(field="ends_at", reason="not after starts_at")
    if valid_until_ms and (valid_until_ms <= starts_ms or valid_until_ms < ends_ms):
        raise Invalid(field="valid_until", reason="not after starts_at, or before ends_at")


async def offered(coupons: Coupons, plan: Plan) -> None:
    """Raise NotOffered where the server cannot keep what the plan promises; attempts look again, each time."""
    if plan.durability != "fsync":
        return
    try:
        config: dict[str, Any] = cast("dict[str, Any]", await coupons.hub.read.config_get("append*"))
        told = {_text(name): _text(value) for name, value in config.items()}
        known: Any = await coupons.hub.read.execute_command("COMMAND INFO", "WAITAOF")
    except LastroError as error:
        raise errors.NotOffered(durability="fsync", reason=str(error)) from error
    if told.get("appendonly") != "yes":
        raise errors.NotOffered(durability="fsync", reason="it keeps no append-only file")
    if told.get("appendfsync") != "always" and not any(known.values() if isinstance(known, dict) else known):
        raise errors.NotOffered(durability="fsync", reason="appendfsync is not always, and it knows no WAITAOF")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
