"""Bring the tables to a version: Alembic, without its command line."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.resources import files
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from sqlalchemy import exc

from lastro.coupons.errors import DatabaseAway

from . import Database

HEAD = "0002"
ONE_AT_A_TIME = 0x4C617374  # "Last": the advisory lock that migrating processes take


def upgrade(database: Database, version: str = "head") -> str:
    """Up to this version; several processes may do it at once. The version it is at."""
    if version == "head" and _at(database) == HEAD:
        return HEAD  # Alembic itself takes longer to import than to work
    return _move(database, "upgrade", version)


def downgrade(database: Database, version: str = "base") -> str:
    """Down to this version: what newer ones made is dropped."""
    return _move(database, "downgrade", version)


def _at(database: Database) -> str:
    def read(connection: sa.Connection) -> str:
        try:
            return str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar())
        except (exc.ProgrammingError, exc.OperationalError) as error:
            raise DatabaseAway(reason="no tables yet") from error

    try:
        return database.run_here(read)
    except DatabaseAway:
        return ""  # or it is really away: then moving says so


def _move(database: Database, way: Literal["upgrade", "downgrade"], version: str) -> str:
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext

    logging.getLogger("alembic").setLevel(logging.WARNING)  # each step it takes is no news to an operator

    def moved(connection: sa.Connection) -> str:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ONE_AT_A_TIME})
        config = Config()
        config.set_main_option("script_location", str(files(__package__).joinpath("migrations")))
        config.attributes["connection"] = connection
        (command.upgrade if way == "upgrade" else command.downgrade)(config, version)
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
