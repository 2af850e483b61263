"""Old transfers in a database: every answer is what it was before, duplicates' included."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from lastro.core.app import create_app
from lastro.core.database import Database, migrate
from lastro.core.errors import Busy, Fault, OutcomeUnknown
from lastro.core.local import Server
from lastro.core.plugins import installed
from lastro.core.redis import Hub, connect_url
from lastro.core.redis.copies import Copies
from lastro.core.settings import Settings
from lastro.core.testing.web import served
from lastro.ledger import keys, scripts
from lastro.ledger.engine import Ledger, archive
from lastro.ledger.engine.archive import TABLES
from lastro.ledger.engine.archive.schema import METADATA, transfers
from lastro.ledger.engine.check import check
from lastro.ledger.errors import TooMuchData
from lastro.ledger.model.codes import AccountFlag, TransferFlag
from lastro.ledger.model.records import Account, AccountFilter, Outcome, QueryFilter, Transfer
from lastro.ledger.model.stored import LOG_SEGMENT, STATUSES
from lastro.ledger.settings import LedgerSettings

# the strictest server is enough: scripts are tested on all of them
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["cluster"], indirect=True)]

COUNT = 2 * LOG_SEGMENT + 100
OLD = 500  # in the first segment


def paying(number: int, **changes: Any) -> Transfer:
    made = {
        "id": number,
        "debit_account_id": 1 + number % 2,
        "credit_account_id": 3,
        "amount": 7,
        "ledger": 1,
        "code": 1,
    }
    return Transfer(**made | changes)


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"])
def archive_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/archive.sqlite"
    return str(request.getfixturevalue("postgres").url)


@pytest.fixture
async def twins(hub: Hub, archive_url: str) -> AsyncIterator[tuple[Ledger, Ledger]]:
    """Two ledgers with the same past; the first has archived two segments of it."""
    made = (
        Ledger(hub, LedgerSettings(archive_url=SecretStr(archive_url), archive_after_seconds=0), name="archived"),
        Ledger(hub, LedgerSettings(), name="whole"),
    )
    for ledger in made:
        await ledger.create_accounts([Account(id=n, ledger=1, code=1, flags=AccountFlag.HISTORY) for n in (1, 2, 3)])
        events = [paying(number) for number in range(1, COUNT + 1)]
        events[OLD - 1] = paying(OLD, flags=TransferFlag.PENDING, amount=50)
        events[OLD] = paying(OLD + 1, flags=TransferFlag.POST_PENDING_TRANSFER, pending_id=OLD, amount=20)
        for field in ("debit_account_id", "credit_account_id"):
            object.__setattr__(events[OLD], field, 0)
        assert all(one.ok for one in await ledger.create_transfers(events))
    assert await made[0].archive.archive() == 2
    yield made
    await migrate.close_all()


def said(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def told(found: list[Transfer]) -> list[Transfer]:
    """Without when: two ledgers have clocks of their own."""
    return [
        Transfer(**{name: getattr(one, name) for name in Transfer.__slots__ if name != "timestamp"}) for one in found
    ]


async def segments(ledger: Ledger) -> list[bool]:
    return [bool(await ledger.hub.read.exists(keys.log(ledger.name, "transfers", n))) for n in range(3)]


async def test_what_is_archived_is_gone_from_the_store_and_found_by_id_by_account_and_by_query(
    twins: tuple[Ledger, Ledger],
) -> None:
    archived, whole = twins
    assert await segments(archived) == [False, False, True]
    assert told([await archived.transfer(3)]) == told([await whole.transfer(3)])
    ids = [1, OLD, OLD + 1, LOG_SEGMENT + 9, COUNT, COUNT + 1]
    assert told(await archived.lookup_transfers(ids)) == told(await whole.lookup_transfers(ids))
    of = AccountFilter(account_id=1, limit=8_000, flags=3)
    assert told(await archived.get_account_transfers(of)) == told(await whole.get_account_transfers(of))
    query = QueryFilter(limit=8_000)
    found = told(await archived.query_transfers(query))
    assert len(found) == COUNT
    assert found == told(await whole.query_transfers(query))
    assert await segments(archived) == [False, False, True]  # what was only read did not stay


async def test_what_writing_needs_of_the_archive_stays_for_a_minute(twins: tuple[Ledger, Ledger]) -> None:
    """Whoever reads meanwhile leaves it, and so what is there for good."""
    archived, _ = twins
    assert (await archived.create_transfer(paying(3))).status == "exists"
    assert len(await archived.query_transfers(QueryFilter(limit=8_000))) == COUNT
    assert await segments(archived) == [True, False, True]
    assert 0 < await archived.hub.read.ttl(keys.log("archived", "transfers", 0)) <= 60
    for number in range(3):
        await archived.archive.release(number)
    assert await segments(archived) == [False, False, True]


async def test_a_query_brings_back_so_many_segments_and_no_more(
    hub: Hub, archive_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many calls it takes; none of them stays, nor do they all come at once."""
    settings = LedgerSettings(archive_url=SecretStr(archive_url), archive_after_seconds=0, batch_max=4_000)
    ledger = Ledger(hub, settings)
    await ledger.create_accounts([Account(id=n, ledger=1, code=1) for n in (1, 2, 3)])
    await ledger.create_transfers([paying(number) for number in range(1, 13 * LOG_SEGMENT)])
    assert await ledger.archive.archive() == 12
    nobody_s = QueryFilter(ledger=2)

    async def back() -> list[int]:
        return [n for n in range(12) if await hub.read.exists(keys.log("main", "transfers", n))]

    async with asyncio.TaskGroup() as group:
        query = group.create_task(ledger.query_transfers(nobody_s))
        most = 0
        while not query.done():
            most = max(most, len(await back()))
    assert query.result() == []
    assert 1 < most < 12
    monkeypatch.setattr(archive, "FETCHED_MAX", 11)
    with pytest.raises(TooMuchData):
        await ledger.query_transfers(nobody_s)
    assert await back() == []
    await migrate.close_all()


