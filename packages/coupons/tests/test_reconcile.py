"""Redis against the database, both ways; and one made from the other."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from lastro.core.errors import OutcomeUnknown
from lastro.core.keys import beside
from lastro.core.streams.letters import PAGE_MAX
from lastro.core.testing import wait_for
from lastro.coupons import errors, keys, scripts
from lastro.coupons.engine import Coupons, events, letters, redemption
from lastro.coupons.engine.database import schema
from lastro.coupons.engine.outbox import GROUP, entries, outbox
from lastro.coupons.engine.reconcile import reconcile, stored, write_rows
from lastro.coupons.engine.recover import rebuild, recover

from .conftest import opened, persisted, persisting

# the strictest server is enough where the database decides; test_engine and test_api run on all of them
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["cluster"], indirect=True)]


async def kinds(coupons: Coupons) -> list[str]:
    return [finding.kind for finding in (await reconcile(coupons, "e")).findings]


async def given_to(coupons: Coupons, *users: str, total: int = 5) -> list[str]:
    """An event whose issuances are all in the database."""
    await opened(coupons, total=total)
    ids = [(await coupons.issue("e", user)).issuance.issuance_id for user in users]
    await persisted(coupons)
    return ids


async def repaired(coupons: Coupons) -> bool:
    """After a repair there is nothing left to do (I11), and it adds up."""
    first = await reconcile(coupons, "e", apply=True)
    second = await reconcile(coupons, "e", apply=True)
    return first.actions > 0 and second.actions == 0 and not second.findings and (await coupons.event("e")).adds_up


async def test_what_adds_up_has_no_findings(here: Coupons) -> None:
    await given_to(here, "ana", "bia")
    assert await kinds(here) == []


async def test_what_is_on_its_way_into_the_database_is_no_finding(here: Coupons) -> None:
    await given_to(here, "ana")
    await here.issue("e", "bia")
    assert await kinds(here) == []


async def test_dead_letters_are_all_known_and_noted_however_many(here: Coupons) -> None:
    """One more than a page of them: their winners are on their way, and each can be found in the database."""
    await opened(here, total=PAGE_MAX + 1)
    newest: Any = await here.hub.read.xrevrange(keys.events("e"), count=1)
    await asyncio.gather(*(here.issue("e", f"user{n}") for n in range(PAGE_MAX + 1)))
    async with here.hub.write.pipeline(transaction=False) as pipe:
        pipe.execute_command("XGROUP SETID", keys.events("e"), GROUP, "$")
        async for id_, fields in entries(outbox(here.hub, "e"), b"(" + newest[0][0]):
            about: dict[Any, Any] = {
                "reason": "failed",
                "error": "x",
                "deliveries": 5,
                "first_ms": 1,
                "last_ms": 2,
                "id": id_,
            }
            pipe.xadd(beside(keys.events("e"), "dead"), about | fields)
        await pipe.execute()
    assert await kinds(here) == []
    await letters.note(here, "e")
    ids = [letter.id.decode() async for page in letters.pages(here, "e") for letter in page]
    assert await letters.replay(here, "e", ids) == PAGE_MAX + 1
    states = await here.database.run(lambda c: list(c.execute(sa.select(schema.dead_letters.c.state)).scalars()))
    assert states == ["replayed"] * (PAGE_MAX + 1)


async def test_what_waits_for_its_next_try_is_no_finding(here: Coupons) -> None:
    await given_to(here, "ana")
    await here.issue("e", "bia")
    consumer = outbox(here.hub, "e").consumer("one")
    (message,) = await consumer.read(1, block_seconds=0)
    assert await consumer.retry(message, delay_seconds=60)
    assert await kinds(here) == []
    assert await rebuild(here, "e") == 1, "the outbox still has it"


async def test_a_winner_that_the_database_lost_is_written_again(here: Coupons) -> None:
    ids = await given_to(here, "ana", "bia")
    await here.database.run(lambda c: c.execute(sa.delete(schema.issuances).where(schema.issuances.c.user_id == "ana")))
    assert await kinds(here) == ["missing in database"]
    assert await repaired(here)
    assert {row.issuance.issuance_id for row in await stored(here, "e")} == set(ids)


async def test_a_winner_that_redis_lost_is_a_winner_again_with_the_same_coupon(here: Coupons) -> None:
    (id_,) = await given_to(here, "ana")
    await here.hub.write.hdel(keys.participants("e"), "ana")
    assert await kinds(here) == ["missing in redis", "stock"]
    assert await repaired(here)
    assert (await here.issue("e", "ana")).issuance.issuance_id == id_


async def test_a_winner_that_came_back_is_not_told_sold_out_by_a_process_that_knew_better(here: Coupons) -> None:
    """Nothing is left, and nothing comes back but her: whoever answers from memory has to ask again."""
    id_, _ = await given_to(here, "ana", "bia", total=2)
    await here.hub.write.hdel(keys.participants("e"), "ana")
    with pytest.raises(errors.SoldOut):
        await here.issue("e", "zoe")
    await wait_for(lambda: here.guard.sold_out("e", "ana"), "the process to know")
    assert await repaired(here)
    await wait_for(lambda: not here.guard.sold_out("e", "ana"), "the process to hear")
    assert (await here.issue("e", "ana")).issuance.issuance_id == id_


async def test_stock_that_drifted_is_what_the_winners_leave(here: Coupons) -> None:
    await given_to(here, "ana")
    await here.hub.write.incrby(keys.stock("e"), 3)
    assert await kinds(here) == ["stock"]
    assert await repaired(here)
    assert (await here.event("e")).stock == 4


async def test_a_cancelled_unit_that_did_not_go_back_goes_back(here: Coupons) -> None:
    """Somebody died between the database and Redis."""
    (id_,) = await given_to(here, "ana")
    change = sa.update(schema.issuances).values(status="cancelled")
    await here.database.run(lambda c: c.execute(change))
    assert await kinds(here) == ["not returned"]
    assert await repaired(here)
    assert (await here.event("e")).stock == 5
    assert (await redemption.cancel(here, id_)).status == "cancelled"
    assert (await here.event("e")).stock == 5


async def set_back(coupons: Coupons, id_: str) -> None:
    """The database is a moment younger: it took over, or came from a backup."""
    change = sa.update(schema.issuances).where(schema.issuances.c.issuance_id == id_)
    await coupons.database.run(lambda c: c.execute(change.values(status="issued", cancelled_ms=None)))


async def test_a_coupon_whose_unit_went_back_is_cancelled_again_where_the_database_forgot_it(here: Coupons) -> None:
    """Its unit is somebody else's by now: both could be used, of an event that has one."""
    (id_,) = await given_to(here, "ana", total=1)
    await redemption.cancel(here, id_)
    await set_back(here, id_)
    await here.issue("e", "bia")
    await persisted(here)
    assert await kinds(here) == ["not cancelled"]
    assert await repaired(here)
    with pytest.raises(errors.Taken, match="cancelled"):
        await redemption.redeem(here, id_, "order-1")


