"""Memory is bounded: answers are trimmed, stories archived, and a repeat is still recognised."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from lastro.core import local
from lastro.core.database import Database, migrate
from lastro.core.errors import Busy, OutcomeUnknown
from lastro.core.redis import connect_url
from lastro.core.redis.copies import Copies
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.worker import Run
from lastro.pix.engine import orders, outbox, refunds, retention
from lastro.pix.engine.archive import TABLES
from lastro.pix.engine.archive.schema import METADATA, payments
from lastro.pix.engine.pix import GAP_HOURS, Pix
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.errors import SameIdOtherPayment
from lastro.pix.model.ids import make_end_to_end_id
from lastro.pix.settings import PixSettings
from lastro.pix.worker.retain import keep_bounded

# the strictest server is enough: scripts are tested on all of them
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["cluster"], indirect=True)]

PAYER, PAYEE = "99990001", "99990002"


@pytest.fixture(params=["sqlite", "postgresql"])
def archive_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An archive of each kind; PostgreSQL is started for those who ask for it alone."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/archive.sqlite"
    return str(request.getfixturevalue("postgres").url)


@pytest.fixture
def pix_settings(archive_url: str) -> PixSettings:
    return PixSettings(retention_seconds=0.05, deadline_ms=1, archive_url=SecretStr(archive_url))


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    """No connection outlives its test."""
    yield
    await migrate.close_all()


async def age(desk: Any) -> None:
    """The retention passes, and the archive's visit is due."""
    begun = await desk.pix.now_ms()

    async def older() -> bool:
        return bool(await desk.pix.now_ms() > begun + 2 * desk.pix.settings.retention_ms)

    await wait_for(older, "the retention")
    for minute in await desk.pix.read.zrange(desk.pix.keys.minutes, 0, -1):
        await desk.pix.write.zadd(desk.pix.keys.minutes, {minute: 0})


@pytest.fixture
async def patient(desk: Any) -> Any:
    """The desk with the usual deadline."""
    settings = desk.pix.settings.model_copy(update={"deadline_ms": 40_000})
    return type(desk)(Pix(desk.pix.hub, settings, desk.pix.keys), desk.numbers)


async def test_an_archived_payment_is_whole_in_the_archive_and_a_mark_in_the_store(patient: Any) -> None:
    payment = await patient.settled(1_000)
    whole = await patient.status(payment)
    await age(patient)
    assert await retention.archive(patient.pix) == 1
    line = await patient.pix.read.hget(patient.pix.keys.records(payment.end_to_end_id[9:21]), payment.end_to_end_id)
    assert line == b"s 1000 99990002"
    assert await patient.status(payment) == whole
    assert await patient.findings() == []


@pytest.mark.parametrize("ahead", [timedelta(minutes=30), timedelta(hours=-6)], ids=["ahead", "behind"])
async def test_an_archived_payment_of_another_clock_misses_no_message(patient: Any, ahead: timedelta) -> None:
    """Its id's minute may be twelve hours away from the server's; its messages were trimmed by the server's."""
    other = make_end_to_end_id(PAYER, datetime.now(UTC) + ahead, "00000000abc")
    payment = patient.order(1_000, end_to_end_id=other)
    await patient.pay(payment)
    await patient.answer(payment)
    await age(patient)
    assert await retention.archive(patient.pix) == 1
    assert await retention.trim(patient.pix) > 0
    assert await patient.findings() == []


async def test_what_has_no_copy_yet_is_not_archived(patient: Any) -> None:
    """A failover could still take it back, and the archive would tell of a payment that never was."""
    await patient.settled(1_000)
    await age(patient)
    pix = patient.pix
    async with await connect_url(pix.hub.url, copies=Copies(1, 50)) as alone:  # there is no replica
        with pytest.raises(OutcomeUnknown):
            await retention.archive(Pix(alone, pix.settings, pix.keys))
    assert await retention.archive(pix) == 1


