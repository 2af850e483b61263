"""An engine on each server, with a database of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias, TypeVar

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from pydantic import SecretStr

from lastro.core import local
from lastro.core.app import create_app
from lastro.core.database import migrate
from lastro.core.plugins import installed
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.testing.postgres import Database
from lastro.core.testing.web import served
from lastro.core.worker import Run
from lastro.coupons.engine import Coupons, events
from lastro.coupons.engine.database import TABLES
from lastro.coupons.engine.outbox import outbox
from lastro.coupons.engine.persist import Persister
from lastro.coupons.model.event import Plan
from lastro.coupons.settings import CouponsSettings

Opened: TypeAlias = Callable[..., Awaitable[str]]
Answer = TypeVar("Answer")


@pytest.fixture
def settings(tmp_path: Path) -> CouponsSettings:
    return CouponsSettings(database_url=SecretStr(f"sqlite:///{tmp_path}/coupons.sqlite"))


@pytest.fixture
async def coupons(hub: Hub, settings: CouponsSettings) -> AsyncIterator[Coupons]:
    engine = Coupons(hub, settings)
    await asyncio.to_thread(migrate.upgrade, engine.database, TABLES)
    yield engine
    await engine.aclose()


@pytest.fixture
async def on_postgres(hub: Hub, postgres: Database) -> AsyncIterator[Coupons]:
    engine = Coupons(hub, CouponsSettings(database_url=SecretStr(postgres.url)))
    await asyncio.to_thread(migrate.upgrade, engine.database, TABLES)
    yield engine
    await engine.aclose()


@pytest.fixture(params=["sqlite", "postgresql"])
async def here(
    request: pytest.FixtureRequest, hub: Hub, settings: CouponsSettings, postgres: Database
) -> AsyncIterator[Coupons]:
    """On each kind of database."""
    postgresql = CouponsSettings(database_url=SecretStr(postgres.url))
    engine = Coupons(hub, postgresql if request.param == "postgresql" else settings)
    await asyncio.to_thread(migrate.upgrade, engine.database, TABLES)
    yield engine
    await engine.aclose()


@pytest.fixture
def app(coupons: Coupons, server: local.Server, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.setenv("LASTRO_COUPONS_DATABASE_URL", coupons.settings.database)
    monkeypatch.setenv("LASTRO_COUPONS_USER_BURST", "4")
    monkeypatch.setenv("LASTRO_COUPONS_USER_PER_SECOND", "1")
    return create_app(
        installed("lastro.routers", "coupons"), Settings(redis_url=SecretStr(server.url), body_bytes_max=1_000)
    )


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with served(app) as web:
        yield web


async def opened(coupons: Coupons, event_id: str = "e", total: int = 2, **plan: object) -> str:
    """An event that gives coupons."""
    await events.create(coupons, Plan(event_id=event_id, total=total, **plan), opened=True)  # type: ignore[arg-type]
    return event_id


@asynccontextmanager
async def persisting(coupons: Coupons) -> AsyncIterator[Run]:
    """A worker that writes what is issued, until the end of the block."""
    run = Run(hub=coupons.hub, settings=Settings(grace_seconds=2))
    working = asyncio.create_task(Persister(coupons, run).persist())
    try:
        yield run
    finally:
        run.stopping.set()
        await working


async def drained(coupons: Coupons, event_id: str = "e", within_seconds: float = 60) -> None:
    """Until all that was issued is in the database, or dead."""

    async def done() -> bool:
        told = await outbox(coupons.hub, event_id).members.measure()
        return not (told.lag or told.pending or told.delayed)

    await wait_for(done, "the outbox to be empty", within_seconds)


async def persisted(coupons: Coupons, event_id: str = "e") -> None:
    """Write all that was issued so far."""
    async with persisting(coupons):
        await drained(coupons, event_id)


async def overtaken(
    coupons: Coupons,
    first: Callable[[sa.Connection], object],
    late: Coroutine[object, object, Answer],
    meanwhile: Callable[[], Awaitable[object]] | None = None,
) -> Answer:
    """What ``late`` answers, when it had to wait for a transaction that was not committed as it began (PostgreSQL).

    ``meanwhile`` is done while it waits.
    """
    written, goes_on = threading.Event(), threading.Event()

    def act(connection: sa.Connection) -> None:
        first(connection)
        written.set()
        goes_on.wait(60)

    async def waits() -> bool:
        blocked = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(await coupons.database.run(lambda connection: connection.execute(blocked).scalar()))

    async with asyncio.TaskGroup() as both:
        both.create_task(coupons.database.run(act))
        await wait_for(written.is_set, "the first to write")
        answer = both.create_task(late)
        try:
            await wait_for(waits, "the other to wait for it")
            if meanwhile is not None:
                await meanwhile()
        finally:
            goes_on.set()
    return answer.result()
