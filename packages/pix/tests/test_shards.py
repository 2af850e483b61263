"""Pix in shards: payments settle where their payer is at home, and money goes home in sums, each once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from typing import Any

import pytest

from lastro.core.errors import Invalid
from lastro.core.redis import Hub, connect_url
from lastro.core.testing import wait_for
from lastro.core.testing.load import dying
from lastro.core.testing.topologies import cluster
from lastro.pix.engine import accounts
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.engine.shards import NeedsCluster, PixShards
from lastro.pix.errors import NoSuchPayment, ReturnRefused
from lastro.pix.model.payment import Answer, amount_cents
from lastro.pix.model.places import home
from lastro.pix.settings import PixSettings

pytestmark = pytest.mark.anyio
COUNT = 3
ISPBS = [f"9999{number:04d}" for number in range(1, 60)]
PAYER = next(each for each in ISPBS if home(each, COUNT) == 0)
PAYEE = next(each for each in ISPBS if home(each, COUNT) == 1)
HERE, THERE = 0, 1
in_cluster_mode = pytest.mark.parametrize("server", ["cluster"], indirect=True)


@pytest.fixture
def shards(hub: Hub) -> PixShards:
    return PixShards.of(hub, PixSettings(), COUNT)


@pytest.fixture
async def desk(shards: PixShards, desk_of: Any) -> AsyncIterator[Any]:
    """At the engine of the payer's home; both participants are known, the payer has funds."""
    await shards.fund(PAYER, 100_000, "open")
    await shards.fund(PAYEE, 0, "open")
    yield desk_of(shards.engines[HERE])
    await adds_up(shards)


async def adds_up(shards: PixShards) -> None:
    """Each engine by itself, and what went between them."""
    for engine in shards.engines:
        assert (await reconcile(engine)).findings == []
    assert [finding async for finding in shards.between()] == []


async def free(shards: PixShards, ispb: str) -> list[int]:
    """What a participant has, shard by shard."""
    return [(await accounts.account(engine, ispb)).free_cents for engine in shards.engines]


async def settled(desk: Any, shards: PixShards, cents: int = 1_000) -> Any:
    payment = desk.order(cents, payer=PAYER, payee=PAYEE)
    await shards.submit([payment])
    await desk.work()
    await desk.answer(payment, payee=PAYEE)
    return payment


@in_cluster_mode
async def test_a_payment_settles_where_its_payer_is_and_its_money_goes_home_in_a_sum(
    desk: Any, shards: PixShards
) -> None:
    payments = [await settled(desk, shards) for _ in range(3)]
    assert (await shards.status(payments[0].end_to_end_id)).state == "SETTLED"
    assert await free(shards, PAYEE) == [3_000, 0, 0]
    assert await shards.sweep() == 3_000
    assert await free(shards, PAYEE) == [0, 3_000, 0]
    assert await shards.sweep() == 0
    account = await shards.account(PAYEE)
    assert (account.free_cents, account.in_cents) == (3_000, 3_000)


@in_cluster_mode
async def test_more_than_lua_counts_exactly_goes_home_to_the_centavo(desk: Any, shards: PixShards) -> None:
    """An account is funded to the largest such sum, and paid 1,000 on top: that is odd, and no double."""
    await accounts.fund(shards.engines[HERE], PAYEE, accounts.ACCOUNT_MAX_CENTS, "fill")
    await settled(desk, shards)
    assert await shards.sweep() == accounts.ACCOUNT_MAX_CENTS + 1_000
    assert await free(shards, PAYEE) == [0, accounts.ACCOUNT_MAX_CENTS + 1_000, 0]


@in_cluster_mode
async def test_what_came_home_can_be_given_back_from_there(desk: Any, shards: PixShards) -> None:
    """The payer's engine has the payment, so what is given back is fetched there."""
    payment = await settled(desk, shards)
    await shards.sweep()
    order = desk.giving_back(payment, 400)
    made = await shards.refund(order)
    assert made.state == "SETTLED"
    assert (await shards.status(order.rtr_id, payment.end_to_end_id)).cents == 400
    assert (await shards.refund(order)).id == made.id
    assert (await free(shards, PAYER), await free(shards, PAYEE)) == ([99_400, 0, 0], [0, 600, 0])
    await shards.fund(PAYEE, -600, "gone")
    with pytest.raises(ReturnRefused) as refused:
        await shards.refund(desk.giving_back(payment, 300))
    assert refused.value.about["spi"] == "AM04"


@in_cluster_mode
async def test_an_id_that_names_another_payer_finds_no_shard(desk: Any, shards: PixShards) -> None:
    with pytest.raises(Invalid, match="another payer"):
        await shards.submit(
            [desk.order(1, payer=PAYEE, payee=PAYER, end_to_end_id=desk.order(1, payer=PAYER).end_to_end_id)]
        )


@in_cluster_mode
async def test_who_is_suspended_is_so_everywhere(desk: Any, shards: PixShards) -> None:
    await shards.suspend(PAYEE, active=False)
    payment = desk.order(1_000, payer=PAYER, payee=PAYEE)
    await shards.submit([payment])
    await desk.work()
    assert (await shards.status(payment.end_to_end_id)).code == "DS27"


