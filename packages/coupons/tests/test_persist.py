"""From the outbox into the database, on SQLite and on PostgreSQL."""

import asyncio
from functools import partial

import pytest
import sqlalchemy as sa

from lastro.core.database import migrate
from lastro.core.errors import OutcomeUnknown
from lastro.core.queue.stream import StreamConsumer
from lastro.core.redis import connect_url
from lastro.core.redis.copies import Copies
from lastro.core.settings import Settings
from lastro.core.streams import RECLAIMED, RECREATED, Message
from lastro.core.testing import wait_for
from lastro.core.testing.postgres import Database
from lastro.core.worker import Run
from lastro.coupons import keys
from lastro.coupons.engine import Coupons, letters
from lastro.coupons.engine.database import TABLES, schema
from lastro.coupons.engine.outbox import NAME, entries, outbox
from lastro.coupons.engine.persist import Persister
from lastro.coupons.engine.reconcile import stored
from lastro.coupons.metrics import COLLISIONS, DATABASE_DOWN

from .conftest import drained, opened, persisted, persisting

# the strictest server is enough where the database decides; test_engine and test_api run on all of them
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["cluster"], indirect=True)]


async def test_every_winner_is_in_the_database_as_it_was_told(here: Coupons) -> None:
    await opened(here, total=30)
    given = await asyncio.gather(*(here.issue("e", f"user{n}") for n in range(30)))
    await persisted(here)
    rows = await stored(here, "e")
    assert {row.issuance.issuance_id: row.issuance for row in rows} == {
        one.issuance.issuance_id: one.issuance for one in given
    }
    assert {row.status for row in rows} == {"issued"}


async def test_a_batch_that_was_written_and_not_acknowledged_is_written_once(here: Coupons) -> None:
    """A worker dies between commit and acknowledgement: its successor gets the same entries."""
    await opened(here, total=3)
    await here.issue("e", "ana")
    await persisted(here)
    await here.hub.write.execute_command("XGROUP SETID", keys.events("e"), "persist", "0")
    await persisted(here)
    assert len(await stored(here, "e")) == 1


async def test_what_has_no_copy_yet_is_not_in_the_database_either(here: Coupons) -> None:
    """A failover could still take it back, and the database would have a winner that Redis never heard of."""
    await opened(here, total=3)
    await here.issue("e", "ana")
    told = [Message(id_, fields) async for id_, fields in entries(outbox(here.hub, "e"))]
    async with await connect_url(here.hub.url, copies=Copies(1, 50)) as alone:  # there is no replica
        with pytest.raises(OutcomeUnknown):
            await Persister(here, Run(hub=alone, settings=Settings())).take("e", told)
    assert await stored(here, "e") == []
    assert not await Persister(here, Run(hub=here.hub, settings=Settings())).take("e", told)
    assert len(await stored(here, "e")) == 1


async def test_what_cannot_be_stored_becomes_a_dead_letter_alone_and_can_be_replayed(here: Coupons) -> None:
    """Poison in the middle of a batch: its neighbours are stored, it is listed with its reason."""
    await opened(here, total=9)
    await here.issue("e", "ana")
    await here.hub.write.xadd(keys.events("e"), {"winner": "zoe", "record": "7|no-id|CODE|99999999999999999999|1||"})
    await here.hub.write.xadd(keys.events("e"), {"winner": "zoe", "record": "not a record"})
    await here.issue("e", "bia")
    async with persisting(here):
        await wait_for(lambda: _dead(here, 2), "two dead letters")
        await drained(here)
    assert {row.issuance.user_id for row in await stored(here, "e")} == {"ana", "bia"}
    await letters.note(here, "e")
    first, second = await letters.letters(here, "e")
    assert {first.reason, second.reason} == {"invalid"}
    assert await letters.replay(here, "e", [first.id.decode()]) == 1
    assert await letters.discard(here, "e", [second.id.decode()]) == 1
    states = await here.database.run(lambda c: list(c.execute(sa.select(schema.dead_letters.c.state)).scalars()))
    assert sorted(states) == ["discarded", "replayed"]
    async with persisting(here):
        await wait_for(lambda: _dead(here, 1), "the replayed one to be dead again")


