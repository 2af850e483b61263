"""Bringing archived transfers back: what a row waits for, and who must keep off meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from lastro.core import local
from lastro.core.clock import now_ms
from lastro.core.database import Database, migrate
from lastro.core.errors import Fault, OutcomeUnknown
from lastro.core.redis import Hub, connect_url
from lastro.core.testing import wait_for
from lastro.ledger import keys
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.archive import restore
from lastro.ledger.engine.archive.schema import transfers
from lastro.ledger.engine.check import check
from lastro.ledger.model.records import Account, Transfer
from lastro.ledger.model.stored import LOG_SEGMENT
from lastro.ledger.settings import LedgerSettings

pytestmark = pytest.mark.anyio

MARK = keys.restored("main")
FILE_ON_DISK = ("--appendonly", "yes", "--appendfsync", "always")
FILE_NEVER_SURE = ("--appendonly", "yes", "--appendfsync", "no")


@pytest.fixture
async def hub(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Hub]:
    """Of a server of its own, with these options."""
    server = local.start(tmp_path / "server", durability="no", options=request.param)
    try:
        async with await connect_url(server.url) as made:
            yield made
    finally:
        server.stop()


@pytest.fixture
async def ledger(hub: Hub, tmp_path: Path) -> AsyncIterator[Ledger]:
    """Two of its segments are in the archive, on SQLite: there who reads it needs its lock, too."""
    url = SecretStr(f"sqlite:///{tmp_path}/archive.sqlite")
    made = Ledger(hub, LedgerSettings(archive_url=url, archive_after_seconds=0, archive_timeout_seconds=0.5))
    await made.create_accounts([Account(id=n, ledger=1, code=1) for n in (1, 2)])
    one = partial(Transfer, debit_account_id=1, credit_account_id=2, amount=1, ledger=1, code=1)
    await made.create_transfers([one(id=n) for n in range(1, 2 * LOG_SEGMENT + 10)])
    assert await made.archive.archive() == 2
    yield made
    await migrate.close_all()


@pytest.fixture
async def database(ledger: Ledger) -> AsyncIterator[Database]:
    assert ledger.settings.archive_url is not None
    made = Database(ledger.settings.archive_url.get_secret_value(), 0.5)
    yield made
    await made.aclose()


async def rows_left(database: Database) -> int:
    return await database.run(lambda c: int(c.execute(sa.select(sa.func.count(transfers.c.place))).scalar() or 0))


async def back_in_the_store(ledger: Ledger, back: asyncio.Task[int]) -> None:
    """When the first segment, which comes last, is there."""
    first = keys.log("main", "transfers", 0)

    async def there() -> bool:
        return back.done() or bool(await ledger.hub.read.exists(first))

    await wait_for(there, "the first segment")


async def waiting_for_the_disk(ledger: Ledger, back: asyncio.Task[int]) -> None:
    server: Any = ledger.hub.read

    async def waits() -> bool:
        return back.done() or bool((await server.info("clients"))["blocked_clients"])

    await wait_for(waits, "the wait for the disk")


@pytest.mark.parametrize("hub", [FILE_NEVER_SURE], indirect=True)
async def test_while_it_waits_for_the_disk_the_archive_is_read(ledger: Ledger, database: Database) -> None:
    back = asyncio.create_task(ledger.archive.unarchive())
    await waiting_for_the_disk(ledger, back)
    assert await rows_left(database) == 2 * LOG_SEGMENT
    assert not back.done()
    with pytest.raises(OutcomeUnknown):
        await back
    assert await rows_left(database) == 2 * LOG_SEGMENT


@pytest.mark.parametrize("hub", [FILE_ON_DISK], indirect=True)
@pytest.mark.parametrize(("in_a_round", "waits"), [(1, 2), (2, 1)])
async def test_a_round_waits_for_the_disk_once(
    ledger: Ledger, database: Database, monkeypatch: pytest.MonkeyPatch, in_a_round: int, waits: int
) -> None:
    monkeypatch.setattr(restore, "TURN", 1)
    monkeypatch.setattr(restore, "ROUND", in_a_round)
    server: Any = ledger.hub.write
    assert await ledger.archive.unarchive() == 2
    assert (await server.info("commandstats"))["cmdstat_waitaof"]["calls"] == waits
    assert await rows_left(database) == 0
    assert await check(ledger) == []


@pytest.mark.parametrize("hub", [(*FILE_ON_DISK, "--rename-command", "WAITAOF", "")], indirect=True)
async def test_where_nobody_can_be_asked_rows_stay_as_long_as_everysec_may_lose_them(
    ledger: Ledger, database: Database
) -> None:
    """Servers before 7.2 know no WAITAOF."""
    back = asyncio.create_task(ledger.archive.unarchive())
    await back_in_the_store(ledger, back)
    began = time.monotonic()
    assert await rows_left(database) == 2 * LOG_SEGMENT
    assert await back == 2
    assert time.monotonic() - began > restore.EVERYSEC_SECONDS / 2  # it began before we looked
    assert await rows_left(database) == 0


@pytest.mark.parametrize("hub", [FILE_ON_DISK], indirect=True)
async def test_a_refused_write_is_not_on_the_disk(hub: Hub) -> None:
    """WAITAOF of a connection that wrote nothing answers at once."""
    client: Any = hub.write
    await client.rpush(MARK, "of another type")
    with pytest.raises(Fault, match="WRONGTYPE"):
        await restore.synced(hub, MARK)


@pytest.mark.parametrize("hub", [FILE_NEVER_SURE], indirect=True)
async def test_who_brings_back_deletes_nothing_when_its_mark_is_gone(ledger: Ledger, database: Database) -> None:
    """Who took it away may have archived again what is back."""
    server: Any = ledger.hub.write
    back = asyncio.create_task(ledger.archive.unarchive())
    await waiting_for_the_disk(ledger, back)
    await restore.close(ledger.hub, "main")
    await server.config_set("appendfsync", "always")
    await server.set("other", "")  # goes to the disk now, and all before it
    with pytest.raises(Fault, match="somebody else brings back segments of ledger main"):
        await back
    assert await rows_left(database) == 2 * LOG_SEGMENT


@pytest.mark.parametrize("hub", [()], indirect=True)
async def test_who_archives_keeps_off_while_segments_come_back_unless_nobody_is_there_any_more(
    ledger: Ledger,
) -> None:
    client: Any = ledger.hub.write
    assert await ledger.archive.unarchive() == 2
    mover = Ledger(ledger.hub, ledger.settings).archive
    await client.set(MARK, f"open {now_ms() - 1_000 * restore.LIFE_SECONDS + 60_000} token")
    assert [await mover.archive(), await mover.archive()] == [0, 0]
    await client.set(MARK, f"open {now_ms() - 1_000 * restore.LIFE_SECONDS - 1} token")
    assert [await mover.archive(), await mover.archive()] == [0, 2]


@pytest.mark.parametrize("hub", [()], indirect=True)
async def test_a_worker_that_lives_archives_again_what_came_back(ledger: Ledger) -> None:
    worker = ledger.archive
    assert await worker.archive() == 0
    assert await Ledger(ledger.hub, ledger.settings).archive.unarchive() == 2
    assert await worker.archive() == 2
    assert await check(ledger) == []
