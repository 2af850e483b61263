"""Dead letters of the outboxes: list, show, replay, discard. The database keeps a note of each."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lastro.core.errors import Invalid
from lastro.core.streams.letters import LETTER_ID, PAGE_MAX, DeadLetter, shown
from lastro.coupons.errors import UnknownLetter

from . import Coupons
from .database.schema import dead_letters
from .outbox import outbox


async def letters(coupons: Coupons, event_id: str, *, count: int = PAGE_MAX, after: str = "") -> list[DeadLetter]:
    """The oldest of an event, after that one. Raises UnknownEvent."""
    found = await outbox(coupons.hub, event_id).letters(count=count, after=_ids([after])[0] if after else b"")
    if not found:
        await coupons.event(event_id)
    return found


async def letter(coupons: Coupons, event_id: str, letter_id: str) -> DeadLetter:
    """One of them. Raises UnknownEvent, UnknownLetter."""
    found = await outbox(coupons.hub, event_id).letter(letter_id.encode())
    if found is None:
        await coupons.event(event_id)
        raise UnknownLetter(event_id=event_id, letter_id=letter_id)
    return found


async def pages(coupons: Coupons, event_id: str) -> AsyncIterator[list[DeadLetter]]:
    """All of an event, oldest first, page by page; none of one that Redis does not know."""
    after = b""
    while page := await outbox(coupons.hub, event_id).letters(after=after):
        yield page
        after = page[-1].id


async def replay(coupons: Coupons, event_id: str, ids: Sequence[str]) -> int:
    """Back into the outbox, each in one step; how many were there. Raises DatabaseAway, and all of them stay."""
    return await _noted(coupons, event_id, ids, "replayed", outbox(coupons.hub, event_id).replay)


async def discard(coupons: Coupons, event_id: str, ids: Sequence[str]) -> int:
    """Delete them for good; how many were there. Raises DatabaseAway, and all of them stay."""
    return await _noted(coupons, event_id, ids, "discarded", outbox(coupons.hub, event_id).discard)


async def note(coupons: Coupons, event_id: str) -> None:
    """Those the database does not know yet, into it."""
    async for page in pages(coupons, event_id):
        await coupons.database.run(partial(_note, [_row(event_id, letter) for letter in page]))


def _row(event_id: str, letter: DeadLetter) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "letter_id": letter.id.decode(),
        "reason": letter.reason,
        "error": letter.error.replace("\0", " "),
        "payload": msgspec.json.encode(shown(letter).fields).decode(),
        "deliveries": letter.deliveries,
        "first_ms": letter.first_ms,
        "last_ms": letter.last_ms,
        "state": "waiting",
    }


def _note(rows: Sequence[dict[str, Any]], connection: sa.Connection) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(dead_letters).on_conflict_do_nothing(), rows)


def _ids(told: Sequence[str]) -> list[bytes]:
    for id_ in told:
        if not LETTER_ID.fullmatch(id_):
            raise Invalid(field="letter_id", reason="not the id of a dead letter")
    return [id_.encode() for id_ in told]


async def _noted(
    coupons: Coupons, event_id: str, ids: Sequence[str], state: str, act: Callable[[Sequence[bytes]], Awaitable[int]]
) -> int:
    """An act on those that are there, after the database has its note: afterwards nobody could write it any more."""
    queue, done, told = outbox(coupons.hub, event_id), 0, _ids(ids)
    for at in range(0, len(told), PAGE_MAX):
        page = told[at : at + PAGE_MAX]
        there = [one for one in await asyncio.gather(*map(queue.letter, page)) if one is not None]
        if there:
            rows = [_row(event_id, letter) | {"state": state} for letter in there]
            await coupons.database.run(partial(_mark, rows, state))
            done += await act([letter.id for letter in there])
    return done


def _mark(rows: Sequence[dict[str, Any]], state: str, connection: sa.Connection) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    key, changed = [dead_letters.c.event_id, dead_letters.c.letter_id], {"state": state}
    connection.execute(dialect.insert(dead_letters).on_conflict_do_update(index_elements=key, set_=changed), rows)