@pytest.mark.parametrize("batch", [1, 1_000])
async def test_a_duplicate_of_an_archived_transfer_is_answered_as_ever(
    twins: tuple[Ledger, Ledger], batch: int
) -> None:
    """New ones and old ones in one request, each by its own rule, and none of them twice."""
    new = COUNT + 1
    events = [
        *(paying(number) for number in range(new, new + 200)),
        paying(5),
        paying(6, amount=8),
        paying(LOG_SEGMENT + 7, debit_account_id=3, credit_account_id=1),
        paying(OLD, flags=TransferFlag.PENDING, amount=50),
        Transfer(id=OLD + 1, pending_id=OLD, amount=20, flags=TransferFlag.POST_PENDING_TRANSFER),
        Transfer(id=new + 500, pending_id=OLD, amount=20, flags=TransferFlag.POST_PENDING_TRANSFER),
        Transfer(id=new + 501, pending_id=9, flags=TransferFlag.VOID_PENDING_TRANSFER),
        paying(new + 502, flags=TransferFlag.LINKED),
        paying(8, code=2),
        *(paying(number) for number in range(new + 600, new + 700)),
    ]
    answers = []
    for ledger in twins:
        if batch == 1:
            answers.append([(await ledger.create_transfer(event)).status for event in events])
        else:
            answers.append(said(await ledger.create_transfers(events)))
    assert answers[0] == answers[1]
    assert {"exists", "exists_with_different_amount", "pending_transfer_already_posted"} <= set(answers[0])
    for one, other in zip(*[await ledger.lookup_accounts([1, 2, 3]) for ledger in twins], strict=True):
        assert (one.debits_posted, one.credits_posted, one.debits_pending) == (
            other.debits_posted, other.credits_posted, other.debits_pending,
        )  # fmt: skip
    for ledger in twins:
        assert await check(ledger) == []


