"""The archive: stories of final payments and returns in a database, for lookups when the store has only a mark."""

from collections.abc import Callable, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lastro.core.clock import now_ms
from lastro.core.database import Database
from lastro.core.database.migrate import Tables, opened
from lastro.pix.engine.pix import Pix
from lastro.pix.model.record import Record

from .schema import payments

TABLES = Tables(__name__, head="0002", versions="pix_version")
PAGE = 500  # SQLite takes 32,766 values in a statement


async def write(pix: Pix, found: Sequence[tuple[str, str]]) -> None:
    """Ids and records, each once; after this a record may be shortened. A later one of the same id replaces it."""
    database = await _database(pix)
    assert database is not None, "who writes has looked whether there is an archive"
    rows = []
    for id_, line in found:
        record = Record.parse(id_, line)
        about = {"payer": record.payer, "payee": record.payee, "cents": record.cents, "final_ms": record.final_ms}
        rows.append({"engine": pix.keys.tag, "id": id_, "record": line, "archived_ms": now_ms(), **about})

    def act(connection: sa.Connection) -> None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        added = dialect.insert(payments)
        same = {name: added.excluded[name] for name in ("record", "payer", "payee", "cents", "final_ms")}
        connection.execute(added.on_conflict_do_update(index_elements=["engine", "id"], set_=same), rows)

    await database.run(act)


async def find(pix: Pix, payment_id: str) -> Record | None:
    """A record by its id; None when it is not there, or there is no archive."""
    database = await _database(pix)
    if database is None:
        return None
    query = sa.select(payments.c.record).where(payments.c.engine == pix.keys.tag, payments.c.id == payment_id)
    line = await database.run(lambda connection: connection.execute(query).scalar())
    return None if line is None else Record.parse(payment_id, line)


async def missing(pix: Pix, marks: Sequence[Record]) -> list[Record]:
    """Which of these, shortened in the store, are not in the archive as they were."""
    database = await _database(pix)
    lost = []
    for at in range(0, len(marks), PAGE):
        page = marks[at : at + PAGE]
        there = await database.run(_cents(pix, [mark.id for mark in page])) if database is not None else {}
        lost += [mark for mark in page if there.get(mark.id) != mark.cents]
    return lost


async def _database(pix: Pix) -> Database | None:
    """None when there is no archive. Raises DatabaseAway."""
    if pix.settings.archive_url is None:
        return None
    url, seconds = pix.settings.archive_url.get_secret_value(), pix.settings.archive_timeout_seconds
    return await opened(url, seconds, "LASTRO_PIX_ARCHIVE_URL", TABLES)


def _cents(pix: Pix, ids: Sequence[str]) -> Callable[[sa.Connection], dict[str, int]]:
    query = sa.select(payments.c.id, payments.c.cents).where(payments.c.engine == pix.keys.tag, payments.c.id.in_(ids))
    return lambda connection: {row.id: row.cents for row in connection.execute(query)}