async def test_one_that_an_order_has_by_then_is_told_and_left_to_a_person(here: Coupons) -> None:
    (id_,) = await given_to(here, "ana", total=1)
    await redemption.cancel(here, id_)
    await set_back(here, id_)
    await redemption.redeem(here, id_, "order-1")
    report = await reconcile(here, "e", apply=True)
    assert (report.actions, [finding.kind for finding in report.findings]) == (0, ["not cancelled"])
    assert "redeemed for order order-1" in str(report.findings[0])
    await redemption.release(here, id_, "order-1")
    assert await repaired(here)


@pytest.mark.parametrize("by", [rebuild, partial(reconcile, apply=True)])
async def test_a_cancelled_coupon_that_the_database_lost_is_written_again_as_cancelled(
    here: Coupons, by: Callable[[Coupons, str], Awaitable[object]]
) -> None:
    (id_,) = await given_to(here, "ana", total=1)
    await redemption.cancel(here, id_)
    await here.database.run(lambda c: c.execute(sa.delete(schema.issuances)))
    await by(here, "e")
    assert (await redemption.find(here, id_)).status == "cancelled"
    assert await kinds(here) == []
    assert (await here.event("e")).stock == 1


async def test_two_sides_that_differ_are_told_and_left_to_a_person(here: Coupons) -> None:
    await given_to(here, "ana")
    await here.database.run(lambda c: c.execute(sa.update(schema.issuances).values(seq=77)))
    assert await kinds(here) == ["differs"]
    report = await reconcile(here, "e", apply=True)
    assert (report.actions, len(report.findings)) == (0, 1)


async def test_reconciling_while_the_event_runs_finds_nothing_and_does_nothing(here: Coupons) -> None:
    await opened(here, total=600)

    async def crowd() -> None:
        for at in range(0, 600, 50):
            await asyncio.gather(*(here.issue("e", f"user{n}") for n in range(at, at + 50)))

    async with persisting(here):
        running = asyncio.create_task(crowd())
        while not running.done():
            report = await reconcile(here, "e", apply=True)
            assert (report.findings, report.actions) == ([], 0)
        await running