async def test_an_imported_account_among_archived_transfers_is_created_as_ever(twins: tuple[Ledger, Ledger]) -> None:
    """Alone as in a batch: what its time must differ from may be archived."""
    for ledger in twins:
        first = (await ledger.account(3)).timestamp
        late = Account(id=9, ledger=1, code=1, flags=AccountFlag.IMPORTED, timestamp=first + 1)
        assert [(await ledger.create_account(late)).status for _ in range(2)] == ["ok", "exists"]


async def test_what_is_pending_keeps_its_segment_in_the_store_until_it_is_final(hub: Hub, archive_url: str) -> None:
    ledger = Ledger(hub, LedgerSettings(archive_url=SecretStr(archive_url), archive_after_seconds=0))
    await ledger.create_accounts([Account(id=n, ledger=1, code=1) for n in (1, 2, 3)])
    await ledger.create_transfer(paying(1, flags=TransferFlag.PENDING))
    await ledger.create_transfers([paying(number) for number in range(2, COUNT)])
    mover = ledger.archive
    assert await mover.archive() == 1  # the second segment
    await ledger.create_transfer(ledger.posting(1, COUNT))
    assert await mover.archive() == 1
    assert await check(ledger) == []
    await migrate.close_all()


async def test_behind_reservations_that_nobody_settles_the_archive_goes_on_and_reads_them_once(
    hub: Hub, archive_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LOOK", 4)  # else this takes more than 500 segments
    waiting, final = 2 * archive.TURN, 3
    ledger = Ledger(hub, LedgerSettings(archive_url=SecretStr(archive_url), archive_after_seconds=0))
    await ledger.create_accounts([Account(id=n, ledger=1, code=1) for n in (1, 2, 3)])
    events = [paying(number) for number in range(1, (waiting + final) * LOG_SEGMENT + 9)]
    for number in range(waiting):
        events[number * LOG_SEGMENT] = paying(number * LOG_SEGMENT + 1, flags=TransferFlag.PENDING)
    await ledger.create_transfers(events)
    mover = ledger.archive
    moved = [await mover.archive() for _ in range(4)]
    assert sum(moved) == final
    before: Any = await hub.read.info()
    assert await mover.archive() + await mover.archive() == 0
    after: Any = await hub.read.info()
    assert after["total_net_output_bytes"] - before["total_net_output_bytes"] < LOG_SEGMENT * 128
    await ledger.create_transfer(ledger.posting(1, len(events) + 1))
    assert sum([await mover.archive() for _ in range(waiting)]) == 1
    assert await check(ledger) == []
    await migrate.close_all()


async def test_a_segment_that_the_archive_refuses_stays_and_the_others_go(hub: Hub, archive_url: str) -> None:
    """An older archive may have a transfer at another place: that is for an operator, and stops no worker."""
    ledger = Ledger(hub, LedgerSettings(archive_url=SecretStr(archive_url), archive_after_seconds=0))
    await ledger.create_accounts([Account(id=n, ledger=1, code=1) for n in (1, 2, 3)])
    await ledger.create_transfers([paying(number) for number in range(1, COUNT)])
    twice: dict[str, Any] = dict.fromkeys(transfers.c.keys(), "1") | dict.fromkeys(
        ("code", "flags", "ledger_number"), 1
    )
    twice |= {"ledger": "main", "place": 10**9, "transfer_id": "5", "timestamp_ns": 1, "record": b""}
    assert await ledger.archive.archive() == 2
    assert await ledger.archive.unarchive() == 2
    database = Database(archive_url, 5)
    await database.run(lambda c: c.execute(sa.insert(transfers), [twice]))
    mover = ledger.archive
    assert [await mover.archive(), await mover.archive()] == [1, 0]
    await database.run(lambda c: c.execute(sa.delete(transfers).where(transfers.c.place == 10**9)))
    assert await mover.archive() == 1
    await database.aclose()
    await migrate.close_all()


async def test_a_segment_with_a_place_that_was_lost_in_a_failover_stays_until_it_is_taken_again(
    hub: Hub, archive_url: str
) -> None:
    ledger = Ledger(hub, LedgerSettings(archive_url=SecretStr(archive_url), archive_after_seconds=0))
    await ledger.create_accounts([Account(id=n, ledger=1, code=1) for n in (1, 2, 3)])
    await ledger.create_transfers([paying(number) for number in range(1, LOG_SEGMENT + 2)])
    at, lost = keys.log(ledger.archive.name, "transfers", 0), 128
    whole: Any = await hub.read.get(at)
    await hub.write.setrange(at, len(whole) - lost, bytes(lost))
    assert await ledger.archive.archive() == 0
    await hub.write.setrange(at, len(whole) - lost, whole[-lost:])
    assert await ledger.archive.archive() == 1
    assert await ledger.archive.unarchive() == 1
    await migrate.close_all()


async def test_what_is_young_stays_and_so_does_what_has_no_copy_yet(hub: Hub, archive_url: str) -> None:
    """After a failover the archive must not have transfers that never were, at places that others take then."""
    old = LedgerSettings(archive_url=SecretStr(archive_url), archive_after_seconds=0)
    ledger = Ledger(hub, old.model_copy(update={"archive_after_seconds": 3_600}))
    await ledger.create_accounts([Account(id=n, ledger=1, code=1) for n in (1, 2, 3)])
    await ledger.create_transfers([paying(number) for number in range(1, COUNT)])
    assert await ledger.archive.archive() == 0
    async with await connect_url(hub.url, copies=Copies(1, 50)) as alone:  # there is no replica
        with pytest.raises(OutcomeUnknown):
            await Ledger(alone, old).archive.archive()
    database = Database(archive_url, 5)
    assert await database.run(lambda c: c.execute(sa.select(sa.func.count(transfers.c.place))).scalar()) == 0
    await database.aclose()
    await migrate.close_all()


async def test_a_record_that_is_in_neither_place_is_named_and_the_check_finds_it(
    twins: tuple[Ledger, Ledger], archive_url: str
) -> None:
    database = Database(archive_url, 5)
    await database.run(lambda c: c.execute(sa.delete(transfers).where(transfers.c.place == 7)))
    await database.aclose()
    with pytest.raises(Fault, match="segment 0 of ledger archived is neither"):
        await twins[0].transfer(3)
    (found,) = await check(twins[0])
    assert "segment 0 of ledger archived is neither in the store nor in the archive" in found


async def test_the_check_names_a_key_of_a_transfer_that_is_none_beside_archived_ones(
    twins: tuple[Ledger, Ledger],
) -> None:
    """What is at its place is in the archive; of the segment there, nothing else is named."""
    await twins[0].hub.write.set(keys.transfer("archived", 10**6), 5 * STATUSES)
    said = "its key says that it is at place 5 of the log, where transfer 6 is"
    assert await check(twins[0]) == [f"transfer {10**6}: {said}"]


async def test_while_the_archive_is_away_new_transfers_go_on_and_old_ones_are_busy(
    twins: tuple[Ledger, Ledger],
) -> None:
    url = SecretStr("postgresql+psycopg://x@127.0.0.1:1/x")
    away = Ledger(twins[0].hub, twins[0].settings.model_copy(update={"archive_url": url}), name="archived")
    assert (await away.create_transfer(paying(COUNT + 1))).ok
    with pytest.raises(Busy):
        await away.create_transfer(paying(1))
    assert await away.lookup_accounts([1])


async def test_everything_comes_back_and_then_the_table_goes_down_and_up(
    twins: tuple[Ledger, Ledger], archive_url: str
) -> None:
    database = Database(archive_url, 5)

    def columns(connection: sa.Connection) -> set[str]:
        return {column["name"] for column in sa.inspect(connection).get_columns("ledger_transfers")}

    assert await database.run(columns) == {*METADATA.tables["ledger_transfers"].columns.keys()}
    with pytest.raises(RuntimeError, match="unarchive"):
        await asyncio.to_thread(migrate.downgrade, database, TABLES)
    assert await twins[0].archive.unarchive() == 2
    assert await segments(twins[0]) == [True, True, True]
    assert await asyncio.to_thread(migrate.downgrade, database, TABLES) == "base"
    assert await asyncio.to_thread(migrate.upgrade, database, TABLES) == TABLES.head
    assert await check(twins[0]) == []
    assert await twins[0].archive.archive() == 2
    await database.aclose()


async def test_bringing_everything_back_beside_workers_that_archive_loses_nothing(
    twins: tuple[Ledger, Ledger],
) -> None:
    """What they archive again meanwhile is there, too."""
    ledger = twins[0]
    async with await connect_url(ledger.hub.url) as other:
        done = asyncio.Event()

        async def work() -> None:
            while not done.is_set():  # each time as one that was just started
                await Ledger(other, ledger.settings, name="archived").archive.archive()

        worker, back = asyncio.create_task(work()), 0
        while back < 20 and not worker.done():
            back += await ledger.archive.unarchive()
        done.set()
        await worker
    assert await check(ledger) == []


async def test_a_segment_that_was_put_back_since_somebody_looked_at_the_archive_is_not_dropped(
    twins: tuple[Ledger, Ledger],
) -> None:
    """Whoever looked may have seen rows that are gone now."""
    ledger, mark = twins[0], keys.restored("archived")
    records = await ledger.archive.segment(0)
    digest, space = sha1(records).hexdigest(), [ledger.keyspace]  # noqa: S324  # not a secret
    write = ledger.hub.write
    assert await scripts.restore_segment(write, keyspace=space, segment=0, records=bytes(len(records))) == "ok"
    assert await scripts.restore_segment(write, keyspace=space, segment=0, records=records) == "other"
    with pytest.raises(Fault, match="segment 0 of ledger archived is another one"):
        await ledger.archive.unarchive()
    closed: Any = await ledger.hub.read.get(mark)
    assert await scripts.drop_segment(write, keyspace=space, segment=0, sha1=digest, restored=b"") == "restored"
    assert await scripts.drop_segment(write, keyspace=space, segment=0, sha1=digest, restored=closed) == "other"
    assert (await segments(ledger))[0]


async def test_what_is_not_sure_to_last_in_the_store_stays_in_the_archive(
    twins: tuple[Ledger, Ledger], archive_url: str
) -> None:
    """Until its copies have it, where there are any; else until it is on the disk."""
    ledger, database = twins[0], Database(archive_url, 5)

    async def left() -> Any:
        return await database.run(lambda c: c.execute(sa.select(sa.func.count(transfers.c.place))).scalar())

    async with await connect_url(ledger.hub.url, copies=Copies(1, 50)) as alone:  # there is no replica
        with pytest.raises(OutcomeUnknown):
            await Ledger(alone, ledger.settings, name="archived").archive.unarchive()
    assert await left() == 2 * LOG_SEGMENT
    server: Any = ledger.hub.write
    await server.config_set("appendfsync", "always")
    await server.config_set("appendonly", "yes")
    try:
        await server.config_resetstat()
        assert await ledger.archive.unarchive() == 2
        assert (await server.info("commandstats"))["cmdstat_waitaof"]["calls"] == 1
    finally:
        await server.config_set("appendonly", "no")
        await server.config_set("appendfsync", "no")
    assert await left() == 0
    await database.aclose()


async def test_archived_transfers_are_found_over_http_and_at_the_terminal(
    twins: tuple[Ledger, Ledger], archive_url: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        "LASTRO_REDIS_URL": server.url,
        "LASTRO_LEDGER_NAME": "archived",
        "LASTRO_LEDGER_ARCHIVE_URL": archive_url,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = await twins[1].transfer(9)
    app = create_app(installed("lastro.routers", "ledger"), Settings())
    async with served(app) as web:
        found = await web.get("/ledger/transfers/9")
        listed = await web.get("/ledger/accounts/2/transfers?limit=5")
    assert (found.status_code, found.json()["amount"]) == (200, str(before.amount))
    assert [each["id"] for each in listed.json()] == ["1", "3", "5", "7", "9"]
    await twins[0].hub.write.delete(keys.log("archived", "transfers", 0))
    command = [str(Path(sys.executable).parent / "lastro"), "ledger", "transfer", "show", "9"]
    shown = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout)["amount"] == str(before.amount)