async def test_a_repeat_of_an_archived_payment_gets_the_same_outcome_and_another_amount_an_error(patient: Any) -> None:
    payment = await patient.settled(1_000)
    await age(patient)
    await retention.archive(patient.pix)
    assert (await orders.submit(patient.pix, [payment]))[0].state == "SETTLED"  # type: ignore[union-attr]  # it is there
    await patient.send(payment=msgspec.json.encode(payment).decode())
    await patient.work()
    assert await patient.balances() == (99_000, 0, 1_000)
    with pytest.raises(SameIdOtherPayment):
        await orders.submit(patient.pix, [msgspec.structs.replace(payment, amount="20.00")])


async def test_an_archived_payment_of_an_initiator_is_its_payers_alone(patient: Any) -> None:
    """The id names neither of the two payers: the mark says who it was."""
    payment = patient.order(1_000, local_instrument="INIC", key="+5511999999999")
    payment = msgspec.structs.replace(payment, end_to_end_id=payment.end_to_end_id.replace(PAYER, "99990055"))
    await patient.pay(payment)
    await patient.answer(payment)
    await age(patient)
    await retention.archive(patient.pix)
    assert (await orders.submit(patient.pix, [payment]))[0].state == "SETTLED"  # type: ignore[union-attr]  # it is there
    other = msgspec.structs.replace(payment, payer=PAYEE, payee="99990003")
    for wrong in (msgspec.structs.replace(payment, payer="99990003"), other):
        with pytest.raises(SameIdOtherPayment):
            await orders.submit(patient.pix, [wrong])
        await patient.send(payment=msgspec.json.encode(wrong).decode())
    await patient.work()
    assert await patient.pix.read.xlen(patient.pix.keys.dead) == 2
    await refunds.refund(patient.pix, patient.giving_back(payment, 400))
    assert await patient.balances() == (99_400, 0, 600)
    assert await patient.findings() == []


async def test_an_archived_payment_can_be_given_back_even_when_its_record_is_forgotten(patient: Any) -> None:
    """Ninety days are longer than any record lives in the store."""
    payment = await patient.settled(1_000)
    await age(patient)
    await retention.archive(patient.pix)
    await patient.pix.write.delete(patient.pix.keys.records(payment.end_to_end_id[9:21]))
    await refunds.refund(patient.pix, patient.giving_back(payment, 400))
    assert await patient.balances() == (99_400, 0, 600)


async def test_an_original_message_with_the_longest_id_is_archived(patient: Any, make_original: Any) -> None:
    """Refused by the archive, it would stay in the store, and all that is behind it."""
    await patient.send(**make_original(transaction_id="x" * 64, timestamp=datetime.now(UTC).isoformat()))
    await patient.work()
    await age(patient)
    assert await retention.archive(patient.pix) == 1
    assert await patient.findings() == []


async def test_archiving_twice_or_side_by_side_changes_no_sum(patient: Any) -> None:
    for _ in range(5):
        await patient.settled(1_000)
    await age(patient)
    await asyncio.gather(retention.archive(patient.pix), retention.archive(patient.pix))
    await age(patient)
    assert await retention.archive(patient.pix) == 0
    assert await patient.pix.read.hmget(patient.pix.keys.archived, ["count", "cents"]) == [b"5", b"5000"]
    assert await patient.findings() == []


async def test_a_late_answer_to_an_archived_payment_is_late_and_no_dead_letter(patient: Any) -> None:
    payment = await patient.settled(1_000)
    await age(patient)
    await retention.archive(patient.pix)
    await patient.answer(payment, reason="AC03")
    assert await patient.pix.read.hget(patient.pix.keys.counters, "late") == b"1"
    assert await patient.pix.read.xlen(patient.pix.keys.dead) == 0


async def test_what_is_not_final_is_never_archived(patient: Any) -> None:
    payment = patient.order()
    await patient.pay(payment)
    await age(patient)
    assert await retention.archive(patient.pix) == 0
    assert (await patient.status(payment)).state == "ACCEPTED"