@pytest.mark.parametrize(
    "taken", ["winner", "seq", "issuance_id", "code", "issuance_id of another event", "issuance_id in one batch"]
)
async def test_a_collision_on_anything_but_the_same_winner_is_an_alarm(here: Coupons, taken: str) -> None:
    """It is never passed over: two servers gave coupons of one event. Who was stored stays, and its neighbours are."""
    event_id = await opened(here, "other" if taken.endswith("another event") else "e", total=9)
    given = (await here.issue(event_id, "ana")).issuance
    if not taken.endswith("one batch"):
        await persisted(here, event_id)
    await opened(here, total=9)
    before = COLLISIONS.of()._value.get()
    other = {"winner": "eva", "seq": 7, "issuance_id": "other-id", "code": "OTHER"} | {
        name: getattr(given, name) for name in taken.split()[:1]
    }
    record = f"{other['seq']}|{other['issuance_id']}|{other['code']}|{given.issued_ms}|1||"
    await here.hub.write.xadd(keys.events("e"), {"winner": str(other["winner"]), "record": record})
    neighbour = (await here.issue("e", "bia")).issuance
    async with persisting(here):
        await wait_for(lambda: _dead(here, 1), "a dead letter")
        await drained(here)
        await drained(here, event_id)
    assert COLLISIONS.of()._value.get() > before  # once more where a change of the event came in its batch
    rows = {row.issuance.issuance_id: row.issuance for row in await stored(here, "e")}
    assert rows.keys() == ({given.issuance_id, neighbour.issuance_id} if event_id == "e" else {neighbour.issuance_id})
    assert given in rows.values() or event_id != "e" or taken.endswith("one batch")


async def test_while_the_database_is_away_users_notice_nothing_and_no_letter_dies(
    on_postgres: Coupons, postgres: Database
) -> None:
    await opened(on_postgres, total=200)
    async with persisting(on_postgres):
        await on_postgres.issue("e", "before")
        await drained(on_postgres)
        postgres.server.kill()
        for n in range(100):
            assert (await on_postgres.issue("e", f"user{n}")).new
        await wait_for(lambda: DATABASE_DOWN.of()._value.get() == 1, "the breaker to open")
        postgres.server.start()
        await drained(on_postgres)
    assert len(await stored(on_postgres, "e")) == 101
    assert not await letters.letters(on_postgres, "e")


async def test_two_workers_share_an_event(coupons: Coupons) -> None:
    await opened(coupons, total=500)
    async with persisting(coupons), persisting(coupons):
        await asyncio.gather(*(coupons.issue("e", f"user{n}") for n in range(500)))
        await drained(coupons)
    rows = await stored(coupons, "e")
    assert sorted(row.issuance.seq for row in rows) == list(range(1, 501))


async def test_workers_that_write_a_new_event_at_once_bury_nobody(on_postgres: Coupons) -> None:
    """PostgreSQL looks for a conflict at the event's first constraint alone, so the other was broken now and then."""
    workers = [Persister(on_postgres, Run(hub=on_postgres.hub, settings=Settings())) for _ in range(4)]
    for n in range(40):
        event_id = await opened(on_postgres, f"e{n}")
        await on_postgres.issue(event_id, "ana")
        told = [Message(id_, fields) async for id_, fields in entries(outbox(on_postgres.hub, event_id))]
        await asyncio.gather(*(worker.take(event_id, told) for worker in workers))
        assert len(await stored(on_postgres, event_id)) == 1


async def _dead(coupons: Coupons, count: int) -> bool:
    return (await outbox(coupons.hub, "e").members.measure()).dead == count


async def test_the_tables_go_up_and_down(here: Coupons) -> None:
    def tables(connection: sa.Connection) -> set[str]:
        return set(sa.inspect(connection).get_table_names())

    def columns(connection: sa.Connection) -> set[tuple[str, str]]:
        found = sa.inspect(connection)
        return {(t, c["name"]) for t in schema.METADATA.tables for c in found.get_columns(t)}

    assert await asyncio.to_thread(migrate.upgrade, here.database, TABLES) == TABLES.head
    declared = {(table.name, column.name) for table in schema.METADATA.tables.values() for column in table.columns}
    assert await here.database.run(columns) == declared
    assert await asyncio.to_thread(migrate.downgrade, here.database, TABLES) == "base"
    assert await here.database.run(tables) == {"alembic_version"}
    assert await asyncio.to_thread(migrate.upgrade, here.database, TABLES) == TABLES.head


async def test_what_is_taken_over_is_counted_for_all_events_together(here: Coupons) -> None:
    """The label of a metric is no id: the 251st event would end the worker."""
    before = [metric.of(queue=NAME)._value.get() for metric in (RECLAIMED, RECREATED)]
    for event_id in ("one", "another"):
        queue = outbox(here.hub, event_id)
        await here.hub.write.xadd(queue.stream, {"winner": "ana", "record": "r"})
        gone, other = (queue.consumer(name, lease_seconds=0.001) for name in ("gone", "other"))
        await gone.turn(0)
        assert await gone.read(1, block_seconds=0)

        async def taken(consumer: StreamConsumer) -> bool:
            return bool((await consumer.turn(1)).messages)

        await wait_for(partial(taken, other), "the end of a lease")
        await here.hub.write.xgroup_destroy(queue.stream, queue.group)
        await other.turn(0)
        for consumer in (gone, other):
            await consumer.aclose()
    assert [metric.of(queue=NAME)._value.get() for metric in (RECLAIMED, RECREATED)] == [had + 2 for had in before]
