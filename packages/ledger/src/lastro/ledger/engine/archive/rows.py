"""Segments of the log as rows of the archive: written, read, taken out. Each function is part of a transaction."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lastro.ledger.model.records import Transfer
from lastro.ledger.model.stored import LOG_SEGMENT

from .schema import transfers

SEGMENT_BYTES = LOG_SEGMENT * 128
PLACE = transfers.c.place


def write(connection: sa.Connection, ledger: str, number: int, found: Sequence[Transfer]) -> None:
    """A segment's transfers; those that are there stay as they are."""
    rows = [
        {
            "ledger": ledger,
            "place": number * LOG_SEGMENT + at,
            "transfer_id": str(each.id),
            "debit_account_id": str(each.debit_account_id),
            "credit_account_id": str(each.credit_account_id),
            "amount": str(each.amount),
            "pending_id": str(each.pending_id),
            "ledger_number": each.ledger,
            "code": each.code,
            "flags": each.flags,
            "timestamp_ns": each.timestamp,
            "record": each.encode(),
        }
        for at, each in enumerate(found)
    ]
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    once = dialect.insert(transfers).on_conflict_do_nothing(index_elements=["ledger", "place"])
    connection.execute(once, rows)


def read(connection: sa.Connection, ledger: str, number: int) -> bytes:
    """The records of a segment; less than a whole one, or nothing, when they are not all there."""
    chosen = sa.select(transfers.c.record).where(_of(ledger, number, number)).order_by(PLACE)
    return b"".join(connection.execute(chosen).scalars())


def last(connection: sa.Connection, ledger: str, below: int | None, count: int) -> dict[int, bytes]:
    """The records of the last segments that have rows, of those before ``below`` if that is given; downwards.

    Looks at ``count`` numbers, from the last one that has rows: so there may be fewer, and none when nothing is left.
    """
    mine = transfers.c.ledger == ledger
    if below is not None:
        mine &= below * LOG_SEGMENT > PLACE
    place = connection.execute(sa.select(sa.func.max(PLACE)).where(mine)).scalar()
    if place is None:
        return {}
    newest = int(place) // LOG_SEGMENT
    chosen = sa.select(PLACE, transfers.c.record).where(_of(ledger, max(0, newest + 1 - count), newest))
    found: dict[int, list[bytes]] = {}
    for at, record in connection.execute(chosen.order_by(PLACE)):
        found.setdefault(at // LOG_SEGMENT, []).append(record)
    return {number: b"".join(found[number]) for number in reversed(found)}


def delete(connection: sa.Connection, ledger: str, numbers: Sequence[int]) -> None:
    """These segments. Until the transaction ends nobody writes rows in their places."""
    for number in numbers:
        connection.execute(sa.delete(transfers).where(_of(ledger, number, number)))


def _of(ledger: str, first: int, last: int) -> sa.ColumnElement[bool]:
    return (transfers.c.ledger == ledger) & PLACE.between(first * LOG_SEGMENT, (last + 1) * LOG_SEGMENT - 1)