async def test_redis_is_rebuilt_from_the_database_to_the_same_answers(here: Coupons) -> None:
    """Everything is gone; the winners get the same coupons, and the rest of the stock is given in a new epoch."""
    ids = await given_to(here, "ana", "bia", total=3)
    await here.hub.write.flushall()
    event = await recover(here, "e")
    assert (event.state, event.stock, event.epoch, event.adds_up) == ("open", 1, 2, True)
    assert [(await here.issue("e", user)).issuance.issuance_id for user in ("ana", "bia")] == ids
    third = (await here.issue("e", "caio")).issuance
    assert (third.seq, third.epoch) == (3, 2)
    await persisted(here)
    assert await kinds(here) == []


async def test_an_attempt_is_known_by_its_key_also_when_redis_was_rebuilt_from_the_database(here: Coupons) -> None:
    """Else its repeat would get a second coupon, where a user may have several."""
    await opened(here, total=5, per_user_limit=3)
    first, second = [(await here.issue("e", "ana", key=key)).issuance for key in ("k1", "k2")]
    await persisted(here)
    await here.hub.write.flushall()
    await recover(here, "e")
    again = [await here.issue("e", "ana", key=key) for key in ("k2", "k1", "k3")]
    assert [given.issuance for given in again[:2]] == [second, first]
    assert [given.new for given in again] == [False, False, True]
    assert again[2].issuance.ordinal == 3


async def test_a_row_of_an_earlier_build_is_the_same_coupon_without_its_key(here: Coupons) -> None:
    await opened(here, total=5, per_user_limit=2)
    given = (await here.issue("e", "ana", key="k1")).issuance
    await persisted(here)
    forgotten = sa.update(schema.issuances).values(key_hash="")
    await here.database.run(lambda connection: connection.execute(forgotten))
    assert await kinds(here) == []
    assert await write_rows(here, "e", [given]) == 0


async def test_a_recovery_that_was_cut_off_is_done_again_also_when_redis_is_lost_then(here: Coupons) -> None:
    """What the worker writes meanwhile is what the event was: that it is recovered is one server's affair."""
    await given_to(here, "ana", total=3)
    await events.close(here, "e")
    await begun(here)
    await persisted(here)
    await here.hub.write.flushall()
    event = await recover(here, "e")
    assert (event.state, event.stock, event.adds_up) == ("closed", 2, True)


async def test_what_nobody_knows_the_state_of_is_paused_when_it_was_recovered(here: Coupons) -> None:
    """Rows of earlier builds say "recovering", and so does a server to which one was brought back."""
    await given_to(here, "ana", total=3)
    await here.database.run(lambda c: c.execute(sa.update(schema.coupons).values(state="recovering")))
    await here.hub.write.flushall()
    event = await recover(here, "e")
    assert (event.state, event.stock) == ("paused", 2)
    await here.hub.write.hset(keys.meta("e"), "state", "recovering")
    assert (await recover(here, "e")).state == "paused"
    await events.open_event(here, "e")
    assert (await here.issue("e", "bia")).new


async def begun(coupons: Coupons) -> None:
    """Who began a recovery died."""
    await scripts.begin_recovery(
        coupons.hub.write,
        meta=keys.meta("e"),
        stock=keys.stock("e"),
        events=keys.events("e"),
        group=GROUP,
        epoch=1,
        plan=[],
    )


async def test_the_database_is_rebuilt_from_the_stream(here: Coupons) -> None:
    ids = await given_to(here, "ana", "bia")
    before = await stored(here, "e")
    for table in (schema.issuances, schema.coupons):
        await here.database.run(partial(sa.Connection.execute, statement=sa.delete(table)))
    assert await rebuild(here, "e") == 2
    assert await stored(here, "e") == before
    assert len(ids) == 2
    assert await kinds(here) == []


async def test_an_entry_that_nobody_can_read_stops_neither_reconciliation_nor_rebuilding(here: Coupons) -> None:
    await given_to(here, "ana")
    await here.hub.write.xadd(keys.events("e"), {"winner": "zoe", "record": "not a record"})
    await here.hub.write.xadd(keys.events("e"), {"nonsense": "1"})
    await here.database.run(lambda c: c.execute(sa.delete(schema.issuances)))
    assert await kinds(here) == ["missing in database"]
    assert await rebuild(here, "e") == 1


