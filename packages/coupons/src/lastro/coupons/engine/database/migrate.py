"""Bring the tables to a version: Alembic, without its command line."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.resources import files
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext

from . import Database

ONE_AT_A_TIME = 0x4C617374  # "Last": the advisory lock that migrating processes take


def upgrade(database: Database, version: str = "head") -> str:
    """Up to this version; several processes may do it at once. The version it is at."""
    return _move(database, lambda config: command.upgrade(config, version))


def downgrade(database: Database, version: str = "base") -> str:
    """Down to this version: what newer ones made is dropped."""
    return _move(database, lambda config: command.downgrade(config, version))


def _move(database: Database, act: Callable[[Config], None]) -> str:
    def moved(connection: sa.Connection) -> str:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ONE_AT_A_TIME})
        config = Config()
        config.set_main_option("script_location", str(files(__package__).joinpath("migrations")))
        config.attributes["connection"] = connection
        act(config)
        return MigrationContext.configure(connection).get_current_revision() or "base"

    with _one_process(database) if database.dialect == "sqlite" else nullcontext():
        return database.run_here(moved)


@contextmanager
def _one_process(database: Database) -> Iterator[None]:
    """SQLite takes its own lock with BEGIN IMMEDIATE; creating the file is what two may not do at once."""
    path = Path(f"{database.engine.url.database}.migrating")
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(held, fcntl.LOCK_UN)
