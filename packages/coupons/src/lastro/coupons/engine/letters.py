"""Dead letters of the outboxes: list, show, replay, discard. The database keeps a note of each."""

from collections.abc import AsyncIterator, Sequence
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
    """Back into the outbox, each in one step; how many were there."""
    done = await outbox(coupons.hub, event_id).replay(_ids(ids))
    await _mark(coupons, event_id, ids, "replayed")
    return done


async def discard(coupons: Coupons, event_id: str, ids: Sequence[str]) -> int:
    """Delete them for good; how many were there."""
    done = await outbox(coupons.hub, event_id).discard(_ids(ids))
    await _mark(coupons, event_id, ids, "discarded")
    return done


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


async def _mark(coupons: Coupons, event_id: str, ids: Sequence[str], state: str) -> None:
    change = sa.update(dead_letters).values(state=state).where(dead_letters.c.event_id == event_id)

    def act(connection: sa.Connection) -> None:
        for at in range(0, len(ids), PAGE_MAX):
            connection.execute(change.where(dead_letters.c.letter_id.in_(ids[at : at + PAGE_MAX])))

    await coupons.database.run(act)
