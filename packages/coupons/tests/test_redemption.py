"""What becomes of a coupon: reserve, redeem, release, cancel, expire."""

import asyncio

import pytest
import sqlalchemy as sa

from lastro.core.clock import now_ms
from lastro.core.errors import Invalid
from lastro.coupons import errors, keys, scripts
from lastro.coupons.engine import Coupons, events, redemption
from lastro.coupons.engine.database.schema import coupons as table
from lastro.coupons.engine.database.schema import issuances
from lastro.coupons.engine.figures import figures
from lastro.coupons.engine.reconcile import check
from lastro.coupons.engine.upkeep import tend

from .conftest import opened, overtaken, persisted

# the strictest server is enough where the database decides; test_engine and test_api run on all of them
pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["cluster"], indirect=True)]


async def issued(coupons: Coupons, user_id: str = "ana", **plan: object) -> str:
    """A coupon that is in the database; its id."""
    await opened(coupons, **plan)  # type: ignore[arg-type]  # parts of a plan
    given = await coupons.issue("e", user_id)
    await persisted(coupons)
    return given.issuance.issuance_id


async def test_redeeming_for_an_order_happens_once_and_again_is_the_same(here: Coupons) -> None:
    id_ = await issued(here)
    first, again = [await redemption.redeem(here, id_, "order-1") for _ in range(2)]
    assert (first.status, first) == ("redeemed", again)
    with pytest.raises(errors.Taken):
        await redemption.redeem(here, id_, "order-2")
    assert [act for act, _, _ in await redemption.history(here, id_)] == ["redeemed"]


