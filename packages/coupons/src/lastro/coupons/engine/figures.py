"""How an event goes."""

from dataclasses import dataclass

import sqlalchemy as sa

from . import Coupons
from .database.schema import issuances
from .outbox import outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How one event goes."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  # OpenAPI says of its fields what it says

    event_id: str
    state: str
    total: int
    stock: int
    issued: int
    returned: int
    per_second: float
    """Issued, on average from the first to the last; 0 while they are of one moment."""
    on_their_way: int
    """Issued and not yet in the database."""
    dead: int
    by_status: dict[str, int]
    """In the database."""


async def figures(coupons: Coupons, event_id: str) -> Figures:
    """Of an event. Raises UnknownEvent, DatabaseAway."""
    event = await coupons.event(event_id)
    queue = await outbox(coupons.hub, event_id).members.measure()
    status, issued_ms, count = issuances.c.status, issuances.c.issued_ms, sa.func.count()
    of_event = issuances.c.event_id == event_id

    def read(connection: sa.Connection) -> tuple[dict[str, int], int, int]:
        grouped = sa.select(status, count).where(of_event).group_by(status)
        ends = connection.execute(sa.select(sa.func.min(issued_ms), sa.func.max(issued_ms)).where(of_event)).one()
        return {row[0]: row[1] for row in connection.execute(grouped)}, ends[0] or 0, ends[1] or 0

    by_status, first, last = await coupons.database.run(read)
    return Figures(
        event_id=event_id,
        state=event.state,
        total=event.total,
        stock=max(0, event.stock),
        issued=event.issued,
        returned=event.returned,
        per_second=round(event.issued / (last - first) * 1000, 1) if last > first else 0.0,
        on_their_way=queue.lag + queue.pending + queue.delayed,
        dead=queue.dead,
        by_status=by_status,
    )
