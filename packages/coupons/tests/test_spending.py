"""A coupon in a payment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa

from lastro.core.clock import now_ms
from lastro.core.errors import Invalid
from lastro.core.settings import Settings
from lastro.core.streams import Message
from lastro.core.testing import WAIT_SECONDS, wait_for
from lastro.core.worker import Run
from lastro.coupons import errors, worker
from lastro.coupons.engine import Coupons, events, redemption
from lastro.coupons.engine.database.schema import charges, issuances
from lastro.coupons.engine.spending import charge, finals, follow, give_up, late, relay, spend

from .conftest import opened, overtaken, persisted

# the strictest server is enough where the database decides; test_engine and test_api run on all of them
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["cluster"], indirect=True)]
ORDER = "0f9c1b52-7d1e-4a52-9a52-3f4f7f1f6f01"
ANOTHER = "0f9c1b52-7d1e-4a52-9a52-3f4f7f1f6f02"


async def owned(coupons: Coupons, discount_cents: int = 300) -> str:
    """A coupon of ana's; its id."""
    await opened(coupons, discount_cents=discount_cents)
    given = await coupons.issue("e", "ana")
    await persisted(coupons)
    return given.issuance.issuance_id


async def told(coupons: Coupons) -> list[tuple[str, str, str]]:
    """What payments is asked to charge."""
    found = await coupons.hub.read.xrange(coupons.settings.charges_stream)
    names = (b"correlation_id", b"amount_cents", b"reference")
    return [tuple(fields[name].decode() for name in names) for _, fields in found]  # type: ignore[index, misc, union-attr]


async def paid(coupons: Coupons, state: str, order: str = ORDER, cents: int = 700) -> None:
    """Payments says how it ended."""
    fields: dict[str, str] = {"correlation_id": order, "state": state, "amount_cents": str(cents)}
    await coupons.hub.write.xadd(coupons.settings.finals_stream, fields)  # type: ignore[arg-type]  # text to text


def final(state: str) -> Message:
    """How payments says that it ended."""
    fields = {"correlation_id": ORDER, "state": state, "amount_cents": "700"}
    return Message(b"1-0", {name.encode(): value.encode() for name, value in fields.items()})


