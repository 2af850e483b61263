"""Bring the tables to a version: Alembic, without its command line."""

import asyncio
import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from sqlalchemy import exc

from lastro.core.errors import Invalid

from . import Database, DatabaseAway

ONE_AT_A_TIME = 0x4C617374  # "Last": the advisory lock that migrating processes take


@dataclass(frozen=True, slots=True)
class Tables:
    """A domain's tables: the package that has its ``migrations``, and what the newest of them is called."""

    package: str
    head: str
    versions: str = "alembic_version"
    """The table that notes the version: several domains may share a database."""


def upgrade(database: Database, tables: Tables, version: str = "head") -> str:
    """Up to this version; several processes may do it at once. The version it is at."""
    if version == "head" and _at(database, tables) == tables.head:
        return tables.head  # Alembic itself takes longer to import than to work
    return _move(database, tables, "upgrade", version)


def downgrade(database: Database, tables: Tables, version: str = "base") -> str:
    """Down to this version: what newer ones made is dropped."""
    return _move(database, tables, "downgrade", version)


def run(connection: sa.Connection, metadata: sa.MetaData, versions: str) -> None:
    """What a domain's ``migrations/env.py`` does: run the steps on the connection, and in the transaction, given."""
    from alembic import context

    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=versions,
        render_as_batch=True,  # SQLite alters a table by making it anew
    )
    context.run_migrations()


def _at(database: Database, tables: Tables) -> str:
    def read(connection: sa.Connection) -> str:
        try:
            return str(connection.execute(sa.text(f"SELECT version_num FROM {tables.versions}")).scalar())  # noqa: S608  # ours
        except (exc.ProgrammingError, exc.OperationalError) as error:
            raise DatabaseAway(reason="no tables yet") from error

    try:
        return database.run_here(read)
    except DatabaseAway:
        return ""  # or it is really away: then moving says so


def _move(database: Database, tables: Tables, way: Literal["upgrade", "downgrade"], version: str) -> str:
    logging.getLogger("alembic").setLevel(logging.WARNING)  # each step it takes is no news to an operator
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.util import CommandError

    def moved(connection: sa.Connection) -> str:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ONE_AT_A_TIME})
        config = Config()
        config.set_main_option("script_location", str(files(tables.package).joinpath("migrations")))
        config.attributes["connection"] = connection
        try:
            (command.upgrade if way == "upgrade" else command.downgrade)(config, version)
        except CommandError as error:
            raise Invalid(field="version", reason=str(error)) from None
        context = MigrationContext.configure(connection, opts={"version_table": tables.versions})
        return context.get_current_revision() or "base"

    with _one_process(database) if database.dialect == "sqlite" else nullcontext():
        return database.run_here(moved)


@contextmanager
def _one_process(database: Database) -> Iterator[None]:
    """SQLite takes its own lock with BEGIN IMMEDIATE; creating the file is what two may not do at once."""
    path = Path(f"{database.engine.url.database}.migrating")
    try:
        held = path.open("w")
    except OSError as error:  # its disk is full
        raise DatabaseAway(reason=str(error)) from error
    with held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(held, fcntl.LOCK_UN)


_shared: dict[tuple[str, str], Database] = {}


async def opened(url: str, timeout_seconds: float, setting: str, tables: Tables) -> Database:
    """This process's database of that URL, its tables at their newest version: for engines made as they are needed."""
    known = _shared.get((url, tables.package))
    if known is None:
        known = Database(url, timeout_seconds, setting)
        await asyncio.to_thread(upgrade, known, tables)
        kept = _shared.setdefault((url, tables.package), known)
        if kept is not known:  # two came at once
            await known.aclose()
        return kept
    return known


async def close_all() -> None:
    """Close what ``opened`` opened, at the end of a test, or of a program that goes on without it."""
    while _shared:
        await _shared.popitem()[1].aclose()