async def test_old_answers_are_trimmed_but_never_one_that_a_reader_has_not_acknowledged(patient: Any) -> None:
    await patient.settled(1_000)
    await outbox.start(patient.pix, PAYEE, "reader")
    given = await outbox.pull(patient.pix, PAYEE, "reader", wait_seconds=0)
    assert len(given.messages) == 2
    await age(patient)
    await retention.trim(patient.pix)
    assert await patient.heard(PAYER) == []
    assert len(await patient.heard(PAYEE)) == 2
    await outbox.stop(patient.pix, PAYEE, "reader", got=given.name)
    await retention.trim(patient.pix)
    assert len(await patient.heard(PAYEE)) <= 1
    assert await patient.findings() == []


async def test_who_looked_once_and_never_came_again_does_not_hold_an_outbox_for_ever(patient: Any) -> None:
    await patient.settled(1_000)
    await outbox.start(patient.pix, PAYEE, "once")
    await outbox.pull(patient.pix, PAYEE, "once", wait_seconds=0)
    await age(patient)
    settings = patient.pix.settings.model_copy(update={"unread_seconds": 0.05})
    await retention.trim(Pix(patient.pix.hub, settings, patient.pix.keys))
    assert await patient.heard(PAYEE) == []
    await patient.settled(2_000)
    again = await outbox.pull(patient.pix, PAYEE, "once", wait_seconds=0)
    told = await outbox.pull(patient.pix, PAYEE, "once", got=again.name, wait_seconds=0)
    assert [message.fields["amount_cents"] for message in told.messages] == ["2000", "2000"]
    assert await patient.findings() == []


async def test_an_outbox_nobody_reads_or_writes_goes_altogether(patient: Any, make_original: Any) -> None:
    await patient.send(**make_original(1, backend_id="77"))
    await patient.work()
    assert await patient.heard("77")
    await age(patient)
    await retention.trim(patient.pix)
    assert await patient.pix.read.exists(patient.pix.keys.outbox("77")) == 0
    assert patient.pix.keys.outbox("77").encode() not in await patient.pix.read.smembers(patient.pix.keys.backends)


async def test_a_record_is_archived_before_it_is_forgotten_however_long_the_retention(patient: Any) -> None:
    """A retention longer than the window for repeats: until it passes the record stays whole."""
    payment = await patient.settled(1_000)
    minute = payment.end_to_end_id[9:21]
    whole = await patient.status(payment)
    pix = patient.pix
    over = {"window_hours": -GAP_HOURS}
    for changes, found in (({"retention_seconds": 3_600.0}, (True, 0)), ({}, (False, 1))):
        await age(patient)
        late = Pix(pix.hub, pix.settings.model_copy(update=over | changes), pix.keys)
        archived = await retention.archive(late)
        assert (bool(await pix.read.exists(pix.keys.records(minute))), archived) == found
        assert await patient.status(payment) == whole
        assert (await reconcile(late)).findings == []


async def test_one_worker_of_many_archives_at_a_time(patient: Any) -> None:
    turns = [await retention.take_turn(patient.pix, f"worker {number}", 5) for number in range(4)]
    assert turns == [True, False, False, False]
    assert await retention.take_turn(patient.pix, "worker 0", 0.05), "who has the turn keeps it"
    await wait_for(lambda: retention.take_turn(patient.pix, "worker 1", 5), "the turn of one that is silent")


async def test_the_retaining_worker_trims_and_archives_by_itself(patient: Any, server: local.Server) -> None:
    payment = await patient.settled(1_000)
    await age(patient)
    run = Run(hub=patient.pix.hub, settings=Settings())
    working = asyncio.create_task(keep_bounded(patient.pix, run))

    async def archived() -> bool:
        return bool((await patient.pix.read.hget(patient.pix.keys.archived, "count")) == b"1")

    await wait_for(archived, "the archive")
    run.stopping.set()
    await working
    assert (await patient.status(payment)).state == "SETTLED"
    assert await patient.heard(PAYER) == []