async def test_of_two_orders_at_once_one_gets_the_coupon(here: Coupons) -> None:
    id_ = await issued(here)
    acts = [redemption.redeem(here, id_, f"order-{n}") for n in range(8)]
    answers = await asyncio.gather(*acts, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Stored", *["Taken"] * 7]


async def test_an_order_that_dies_gives_its_coupon_back_and_never_gets_it_again(here: Coupons) -> None:
    """Idempotent by ids: released twice is released; the late redeem of a dead order is refused."""
    id_ = await issued(here)
    await redemption.redeem(here, id_, "order-1")
    for _ in range(2):
        assert (await redemption.release(here, id_, "order-1")).status == "issued"
    with pytest.raises(errors.OrderReleased):
        await redemption.redeem(here, id_, "order-1")
    assert (await redemption.redeem(here, id_, "order-2")).order_ref == "order-2"
    assert (await redemption.release(here, id_, "order-1")).order_ref == "order-2"


async def test_a_release_that_overtakes_its_redeem_wins(here: Coupons) -> None:
    id_ = await issued(here)
    await redemption.release(here, id_, "order-1")
    with pytest.raises(errors.OrderReleased):
        await redemption.redeem(here, id_, "order-1")


async def test_a_reservation_keeps_a_coupon_for_its_order_and_ends_by_itself(here: Coupons) -> None:
    id_ = await issued(here)
    await redemption.reserve(here, id_, "order-1", 60)
    with pytest.raises(errors.Taken):
        await redemption.redeem(here, id_, "order-2")
    over = sa.update(issuances).values(reserved_until_ms=now_ms() - 1)
    await here.database.run(lambda connection: connection.execute(over))
    assert (await redemption.find(here, id_)).status == "issued"
    assert (await redemption.redeem(here, id_, "order-2")).status == "redeemed"


async def test_a_cancelled_coupon_goes_back_into_stock_once(here: Coupons) -> None:
    id_ = await issued(here, total=1)
    for _ in range(2):
        assert (await redemption.cancel(here, id_)).status == "cancelled"
    event = await here.event("e")
    assert (event.stock, event.returned, event.adds_up) == (1, 1, True)
    assert (await here.issue("e", "bia")).new
    with pytest.raises(errors.Taken):
        await redemption.redeem(here, id_, "order-1")


@pytest.mark.parametrize("over", [True, False])
async def test_after_the_event_or_without_the_policy_a_cancelled_coupon_stays_gone(
    coupons: Coupons, *, over: bool
) -> None:
    id_ = await issued(coupons, total=1, returns_stock=over)
    if over:
        await events.close(coupons, "e")
    await redemption.cancel(coupons, id_)
    assert (await coupons.event("e")).stock == 0


async def test_a_unit_that_did_not_go_back_when_its_coupon_was_cancelled_goes_back_later(here: Coupons) -> None:
    """The store was away in between, and whoever cancelled does not come again."""
    id_ = await issued(here, total=1)

    def cancelled(connection: sa.Connection) -> None:
        connection.execute(sa.update(issuances).values(status="cancelled", cancelled_ms=now_ms()))

    await here.database.run(cancelled)
    assert (await here.event("e")).stock == 0
    await tend(here)
    await tend(here)
    assert (await here.event("e")).stock == 1
    await redemption.cancel(here, id_)
    assert (await here.event("e")).stock == 1


async def test_a_coupon_past_its_time_is_refused_and_then_marked(here: Coupons) -> None:
    id_ = await issued(here, valid_until_ms=now_ms() - 1)
    with pytest.raises(errors.Taken, match="expired"):
        await redemption.redeem(here, id_, "order-1")
    await tend(here)
    assert (await redemption.find(here, id_)).status == "expired"


async def test_a_reservation_may_outlive_the_coupon_s_time_but_no_longer_than_it_was_made_for(here: Coupons) -> None:
    """Neither its own order nor another gets it once both are over, and it is marked as expired."""
    id_ = await issued(here)
    await redemption.reserve(here, id_, "order-1", 60)
    await _over(here, "expires_ms")
    await tend(here)
    with pytest.raises(errors.Taken, match="expired"):
        await redemption.reserve(here, id_, "order-1", 60)
    assert (await redemption.find(here, id_)).status == "reserved"
    await _over(here, "reserved_until_ms")
    for act in (redemption.redeem(here, id_, "order-1"), redemption.reserve(here, id_, "order-1", 60)):
        with pytest.raises(errors.Taken, match="expired"):
            await act
    await tend(here)
    found = await redemption.find(here, id_)
    assert (found.status, found.order_ref) == ("expired", None)
    assert (await redemption.release(here, id_, "order-1")).status == "expired"


async def test_who_reserved_a_coupon_in_time_may_redeem_it_after(here: Coupons) -> None:
    id_ = await issued(here)
    await redemption.reserve(here, id_, "order-1", 60)
    await _over(here, "expires_ms")
    assert (await redemption.redeem(here, id_, "order-1")).status == "redeemed"


async def test_a_reservation_that_is_made_anew_at_the_last_moment_does_not_expire(on_postgres: Coupons) -> None:
    """Whoever marks what is over has seen it over, and waits for the reservation's own transaction."""
    id_ = await issued(on_postgres)
    await redemption.reserve(on_postgres, id_, "order-1", 60)
    await _over(on_postgres, "expires_ms", "reserved_until_ms")

    def reserved(connection: sa.Connection) -> None:
        connection.execute(sa.update(issuances).values(reserved_until_ms=now_ms() + 60_000))

    assert await overtaken(on_postgres, reserved, redemption.expire(on_postgres)) == 0
    assert (await redemption.find(on_postgres, id_)).status == "reserved"


async def _over(coupons: Coupons, *names: str) -> None:
    past = sa.update(issuances).values(dict.fromkeys(names, now_ms() - 1))
    await coupons.database.run(lambda connection: connection.execute(past))


async def test_a_coupon_that_is_redeemed_at_its_last_moment_does_not_expire(on_postgres: Coupons) -> None:
    """Whoever marks what is over has seen it unused, and waits for a redeem that was in time to be committed."""
    id_ = await issued(on_postgres)
    over = sa.update(issuances).values(expires_ms=now_ms() - 1)
    await on_postgres.database.run(lambda connection: connection.execute(over))

    def redeemed(connection: sa.Connection) -> None:
        connection.execute(sa.update(issuances).values(status="redeemed", order_ref="order-1"))

    assert await overtaken(on_postgres, redeemed, redemption.expire(on_postgres)) == 0
    assert (await redemption.find(on_postgres, id_)).status == "redeemed"


async def test_a_coupon_is_found_by_its_code_however_it_was_typed(here: Coupons) -> None:
    id_ = await issued(here)
    code = (await redemption.find(here, id_)).issuance.code
    sloppy = code.replace("-", "").lower().replace("0", "o").replace("1", "l")
    assert (await redemption.find_code(here, sloppy)).issuance.issuance_id == id_
    wrong = ("A" if code[0] != "A" else "B") + code[1:]
    with pytest.raises(Invalid):
        await redemption.find_code(here, wrong)


async def test_a_coupon_on_its_way_into_the_database_is_pending_and_another_is_unknown(coupons: Coupons) -> None:
    await opened(coupons)
    given = await coupons.issue("e", "ana")
    with pytest.raises(errors.Pending):
        await redemption.redeem(coupons, given.issuance.issuance_id, "order-1")
    await persisted(coupons)
    with pytest.raises(errors.UnknownIssuance):
        await redemption.redeem(coupons, "nothing", "order-1")


async def test_a_settled_event_is_in_the_database_and_redis_forgets_it(coupons: Coupons) -> None:
    await issued(coupons)
    with pytest.raises(errors.WrongState):
        await events.settle(coupons, "e")
    await events.close(coupons, "e")
    await persisted(coupons)
    assert (await events.settle(coupons, "e")).state == "settled"
    assert not await coupons.live()
    for key in (keys.meta, *events.BESIDES):
        assert await coupons.hub.read.ttl(key("e")) != -1


async def test_an_event_that_changed_since_its_outbox_was_looked_at_is_not_settled(coupons: Coupons) -> None:
    """A winner between that look and the end would be forgotten with the outbox, and so would a change of the event."""
    await issued(coupons)
    still_open = (await coupons.event("e")).version

    async def settled(version: int) -> str:
        others = [key("e") for key in events.BESIDES]
        return await scripts.settle(
            coupons.hub.write, meta=keys.meta("e"), others=others, version=version, life_ms=60_000
        )

    assert await settled(still_open) == "changed"
    eve = (await coupons.issue("e", "eve")).issuance
    await events.close(coupons, "e")
    assert await settled(still_open) == "changed"
    with pytest.raises(errors.WrongState):
        await events.settle(coupons, "e")
    await persisted(coupons)
    assert (await redemption.find(coupons, eve.issuance_id)).status == "issued"
    closed = (await coupons.event("e")).version
    await events.resize(coupons, "e", 1, "more")
    assert await settled(closed) == "changed"
    await persisted(coupons)
    assert (await events.settle(coupons, "e")).total == 3
    total = await coupons.database.run(lambda c: c.execute(sa.select(table.c.total_quantity)).scalar())
    assert total == 3


async def test_figures_say_how_an_event_goes(here: Coupons) -> None:
    await redemption.redeem(here, await issued(here, total=3), "order-1")
    await here.issue("e", "bia")
    told = await figures(here, "e")
    assert (told.total, told.stock, told.issued, told.on_their_way) == (3, 1, 2, 1)
    assert told.by_status == {"redeemed": 1}


async def test_an_event_whose_creator_died_half_way_stops_nobody_and_is_forgotten(coupons: Coupons) -> None:
    await opened(coupons, "whole", total=1)
    await coupons.hub.write.hset(keys.LIVE, mapping={"half": now_ms(), "old": now_ms() - 120_000})
    await tend(coupons)
    assert await check(coupons) == []
    assert await coupons.live() == ["whole"]
    assert set(await coupons.named()) == {"whole", "half"}
    await opened(coupons, "half", total=1)
    assert await coupons.live() == ["half", "whole"]
