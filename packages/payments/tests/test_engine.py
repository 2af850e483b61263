"""The rules of payments, one concept each."""

from dataclasses import replace
from uuid import uuid4

import pytest

from lastro.core.errors import Busy, Invalid
from lastro.core.redis import Hub
from lastro.core.testing import wait_for
from lastro.payments.engine import Payments, letters
from lastro.payments.engine.panel import panel
from lastro.payments.errors import BadPayment, NotDead, UnknownPayment
from lastro.payments.model import AMOUNT_CENTS_MAX, Claim, Health, Totals
from lastro.payments.settings import PaymentsSettings
from lastro.payments.worker import check

pytestmark = pytest.mark.anyio


@pytest.fixture
async def payments(hub: Hub) -> Payments:
    """An engine that lives."""
    engine = Payments(hub, PaymentsSettings())
    await engine.renew()
    return engine


async def claimed(payments: Payments, amount_cents: int = 1990) -> Claim:
    """A new payment in flight at the default."""
    await payments.accept(str(uuid4()), amount_cents)
    await payments.renew()  # a lease may be over by now: nobody keeps it here
    (claim,) = await payments.claim("default", 1)
    return claim


async def test_a_repeated_payment_is_queued_once_whatever_its_amount(payments: Payments) -> None:
    id_ = str(uuid4())
    assert [await payments.accept(id_, cents) for cents in (100, 100, 200)] == [True, False, False]
    assert await payments.waiting() == 1
    assert (await payments.payment(id_)).amount_cents == 100


async def test_a_claim_records_what_will_be_sent_before_it_is_sent(payments: Payments) -> None:
    claim = await claimed(payments)
    stored = await payments.payment(claim.correlation_id)
    assert (stored.state, stored.processor, stored.requested_at_ms, stored.attempts) == (
        "in_flight",
        "default",
        claim.requested_at_ms,
        1,
    )


async def test_the_oldest_payment_is_claimed_first_and_nothing_is_claimed_twice(payments: Payments) -> None:
    ids = [str(uuid4()) for _ in range(5)]
    for id_ in ids:
        await payments.accept(id_, 1)
    first, second = await payments.claim("default", 2), await payments.claim("fallback", 10)
    assert [claim.correlation_id for claim in first + second] == ids
    assert await payments.claim("default", 10) == []


async def test_a_committed_payment_counts_once_however_often_it_is_committed(payments: Payments) -> None:
    claim = await claimed(payments)
    for _ in range(3):
        await payments.commit(claim)
    assert (await payments.summary())["default"] == Totals(requests=1, amount_cents=1990)
    assert (await payments.payment(claim.correlation_id)).state == "done"
    assert await payments.hub.read.zcard(payments.keys.by_date) == 1


async def test_a_released_payment_is_the_next_and_may_go_to_the_other_processor(payments: Payments) -> None:
    claim = await claimed(payments)
    await payments.accept(str(uuid4()), 5)
    await payments.release(claim)
    (again,) = await payments.claim("fallback", 1)
    assert (again.correlation_id, again.processor, again.attempts) == (claim.correlation_id, "fallback", 2)


async def test_a_late_release_of_what_another_owner_has_changes_nothing(payments: Payments) -> None:
    claim = await claimed(payments)
    other = Payments(payments.hub, payments.settings)
    await other.renew()
    await other.release(claim)
    await other.bury(claim, "no")
    assert (await payments.payment(claim.correlation_id)).state == "in_flight"


async def test_a_buried_payment_waits_for_an_operator_with_its_reason(payments: Payments) -> None:
    claim = await claimed(payments)
    await payments.bury(claim, "400 | malformed")
    (dead,) = await letters.letters(payments)
    assert (dead.correlation_id, dead.reason) == (claim.correlation_id, "400 | malformed")
    assert await letters.letter(payments, claim.correlation_id) == dead
    await letters.replay(payments, claim.correlation_id)
    assert (await payments.payment(claim.correlation_id)).state == "queued"
    for by_hand in (letters.letter, letters.replay, letters.discard):
        with pytest.raises(NotDead):
            await by_hand(payments, claim.correlation_id)
        with pytest.raises(UnknownPayment):
            await by_hand(payments, str(uuid4()))


async def test_a_page_of_dead_payments_goes_on_where_the_last_one_ended(payments: Payments) -> None:
    for _ in range(5):
        await payments.bury(await claimed(payments), "400")
    first = await letters.letters(payments, count=3)
    rest = await letters.letters(payments, after=first[-1].correlation_id, count=3)
    assert first + rest == await letters.letters(payments)
    assert (len(rest), await letters.letters(payments, after=rest[-1].correlation_id)) == (2, [])
    await letters.discard(payments, first[-1].correlation_id)
    with pytest.raises(Invalid, match="after"):
        await letters.letters(payments, after=first[-1].correlation_id)


async def test_a_discarded_payment_is_listed_no_more_and_its_id_is_never_charged(payments: Payments) -> None:
    claim = await claimed(payments)
    await payments.bury(claim, "400")
    await letters.discard(payments, claim.correlation_id)
    discarded = await payments.payment(claim.correlation_id)
    assert (discarded.state, discarded.reason) == ("discarded", "400")
    assert (await letters.count(payments), await letters.letters(payments)) == (0, [])
    assert await payments.accept(claim.correlation_id, claim.amount_cents) is False
    assert (await payments.waiting(), await payments.flying(), await check(payments.hub)) == (0, 0, [])


