"""An act in a transaction, beside others."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from lastro.core.database import Database, DatabaseRefused
from lastro.core.testing.postgres import Database as Postgres

WRITE = sa.text("INSERT INTO rows VALUES (1, 'ana')")
THERE = sa.text("SELECT count(*) FROM rows WHERE id = 1")


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    one = Database(postgres.url, 5.0)
    one.run_here(lambda connection: connection.execute(sa.text("CREATE TABLE rows (id int UNIQUE, name text UNIQUE)")))
    yield one
    one.engine.dispose()


def test_a_row_that_another_was_just_writing_is_seen_by_a_second_try(database: Database) -> None:
    seen: list[int] = []

    def once(connection: sa.Connection) -> None:
        seen.append(int(connection.execute(THERE).scalar_one()))
        if seen == [0]:
            database.run_here(lambda other: other.execute(WRITE))
        if not seen[-1]:
            connection.execute(WRITE)

    database.run_here(once)
    assert seen == [0, 1]


def test_a_row_that_collides_again_is_refused(database: Database) -> None:
    tries: list[int] = []

    def write(connection: sa.Connection) -> None:
        tries.append(len(tries))
        connection.execute(WRITE)

    database.run_here(write)
    with pytest.raises(DatabaseRefused) as refused:
        database.run_here(write)
    assert refused.value.about["collision"]
    assert tries == [0, 1, 2]
