"""Dead payments: what a processor refused for what it is. Listed, shown, replayed, discarded."""

from typing import Any

from lastro.core.errors import Invalid
from lastro.payments import scripts
from lastro.payments.errors import NotDead, UnknownPayment
from lastro.payments.model import Payment

from . import PAGE_MAX, Payments


async def letters(payments: Payments, *, after: str = "", count: int = PAGE_MAX) -> list[Payment]:
    """A page of them, oldest first; the next page begins after the last id of this one. Raises Invalid: not dead."""
    place: Any = await payments.hub.read.zrank(payments.keys.dead, after) if after else -1
    if place is None:
        raise Invalid(field="after", reason="not the id of a dead payment; begin anew")
    first = place + 1
    ids: list[Any] = await payments.hub.read.zrange(payments.keys.dead, first, first + min(count, PAGE_MAX) - 1)
    return [one for one in await payments.records(ids) if one.state == "dead"]


async def letter(payments: Payments, correlation_id: str) -> Payment:
    """One of them. Raises UnknownPayment, NotDead."""
    found = await payments.payment(correlation_id)
    _was_dead(correlation_id, found.state)
    return found


async def count(payments: Payments) -> int:
    """How many there are."""
    return int(await payments.hub.read.zcard(payments.keys.dead))


async def replay(payments: Payments, correlation_id: str) -> None:
    """Queue one again. Raises UnknownPayment, NotDead."""
    keys, write = payments.keys, payments.hub.write
    was = await scripts.replay(write, known=keys.known, queue=keys.queue, dead=keys.dead, correlation_id=correlation_id)
    _was_dead(correlation_id, was)


async def discard(payments: Payments, correlation_id: str) -> None:
    """Let go of one: listed no more, its id stays taken. Raises UnknownPayment, NotDead."""
    keys = payments.keys
    was = await scripts.discard(payments.hub.write, known=keys.known, dead=keys.dead, correlation_id=correlation_id)
    _was_dead(correlation_id, was)


def _was_dead(correlation_id: str, was: str) -> None:
    if not was:
        raise UnknownPayment(correlation_id=correlation_id)
    if was != "dead":
        raise NotDead(correlation_id=correlation_id, state=was)