async def test_after_a_failover_the_winners_of_both_sides_are_winners_and_none_is_issued_twice(here: Coupons) -> None:
    """The promoted replica did not have the last winner, but the database does."""
    ids = await given_to(here, "ana", "bia", total=2)
    await here.hub.write.hdel(keys.participants("e"), "bia")
    await here.hub.write.hset(keys.meta("e"), "seq", 1)
    await here.hub.write.set(keys.stock("e"), 1)
    event = await recover(here, "e")
    assert (event.stock, event.seq, event.epoch) == (0, 2, 2)
    assert (await here.issue("e", "bia")).issuance.issuance_id == ids[1]


async def test_a_winner_under_a_number_that_the_database_has_of_another_gets_its_own_and_its_row(here: Coupons) -> None:
    """The promoted replica had not heard of ana, and gave her number again: both were told that they have a coupon."""
    (ana,) = await given_to(here, "ana")
    await here.hub.write.hdel(keys.participants("e"), "ana")
    await here.hub.write.hset(keys.meta("e"), "seq", 0)
    await here.hub.write.incr(keys.stock("e"))
    carol = (await here.issue("e", "carol")).issuance
    async with persisting(here):
        await wait_for(lambda: letters.letters(here, "e"), "the collision")
    for _ in range(2):
        event = await recover(here, "e")
        assert (carol.seq, event.seq, event.stock, event.adds_up) == (1, 2, 3, True)
    told = [(await here.issue("e", user)).issuance.issuance_id for user in ("ana", "carol")]
    assert told == [ana, carol.issuance_id]
    assert (await redemption.redeem(here, carol.issuance_id, "order-1")).status == "redeemed"
    await letters.discard(here, "e", [letter.id.decode() for letter in await letters.letters(here, "e")])
    assert await kinds(here) == []


async def test_a_winner_that_the_database_refuses_stops_no_other(here: Coupons) -> None:
    """Bia was given a second coupon by a server that had lost her first; that is for a person, and ana is not."""
    ana, bia = await given_to(here, "ana", "bia")
    await here.issue("e", "caio")
    await persisted(here)
    await here.database.run(lambda c: c.execute(sa.delete(schema.issuances).where(schema.issuances.c.user_id == "ana")))
    record: Any = await here.hub.read.hget(keys.participants("e"), "bia")
    await here.hub.write.hset(keys.participants("e"), "bia", record.replace(bia.encode(), b"another"))
    await here.hub.write.hdel(keys.participants("e"), "caio")
    report = await reconcile(here, "e", apply=True)
    assert report.actions == 2
    assert (await redemption.find(here, ana)).status == "issued"
    assert not (await here.issue("e", "caio")).new
    assert await kinds(here) == ["missing in database", "differs"]


async def test_what_operators_changed_last_is_found_and_recovered_where_a_failover_lost_it(here: Coupons) -> None:
    """Else an event that was made smaller gives what was taken from it, and one that was closed is open."""
    await given_to(here, "ana", total=5)
    before: Any = await here.hub.read.hgetall(keys.meta("e"))
    await events.resize(here, "e", -3, "less")
    await events.close(here, "e")
    await persisted(here)
    await here.hub.write.hset(keys.meta("e"), mapping=before)
    await here.hub.write.set(keys.stock("e"), 4)
    assert await kinds(here) == ["older"]
    event = await recover(here, "e")
    assert (event.state, event.total, event.stock, event.adds_up) == ("closed", 2, 1, True)
    await persisted(here)
    assert await kinds(here) == []


async def test_a_change_that_a_failover_lost_is_also_found_when_another_was_made_since(here: Coupons) -> None:
    """Both are the event's second; the database keeps the one that it heard of, until a person makes it again."""
    await opened(here, total=5)
    before: Any = await here.hub.read.hgetall(keys.meta("e"))
    await events.resize(here, "e", -3, "less")
    await persisted(here)
    await here.hub.write.hset(keys.meta("e"), mapping=before)
    await here.hub.write.set(keys.stock("e"), 5)
    await events.pause(here, "e")
    await persisted(here)
    assert await kinds(here) == ["differs"]
    await events.resize(here, "e", -3, "less, again")
    await persisted(here)
    assert await kinds(here) == []


async def test_an_event_that_promises_copies_is_recovered_when_a_replica_has_that(here: Coupons) -> None:
    """Else the next failover would take the fence away again."""
    await opened(here, total=1, durability="replica")
    here.settings = here.settings.model_copy(update={"replica_timeout_ms": 1})
    with pytest.raises(OutcomeUnknown, match="0 of 1 replicas"):
        await recover(here, "e")