async def test_a_panel_shows_what_waits_flies_was_charged_and_died(payments: Payments) -> None:
    await payments.commit(await claimed(payments, 500))
    await payments.bury(await claimed(payments), "400")
    await claimed(payments)
    await payments.accept(str(uuid4()), 5)
    await payments.publish_health("fallback", Health(failing=True, delay_ms=100))
    told = await panel(payments.hub)
    assert (told.done, told.cents, told.backlog, told.dead) == (1, 500, 2, 1)
    assert told.problems == ("the fallback processor says that it fails", "1 dead payments: lastro payments dead list")


async def test_without_a_lease_nothing_is_claimed(hub: Hub) -> None:
    payments = Payments(hub, PaymentsSettings())
    await payments.accept(str(uuid4()), 1)
    assert await payments.claim("default", 1) == []
    assert await payments.waiting() == 1


async def test_what_a_dead_owner_had_in_flight_is_taken_over_as_unknown_at_its_processor(
    payments: Payments, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = await claimed(payments)
    heir = Payments(payments.hub, payments.settings)
    assert await heir.recover(payments.owner) == [], "it lives"
    with monkeypatch.context() as soon:
        soon.setattr("lastro.payments.engine.LEASE_MS", 1)
        await payments.renew()

    async def lapsed() -> bool:
        return (await heir.renew()).dead == [payments.owner]

    await wait_for(lapsed, "the end of the lease")
    (inherited,) = await heir.recover(payments.owner)
    assert inherited == replace(claim, unknown=True)
    assert (await heir.renew()).dead == []
    await heir.commit(inherited)
    assert (await heir.summary())["default"].requests == 1


async def test_who_renews_hears_whether_its_lease_had_ended_by_the_clock_of_the_store(payments: Payments) -> None:
    """That clock may be set; the process's own says nothing of who took over what."""
    assert (await payments.renew()).kept
    for lapsed in ("1", str(2**45)):
        await payments.hub.write.hset(payments.keys.owners, payments.owner, lapsed)
        assert not (await payments.renew()).kept
        assert (await payments.renew()).kept


async def test_a_lease_that_a_clock_ahead_has_given_is_over_when_the_clock_is_put_right(payments: Payments) -> None:
    claim = await claimed(payments)
    heir = Payments(payments.hub, payments.settings)
    ahead = int(await payments.hub.write.hget(payments.keys.owners, payments.owner) or 0) + 3_600_000
    await payments.hub.write.hset(payments.keys.owners, payments.owner, ahead)
    assert (await heir.renew()).dead == [payments.owner]
    assert await heir.recover(payments.owner) == [replace(claim, unknown=True)]


async def test_what_was_accepted_is_charged_while_the_memory_is_full(payments: Payments) -> None:
    await payments.accept(str(uuid4()), 1990)
    await payments.hub.write.config_set("maxmemory", 1)
    try:
        with pytest.raises(Busy):
            await payments.accept(str(uuid4()), 1990)
        await payments.renew()
        (claim,) = await payments.claim("default", 10)
        await payments.commit(claim)
    finally:
        await payments.hub.write.config_set("maxmemory", 0)
    assert (await payments.summary())["default"].requests == 1


@pytest.mark.parametrize("amount_cents", [0, -1, AMOUNT_CENTS_MAX + 1])
async def test_an_amount_that_none_can_have_is_refused(payments: Payments, amount_cents: int) -> None:
    with pytest.raises(BadPayment, match="amount"):
        await payments.accept(str(uuid4()), amount_cents)
    assert await payments.waiting() == 0


async def test_who_has_no_lease_takes_nothing_over(payments: Payments) -> None:
    """Nobody would look for it there: a check finds one in flight whose owner nobody knows."""
    claim = await claimed(payments)
    heir = Payments(payments.hub, payments.settings)
    await payments.hub.write.hdel(payments.keys.owners, payments.owner)
    assert await heir.recover(payments.owner) == []
    assert (await payments.payment(claim.correlation_id)).state == "in_flight"
    assert await check(payments.hub) == [f"{claim.correlation_id}: in flight, but with no owner"]
    await heir.renew()
    assert await heir.recover(payments.owner) == [replace(claim, unknown=True)]
    assert await check(payments.hub) == []


async def test_a_late_word_on_a_claim_says_nothing_of_the_next_one(payments: Payments) -> None:
    old = await claimed(payments)
    await payments.release(old)
    (new,) = await wait_for(lambda: payments.claim("fallback", 1), "it in the queue")
    await payments.release(old)
    await payments.bury(old, "400")
    assert (await payments.payment(new.correlation_id)).state == "in_flight"
    assert await payments.recall() == [replace(new, unknown=True)]


async def test_one_process_of_all_may_ask_for_health_in_an_interval(payments: Payments) -> None:
    payments.settings = payments.settings.model_copy(update={"poll_seconds": 600})
    other = Payments(payments.hub, payments.settings)
    assert await payments.take_poll("default") == 0
    assert all([500_000 < await engine.take_poll("default") <= 600_000 for engine in (payments, other, payments)])
    assert await other.take_poll("fallback") == 0
    await payments.publish_health("default", Health(failing=True, delay_ms=100))
    assert (await other.health())["default"] == Health(failing=True, delay_ms=100)


async def test_a_purge_forgets_everything_and_a_late_commit_brings_nothing_back(payments: Payments) -> None:
    claim = await claimed(payments)
    await payments.purge()
    await payments.commit(claim)
    assert (await payments.summary())["default"] == Totals(requests=0, amount_cents=0)
    assert await payments.accept(claim.correlation_id, 1), "the id is free again"