@in_cluster_mode
@pytest.mark.parametrize("answered", [False, True], ids=["unsent", "unheard"])
async def test_who_brings_money_home_may_die_at_any_step(
    hub: Hub, desk: Any, shards: PixShards, *, answered: bool
) -> None:
    """It is in one place or on its way to it, never in two; another sees it through, and the next sum comes too."""
    for at in range(1, 5):
        await settled(desk, shards)
        async with await connect_url(hub.url) as own:
            mover = PixShards.of(own, PixSettings(), COUNT)
            died = await dying(own, at, answered=answered, act=partial(mover.move, PAYEE, HERE, THERE))
        assert died == (at < 4)
        assert sum(await free(shards, PAYEE)) in {at * 1_000, (at - 1) * 1_000}
        assert [finding async for finding in shards.between()] == []
        await settled(desk, shards, 500)
        while await shards.sweep():
            pass
        await shards.fund(PAYEE, -500, f"out-{at}")
        assert await free(shards, PAYEE) == [0, at * 1_000, 0]


@in_cluster_mode
async def test_the_check_between_shards_looks_beside_moves(hub: Hub, shards: PixShards) -> None:
    """While sums leave and arrive none is missing; one that is, is."""
    for ispb in ISPBS:
        await shards.fund(ispb, 0, "open")
        for engine in shards.engines:
            await accounts.fund(engine, ispb, 1_000, "away")
    stop = asyncio.Event()

    async def moves() -> None:
        async with await connect_url(hub.url) as own:
            mover = PixShards.of(own, PixSettings(), COUNT)
            while not stop.is_set():
                for ispb in ISPBS:
                    own_place = home(ispb, COUNT)
                    await mover.move(ispb, (own_place + 1) % COUNT, own_place, 1)

    arrived, field = shards.engines[home(PAYEE, COUNT)].keys.arrived, f"{(home(PAYEE, COUNT) + 1) % COUNT}:{PAYEE}"
    moving = asyncio.create_task(moves())
    try:
        await wait_for(lambda: hub.read.hexists(arrived, field), "the first moves")
        for _ in range(20):
            assert [finding async for finding in shards.between()] == []
    finally:
        stop.set()
        await moving
    await hub.write.hincrby(arrived, field, -1)
    assert [finding.id async for finding in shards.between()] == [PAYEE]
    await hub.write.hincrby(arrived, field, 2)
    assert [finding.id async for finding in shards.between()] == [PAYEE]


@in_cluster_mode
async def test_an_act_of_funding_may_have_any_name(shards: PixShards) -> None:
    """Also the one by which shards make a participant known to each other."""
    for _ in range(2):
        assert (await shards.fund(PAYEE, 500, "shards")).free_cents == 500
    assert await free(shards, PAYEE) == [0, 500, 0]


@in_cluster_mode
async def test_without_a_cluster_the_original_names_are_one_engines(hub: Hub) -> None:
    hub.capabilities = type(hub.capabilities)()
    with pytest.raises(NeedsCluster):
        PixShards.of(hub, PixSettings(), 2)


@pytest.mark.slow
async def test_participants_of_three_servers_pay_each_other_and_everything_comes_home(desk_of: Any) -> None:
    """Real servers, workers of each engine, money going home all the time; every centavo is somewhere, once."""
    chance, people, count, funds = Random(11), ISPBS[:12], 1_500, 1_000_000
    with cluster(replicas=0) as topology:
        async with await connect_url(topology.url) as hub:
            shards = PixShards.of(hub, PixSettings(), COUNT)
            assert len({hub.place(engine.keys.payments) for engine in shards.engines}) == COUNT
            for ispb in people:
                await shards.fund(ispb, funds, "open")
            desks = [desk_of(engine) for engine in shards.engines]
            async with AsyncExitStack() as workers:
                for each in desks:
                    await workers.enter_async_context(each.workers())
                payments = []
                for _ in range(count):
                    payer, payee = chance.sample(people, 2)
                    payments.append(desks[0].order(chance.randint(1, 900), payer=payer, payee=payee))
                for at, payment in enumerate(payments):
                    await shards.submit([payment])
                    if at % 100 == 99:
                        await answered(shards, payments[at - 99 : at + 1])
                        await shards.sweep()
            while await shards.sweep():
                pass
            for ispb in people:
                paid = sum(cents(each) for each in payments if each.payer == ispb)
                came = sum(cents(each) for each in payments if each.payee == ispb)
                assert (await free(shards, ispb))[home(ispb, COUNT)] == funds - paid + came
            await adds_up(shards)


def cents(payment: Any) -> int:
    """Its amount."""
    found = amount_cents(payment.amount)
    assert isinstance(found, int)
    return found


async def answered(shards: PixShards, payments: list[Any]) -> None:
    """Each accepted, answered by its receiver, settled."""

    async def state(payment: Any, word: str) -> bool:
        try:
            return (await shards.status(payment.end_to_end_id)).state == word
        except NoSuchPayment:
            return False

    for payment in payments:
        await wait_for(partial(state, payment, "ACCEPTED"))
    for payment in payments:
        await shards.answer([Answer(end_to_end_id=payment.end_to_end_id, payee=payment.payee, status="ACSP")])
    for payment in payments:
        await wait_for(partial(state, payment, "SETTLED"))
