"""A database: where what Redis need not hold lives on. SQLite needs nothing; PostgreSQL is the real one.

Every act is one transaction in a thread of its own. Its failures are ours: DatabaseAway may pass by itself, anything
about the row is DatabaseRefused.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import make_url

from lastro.core.errors import Busy, Fault, LastroError, Misconfigured

Answer = TypeVar("Answer")

POOL = 8
PERMANENT_CLASSES = ("22", "23")
"""SQLSTATE: data exceptions and broken constraints are the row's fault. All others are the server's: they pass."""
UNIQUE_VIOLATION = "23505"


class DatabaseAway(Busy):
    """The database cannot take this now ({reason}); ask again in {retry_after_seconds} s."""

    code = "database.away"


class DatabaseRefused(Fault):
    """The database refuses this for what it is: {reason}."""

    code = "database.refused"


@dataclass(eq=False)
class Database:
    """Connects when it is first used."""

    url: str
    timeout_seconds: float
    setting: str = "database URL"
    """The variable that names it, for whoever gave a wrong one."""
    _engine: sa.Engine | None = None
    _making: Lock = field(default_factory=Lock)

    @property
    def dialect(self) -> str:
        """Which of the two: postgresql or sqlite."""
        return self.engine.dialect.name

    @property
    def engine(self) -> sa.Engine:
        """SQLAlchemy's. Raises Misconfigured."""
        with self._making:
            if self._engine is None:
                self._engine = _engine(self.url, self.timeout_seconds, self.setting)
            return self._engine

    async def run(self, act: Callable[[sa.Connection], Answer]) -> Answer:
        """An act in a transaction; once more, from its start, if it collided. Raises DatabaseAway, DatabaseRefused."""
        return await asyncio.to_thread(self.run_here, act)

    def run_here(self, act: Callable[[sa.Connection], Answer]) -> Answer:
        """The same, in this thread."""
        try:
            return self._once(act)
        except DatabaseRefused as refused:
            if not refused.about["collision"]:
                raise
        # PostgreSQL's ON CONFLICT looks at one constraint: a transaction that was just committing the same row breaks
        # the others. Now that it is committed the row is seen, or the collision is real and comes again.
        return self._once(act)

    def _once(self, act: Callable[[sa.Connection], Answer]) -> Answer:
        try:
            with self.engine.begin() as connection:
                return act(connection)
        except exc.DBAPIError as error:
            raise ours(error) from error
        except (OverflowError, UnicodeError) as error:  # the driver could not even send it
            raise DatabaseRefused(reason=str(error), collision=False) from error
        except (exc.TimeoutError, exc.PendingRollbackError, OSError) as error:
            raise DatabaseAway(reason=str(error) or type(error).__name__) from error

    async def aclose(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            await asyncio.to_thread(self._engine.dispose)


def ours(error: exc.DBAPIError) -> LastroError:
    """Whose fault it is."""
    words = str(error.orig).strip().partition("\n")[0]
    state = getattr(error.orig, "sqlstate", None) or ""
    if isinstance(error, exc.IntegrityError | exc.DataError) or state[:2] in PERMANENT_CLASSES:
        collision = state == UNIQUE_VIOLATION or "UNIQUE constraint" in words
        return DatabaseRefused(reason=words, collision=collision)
    return DatabaseAway(reason=words)


def _engine(url: str, timeout_seconds: float, setting: str) -> sa.Engine:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        if backend == "sqlite":
            return _sqlite(parsed, timeout_seconds)
        if backend == "postgresql":
            options = {"connect_timeout": max(2, round(timeout_seconds))}
            return sa.create_engine(
                parsed, pool_size=POOL, pool_timeout=timeout_seconds, pool_pre_ping=True, connect_args=options
            )
    except (exc.ArgumentError, ImportError) as error:
        raise Misconfigured(setting=setting, reason=str(error)) from None
    raise Misconfigured(setting=setting, reason=f"sqlite or postgresql, not {backend}")


def _sqlite(url: sa.URL, timeout_seconds: float) -> sa.Engine:
    assert url.database, "a database of several processes is a file"
    Path(url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = sa.create_engine(
        url, pool_size=POOL, pool_timeout=timeout_seconds, connect_args={"timeout": timeout_seconds}
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's BEGIN below, not the driver's
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # a lock that is upgraded later fails at once, without waiting

    return engine