async def test_answers_are_trimmed_while_the_archive_keeps_its_writer_waiting(patient: Any, archive_url: str) -> None:
    """Another transaction has the row: the archive waits for it, memory does not."""
    payment = await patient.settled(1_000)
    records = patient.pix.keys.records(payment.end_to_end_id[9:21])
    line = await patient.pix.read.hget(records, payment.end_to_end_id)
    await age(patient)
    await retention.archive(patient.pix)
    await patient.pix.write.hset(records, payment.end_to_end_id, line)
    database = Database(archive_url, 5)
    run = Run(hub=patient.pix.hub, settings=Settings())
    with database.engine.begin() as connection:
        connection.execute(sa.delete(payments))
        await age(patient)
        working = asyncio.create_task(keep_bounded(patient.pix, run))
        for _ in range(2):
            await patient.settled(1_000)

            async def trimmed() -> bool:
                return bool(await patient.heard(PAYER) == [])

            await wait_for(trimmed, "the answers to go")
        run.stopping.set()
    await working
    await database.aclose()


async def test_what_a_worker_that_stops_leaves_goes_at_the_next_visit(patient: Any) -> None:
    await patient.settled(1_000)
    await age(patient)
    assert await retention.archive(patient.pix, lambda: True) == 0
    assert await retention.archive(patient.pix) == 1


async def test_a_minute_whose_records_are_gone_leaves_the_register(patient: Any) -> None:
    await patient.pix.write.zadd(patient.pix.keys.minutes, {"202001010000": 0})
    await retention.archive(patient.pix)

    async def gone() -> bool:
        return await patient.pix.read.zscore(patient.pix.keys.minutes, "202001010000") is None

    await wait_for(gone, "the minute to go")


async def test_a_mark_whose_story_is_not_in_the_archive_is_a_finding(patient: Any, archive_url: str) -> None:
    lost, kept = await patient.settled(1_000), await patient.settled(2_000)
    await age(patient)
    await retention.archive(patient.pix)
    database = Database(archive_url, 5)
    await database.run(lambda c: c.execute(sa.delete(payments).where(payments.c.id == lost.end_to_end_id)))
    await database.aclose()
    assert [(found.kind, found.id) for found in await patient.findings()] == [("lost_story", lost.end_to_end_id)]
    assert (await patient.status(lost)).archived
    assert not (await patient.status(kept)).archived


async def test_while_the_archive_is_away_nothing_is_shortened_and_the_worker_goes_on(patient: Any) -> None:
    payment = await patient.settled(1_000)
    await age(patient)
    settings = patient.pix.settings.model_copy(
        update={"archive_url": SecretStr("postgresql+psycopg://x@127.0.0.1:1/x")}
    )
    away = Pix(patient.pix.hub, settings, patient.pix.keys)
    with pytest.raises(Busy):
        await retention.archive(away)
    assert not (await patient.status(payment)).archived
    assert await retention.archive(patient.pix) == 1


async def test_the_archives_table_goes_down_and_up_with_stories_in_it(patient: Any, archive_url: str) -> None:
    await patient.settled(1_000)
    await age(patient)
    await retention.archive(patient.pix)
    database = Database(archive_url, 5)

    def told(connection: sa.Connection) -> tuple[set[str], int]:
        found = sa.inspect(connection)
        tables = set(found.get_table_names())
        known = tables & set(METADATA.tables)
        assert all({c["name"] for c in found.get_columns(t)} == {*METADATA.tables[t].columns.keys()} for t in known)
        return tables, connection.execute(sa.text("SELECT count(*) FROM pix_payments")).scalar() or 0 if known else 0

    assert await database.run(told) == ({"pix_payments", "pix_version"}, 1)
    assert await asyncio.to_thread(migrate.downgrade, database, TABLES) == "base"
    assert await database.run(told) == ({"pix_version"}, 0)
    assert await asyncio.to_thread(migrate.upgrade, database, TABLES) == TABLES.head
    assert await database.run(told) == ({"pix_payments", "pix_version"}, 0)
    await database.aclose()