@asynccontextmanager
async def charging(coupons: Coupons, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The worker, on this database."""
    monkeypatch.setenv("LASTRO_COUPONS_DATABASE_URL", coupons.settings.database)
    run = Run(hub=coupons.hub, settings=Settings(grace_seconds=2))
    working = asyncio.create_task(worker.charge(run))
    yield
    run.stopping.set()
    await working


async def test_the_rest_of_an_order_is_charged_once_and_its_coupon_redeemed_when_paid(
    here: Coupons, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await owned(here)
    first, again = [await spend(here, id_, "ana", ORDER, 1_000) for _ in range(2)]
    assert (first.charge_cents, first) == (700, again)
    async with charging(here, monkeypatch):
        await wait_for(lambda: told(here), "the charge")
        await paid(here, "done")
        await wait_for(lambda: _is(here, "done"), "the end")
    assert await told(here) == [(ORDER, "700", id_)]
    assert (await redemption.find(here, id_)).status == "redeemed"


async def test_a_payment_that_died_gives_the_coupon_back(here: Coupons, monkeypatch: pytest.MonkeyPatch) -> None:
    id_ = await owned(here)
    await spend(here, id_, "ana", ORDER, 1_000)
    async with charging(here, monkeypatch):
        await paid(here, "dead")
        await paid(here, "done", ANOTHER)  # somebody else's payment
        await wait_for(lambda: _is(here, "dead"), "the end")
    assert (await redemption.find(here, id_)).status == "issued"
    assert (await spend(here, id_, "ana", ANOTHER, 1_000)).state == "waiting"


async def test_a_payment_of_another_amount_under_its_id_is_not_the_order_s(
    here: Coupons, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coupon goes back once, and the order does not get it again, whatever is told of it later."""
    id_ = await owned(here)
    await spend(here, id_, "ana", ORDER, 1_000)
    await relay(here)
    async with charging(here, monkeypatch):
        await paid(here, "done", cents=1)
        await wait_for(lambda: _is(here, "dead"), "the end")
    assert (await redemption.find(here, id_)).status == "issued"
    assert (await spend(here, id_, "ana", ORDER, 1_000)).state == "dead"
    with pytest.raises(errors.OrderReleased):
        await redemption.redeem(here, id_, ORDER)
    assert await told(here) == [(ORDER, "700", id_)]
    assert await worker.check(here.hub) == []


async def test_what_is_told_of_an_order_that_is_done_does_not_free_its_coupon_and_the_check_names_it(
    here: Coupons, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await owned(here, discount_cents=5_000)
    await spend(here, id_, "ana", ORDER, 1_000)
    async with charging(here, monkeypatch):
        await paid(here, "dead", cents=1)
        await paid(here, "done", cents=1)
        await wait_for(lambda: _followed(here, 2), "both to be heard")
        found = await worker.check(here.hub)
    assert (await redemption.find(here, id_)).status == "redeemed"
    assert found == [f"{ORDER}: done for 0, paid 1"]


async def test_an_order_that_was_never_paid_gives_its_coupon_back_and_a_late_charge_is_told(
    here: Coupons, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await owned(here)
    await spend(here, id_, "ana", ORDER, 1_000)
    await relay(here)
    assert await give_up(here) == 0
    object.__setattr__(here.settings, "charge_seconds", -1)
    assert await give_up(here) == 1
    assert (await redemption.find(here, id_)).status == "issued"
    async with charging(here, monkeypatch):
        await paid(here, "done")
        await wait_for(lambda: late(here), "somebody to be told")
    assert any(ORDER in finding for finding in await worker.check(here.hub))


async def test_a_charge_whose_coupon_is_gone_ends_and_holds_up_no_other(here: Coupons) -> None:
    """Whatever took its row away: orders after it give their coupons back."""
    gone = await owned(here)
    stays = (await here.issue("e", "bia")).issuance.issuance_id
    await persisted(here)
    for id_, user, order in ((gone, "ana", ORDER), (stays, "bia", ANOTHER)):
        await spend(here, id_, user, order, 1_000)
    await here.database.run(lambda c: c.execute(sa.delete(issuances).where(issuances.c.issuance_id == gone)))
    object.__setattr__(here.settings, "charge_seconds", -1)
    assert await give_up(here) == 2
    assert [(await charge(here, order)).state for order in (ORDER, ANOTHER)] == ["over", "over"]
    assert (await redemption.find(here, stays)).status == "issued"
    assert await give_up(here) == 0


@pytest.mark.parametrize("dead", [True, False])
async def test_an_order_that_is_paid_while_its_coupon_is_given_back_keeps_it(
    on_postgres: Coupons, *, dead: bool
) -> None:
    """Whoever gives it back saw the order unpaid, and waits for the payment's own transaction."""
    id_ = await owned(on_postgres)
    await spend(on_postgres, id_, "ana", ORDER, 1_000)
    await relay(on_postgres)
    object.__setattr__(on_postgres.settings, "charge_seconds", -1)

    def done(connection: sa.Connection) -> None:
        connection.execute(sa.update(issuances).values(status="redeemed"))
        connection.execute(sa.update(charges).values(state="done"))

    await overtaken(on_postgres, done, follow(on_postgres, final("dead")) if dead else give_up(on_postgres))
    assert (await redemption.find(on_postgres, id_)).status == "redeemed"
    assert (await charge(on_postgres, ORDER)).state == "done"


async def test_a_charge_that_could_not_be_told_in_time_is_not_told_and_its_coupon_is_free(here: Coupons) -> None:
    """Its reservation is over: with another order's charge, one coupon would pay for two."""
    id_ = await owned(here)
    await spend(here, id_, "ana", ORDER, 1_000)
    waited_ms = here.settings.charge_seconds * 1_000

    def later(connection: sa.Connection) -> None:
        connection.execute(sa.update(issuances).values(reserved_until_ms=issuances.c.reserved_until_ms - waited_ms))
        connection.execute(sa.update(charges).values(created_ms=charges.c.created_ms - waited_ms))

    await here.database.run(later)
    await spend(here, id_, "ana", ANOTHER, 1_000)
    assert await relay(here) == 1
    assert await told(here) == [(ANOTHER, "700", id_)]
    assert await give_up(here) == 1
    assert (await charge(here, ORDER)).state == "over"
    assert (await redemption.find(here, id_)).order_ref == ANOTHER


async def test_an_order_that_is_called_off_before_its_charge_was_told_is_never_charged(here: Coupons) -> None:
    id_ = await owned(here)
    await spend(here, id_, "ana", ORDER, 1_000)
    for spelled in (ORDER.upper(), ORDER):
        assert (await redemption.release(here, id_, spelled)).status == "issued"
    assert await relay(here) == 0
    assert await told(here) == []
    assert (await spend(here, id_, "ana", ORDER, 1_000)).state == "over"
    assert (await spend(here, id_, "ana", ANOTHER, 1_000)).state == "waiting"


@pytest.mark.parametrize("state", ["telling", "sent"])
async def test_an_order_whose_charge_payments_may_know_of_cannot_be_called_off(here: Coupons, state: str) -> None:
    """Its payment decides: the refusal changed nothing, and the order keeps the coupon it paid with."""
    id_ = await owned(here)
    await spend(here, id_, "ana", ORDER, 1_000)
    await relay(here)
    await here.database.run(lambda connection: connection.execute(sa.update(charges).values(state=state)))
    with pytest.raises(errors.ChargeUnderWay):
        await redemption.release(here, id_, ORDER)
    assert (await charge(here, ORDER)).state == state
    await follow(here, final("done"))
    assert (await redemption.find(here, id_)).status == "redeemed"
    assert (await redemption.release(here, id_, ORDER)).status == "issued", "paid, and then undone by a person"


async def test_a_charge_whose_order_is_called_off_while_it_is_about_to_be_told_is_not_told(
    on_postgres: Coupons,
) -> None:
    """The relay has read it already, and waits for the release's own transaction."""
    id_ = await owned(on_postgres)
    await spend(on_postgres, id_, "ana", ORDER, 1_000)

    def called_off(connection: sa.Connection) -> None:
        connection.execute(sa.update(charges).values(state="over"))

    assert await overtaken(on_postgres, called_off, relay(on_postgres)) == 0
    assert await told(on_postgres) == []
    assert (await charge(on_postgres, ORDER)).state == "over"


async def test_an_order_that_is_called_off_while_its_charge_is_marked_for_telling_is_charged(
    on_postgres: Coupons,
) -> None:
    id_ = await owned(on_postgres)
    await spend(on_postgres, id_, "ana", ORDER, 1_000)

    def telling(connection: sa.Connection) -> None:
        connection.execute(sa.update(charges).values(state="telling"))

    async def call_off() -> None:
        with pytest.raises(errors.ChargeUnderWay):
            await redemption.release(on_postgres, id_, ORDER)

    await overtaken(on_postgres, telling, call_off())
    assert await relay(on_postgres) == 1, "whoever marked it died before it was told"
    assert await told(on_postgres) == [(ORDER, "700", id_)]


def charged_with_another(connection: sa.Connection) -> None:
    """The order, with a coupon of another event."""
    values = {"issuance_id": "another", "amount_cents": 1_000, "charge_cents": 700, "state": "waiting"}
    connection.execute(sa.insert(charges).values(correlation_id=ORDER, created_ms=now_ms(), **values))


async def refused(coupons: Coupons, issuance_id: str) -> None:
    """The order has a coupon."""
    with pytest.raises(errors.OrderExists):
        await spend(coupons, issuance_id, "ana", ORDER, 1_000)


async def test_an_order_that_comes_with_two_coupons_at_once_is_charged_with_one(on_postgres: Coupons) -> None:
    """Each locks its own coupon: the second sees that the order is taken when the first is written."""
    id_ = await owned(on_postgres)
    await overtaken(on_postgres, charged_with_another, refused(on_postgres, id_))
    assert (await charge(on_postgres, ORDER)).issuance_id == "another"
    assert (await redemption.find(on_postgres, id_)).status == "issued"


async def test_a_spend_that_waits_holds_up_no_other_coupon_of_its_event(on_postgres: Coupons) -> None:
    """Neither one that is there nor one that is being written."""
    ours = await owned(on_postgres)
    another = (await on_postgres.issue("e", "bia")).issuance.issuance_id
    await persisted(on_postgres)
    await events.resize(on_postgres, "e", 1, "more")

    async def others() -> None:
        async with asyncio.timeout(WAIT_SECONDS / 2):  # the other waits for WAIT_SECONDS at most
            await spend(on_postgres, another, "bia", ANOTHER, 1_000)
        await on_postgres.issue("e", "caio")
        await persisted(on_postgres)

    await overtaken(on_postgres, charged_with_another, refused(on_postgres, ours), others)
    assert (await charge(on_postgres, ANOTHER)).state == "waiting"


async def test_a_coupon_that_covers_the_order_is_redeemed_at_once(here: Coupons) -> None:
    id_ = await owned(here, discount_cents=5_000)
    assert (await spend(here, id_, "ana", ORDER, 1_000)).state == "done"
    assert (await redemption.find(here, id_)).status == "redeemed"
    assert await relay(here) == 0


async def test_a_charge_told_twice_is_one(coupons: Coupons) -> None:
    """A worker dies between telling and marking."""
    await spend(coupons, await owned(coupons), "ana", ORDER, 1_000)
    await relay(coupons)
    await coupons.database.run(
        lambda connection: connection.exec_driver_sql("UPDATE coupon_charges SET state='waiting'")
    )
    await relay(coupons)
    assert len(await told(coupons)) == 1


@pytest.mark.parametrize(
    ("user", "order", "amount", "refusal"),
    [
        ("bia", ORDER, 1_000, errors.NotYours),
        ("ana", "no uuid", 1_000, Invalid),
        ("ana", ORDER, 0, Invalid),
        ("ana", ORDER, 10**12 + 1, Invalid),
        ("ana", ORDER, 2_000, errors.OrderExists),
        ("ana", ANOTHER, 1_000, errors.Taken),
    ],
)
async def test_what_is_wrong_is_told_and_changes_nothing(
    coupons: Coupons, user: str, order: str, amount: int, refusal: type[Exception]
) -> None:
    id_ = await owned(coupons)
    await spend(coupons, id_, "ana", ORDER, 1_000)
    with pytest.raises(refusal):
        await spend(coupons, id_, user, order, amount)
    assert (await charge(coupons, ORDER)).state == "waiting"


async def _followed(coupons: Coupons, many: int) -> bool:
    told_ = await finals(coupons).members.measure()
    return not (told_.lag or told_.pending) and many == await coupons.hub.read.xlen(coupons.settings.finals_stream)


async def _is(coupons: Coupons, state: str) -> bool:
    return (await charge(coupons, ORDER)).state == state
