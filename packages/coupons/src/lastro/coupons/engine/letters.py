"""Dead letters of the outboxes: list, show, replay, discard. The database keeps a note of each."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lastro.core.errors import Invalid
from lastro.core.streams.letters import PAGE_MAX, DeadLetter

from . import Coupons
from .database.schema import dead_letters
from .outbox import outbox

LETTER_ID = re.compile(r"[0-9]{1,15}-[0-9]{1,15}", re.ASCII)


async def letters(coupons: Coupons, event_id: str, *, count: int = PAGE_MAX, after: str = "") -> list[DeadLetter]:
    """The oldest of an event, after that one."""
    return await outbox(coupons.hub, event_id).letters(count=count, after=_ids([after])[0] if after else b"")


async def pages(coupons: Coupons, event_id: str) -> AsyncIterator[list[DeadLetter]]:
    """All of an event, oldest first, page by page."""
    after = ""
    while page := await letters(coupons, event_id, after=after):
        yield page
        after = page[-1].id.decode()


async def replay(coupons: Coupons, event_id: str, ids: Sequence[str]) -> int:
    """Back into the outbox, each in one step; how many were there."""
    done = await outbox(coupons.hub, event_id).replay(_ids(ids))
    await _mark(coupons, event_id, ids, "replayed")
    return done


async def discard(coupons: Coupons, event_id: str, ids: Sequence[str]) -> int:
    """Delete them for good; how many were there."""
    done = await outbox(coupons.hub, event_id).drop(_ids(ids))
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
        "payload": payload(letter),
        "deliveries": letter.deliveries,
        "first_ms": letter.first_ms,
        "last_ms": letter.last_ms,
        "state": "waiting",
    }


def _note(rows: Sequence[dict[str, Any]], connection: sa.Connection) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(dead_letters).on_conflict_do_nothing(), rows)


def payload(letter: DeadLetter) -> str:
    """Its fields as JSON; bytes that are no text are escaped."""
    return json.dumps(
        {
            name.decode(errors="backslashreplace"): value.decode(errors="backslashreplace")
            for name, value in letter.fields.items()
        }
    )


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
