"""Behind sentinels and in a cluster, under load: what was acknowledged with its copy is there, once, whatever died."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random

import pytest

from lastro.core.keys import slot
from lastro.core.redis import Hub, connect_url
from lastro.core.redis.clients import ClusterClient
from lastro.core.redis.copies import Copies
from lastro.core.redis.slots import move_slot
from lastro.core.scripts import insist
from lastro.core.testing import standstill, wait_for
from lastro.core.testing.load import Load
from lastro.core.testing.topologies import Cluster, Sentinels, cluster, sentinels
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.check import check
from lastro.ledger.engine.shards import Shards
from lastro.ledger.model.records import Account, QueryFilter, Transfer
from lastro.ledger.settings import LedgerSettings

pytestmark = pytest.mark.anyio
ONE, BOTH = Copies(1, 500), Copies(2, 500)
BACK_SECONDS = 10.0
WOKEN_SECONDS = 20.0
LOADED_SECONDS = 60.0
SMALL = (200, 1.0)
FULL = (2_000, 10.0)
REDIS = Path("/usr/bin/redis-server")
ACCOUNTS = range(1, 121)
NAMES = [f"ledger-{number}" for number in range(6)]
SIZES = [pytest.param(SMALL, id="small"), pytest.param(FULL, id="full", marks=pytest.mark.slow)]


@pytest.fixture
def behind() -> Iterator[Sentinels]:
    with sentinels() as topology:
        yield topology


@pytest.fixture(params=["valkey", pytest.param("redis", marks=[pytest.mark.slow, pytest.mark.needs("redis-server")])])
def three(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with cluster(binary=REDIS if request.param == "redis" else None) as topology:
        yield topology


async def opened(hub: Hub) -> list[Ledger]:
    """Ledgers that lie on all the servers, with two accounts each."""
    ledgers = [Ledger(hub, LedgerSettings(), name=name) for name in NAMES]
    for ledger in ledgers:
        await ledger.create_accounts([Account(id=1, ledger=1, code=1), Account(id=2, ledger=1, code=1)])
    return ledgers


async def loaded(ledgers: list[Ledger], size: tuple[int, float], fault: Callable[[], Awaitable[None]]) -> Load:
    """Transfers at this rate over all ledgers, the fault in the middle; then until all are going again."""
    rate, seconds = size

    async def act(number: int) -> None:
        transfer = Transfer(id=number + 1, debit_account_id=1, credit_account_id=2, amount=1, ledger=1, code=1)
        outcome = await ledgers[number % len(ledgers)].create_transfer(transfer)
        assert outcome.status in {"ok", "exists"}

    load = Load(act, rate, len(ledgers))
    load.start()
    await acknowledged(load, rate * seconds / 2)
    await fault()
    broken = time.monotonic()
    await acknowledged(load, rate * seconds / 2)
    begun = load.begun
    each = [range(number, begun + len(ledgers), len(ledgers)) for number in range(len(ledgers))]
    await wait_for(
        lambda: all(any(load.acknowledged.get(n, 0) > broken for n in reversed(numbers)) for numbers in each),
        "an acknowledgement of every ledger",
        WOKEN_SECONDS,
    )
    await load.finish()
    return load


async def acknowledged(load: Load, more: float) -> None:
    """Wait for so many acts more."""
    wanted = len(load.acknowledged) + more
    await wait_for(lambda: len(load.acknowledged) >= wanted, "acknowledgements", LOADED_SECONDS)


async def all_there_once(load: Load, ledgers: list[Ledger]) -> None:
    """Every acknowledged transfer is in its ledger, none twice, and everything adds up."""
    for ledger in ledgers:  # for a moment a sentinel may still name the primary that is dead: that is Busy
        await insist(partial(ledger.account, 1), within_seconds=BACK_SECONDS)
    for at, ledger in enumerate(ledgers):
        numbers = {number + 1 for number in load.acknowledged if number % len(ledgers) == at}
        stored = [transfer.id for transfer in await everything(ledger)]
        assert numbers == set(stored)
        assert len(stored) == len(set(stored))
        assert (await ledger.account(1)).debits_posted == len(stored)
        assert await check(ledger) == []


async def everything(ledger: Ledger) -> list[Transfer]:
    """All transfers."""
    found: list[Transfer] = []
    while page := await ledger.query_transfers(
        QueryFilter(limit=8_000, timestamp_min=found[-1].timestamp + 1 if found else 0)
    ):
        found += page
    return found


@pytest.mark.slow
@pytest.mark.parametrize("size", [SMALL, FULL], ids=["small", "full"])
async def test_a_primary_behind_sentinels_may_die_under_load(behind: Sentinels, size: tuple[int, float]) -> None:
    """One of two replicas is promised: whichever takes over is the one that is ahead, and goes on with the other."""
    async with await connect_url(behind.url, timeout_seconds=1.0, copies=ONE) as hub:
        ledgers = await opened(hub)

        async def fault() -> None:
            with behind.impatient():
                (old := behind.primary).kill()
                await wait_for(lambda: behind.primary is not old, "another primary", LOADED_SECONDS)

        async with standstill() as lost:
            load = await loaded(ledgers, size, fault)
        await all_there_once(load, ledgers)
        assert load.gap_seconds - lost.seconds < BACK_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("size", [SMALL, FULL], ids=["small", "full"])
@pytest.mark.parametrize(
    ("hasty", "within_seconds"), [(False, WOKEN_SECONDS), (True, BACK_SECONDS)], ids=["patient", "hasty"]
)
async def test_a_primary_that_comes_back_after_another_took_over_has_promised_nothing(
    size: tuple[int, float], *, hasty: bool, within_seconds: float
) -> None:
    """Frozen, given up and woken, it goes on as primary for a moment, perhaps with one of the replicas.

    That is why every replica must be promised where this matters: the one that took over says nothing to the old one.
    Then it goes on when the old one is a replica, too, and that is what the sentinels take their time for.
    """
    with sentinels(hasty=hasty) as behind:
        load = await woken(behind, size)
        assert load.gap_seconds < within_seconds


async def woken(behind: Sentinels, size: tuple[int, float]) -> Load:
    """Load, while the primary is frozen, given up and woken."""
    async with await connect_url(behind.url, timeout_seconds=1.0, copies=BOTH) as hub:
        ledgers = await opened(hub)
        old = behind.primary

        async def fault() -> None:
            with behind.impatient():
                old.stop()
                await wait_for(lambda: behind.primary is not old, "another primary", LOADED_SECONDS)
            old.go_on()

        load = await loaded(ledgers, size, fault)
        await all_there_once(load, ledgers)
        return load


@pytest.mark.parametrize("size", SIZES)
async def test_a_primary_of_a_cluster_may_die_under_load(three: Cluster, size: tuple[int, float]) -> None:
    """Its replica takes over, and goes on with a copy when whoever watches the dead one has started it again."""
    async with await connect_url(three.url, timeout_seconds=1.0, copies=ONE) as hub:
        ledgers = await opened(hub)
        assert len({hub.place(ledger.keyspace) for ledger in ledgers}) == len(three.nodes) // 2
        owned = slot(ledgers[0].keyspace)

        async def fault() -> None:
            dead = three.owner(owned)
            with three.impatient():
                dead.kill()
                await wait_for(lambda: three.owner(owned) is not dead, "another primary", LOADED_SECONDS)
            await asyncio.to_thread(dead.start)

        async with standstill() as lost:
            load = await loaded(ledgers, size, fault)
        await all_there_once(load, ledgers)
        assert load.gap_seconds - lost.seconds < BACK_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("size", [SMALL, FULL], ids=["small", "full"])
async def test_a_ledger_moves_to_another_server_under_load(three: Cluster, size: tuple[int, float]) -> None:
    """There and back. While its slot is between two servers it answers nobody, and so never from half of itself."""
    async with await connect_url(three.url, timeout_seconds=1.0, copies=ONE) as hub:
        assert isinstance(hub.write, ClusterClient)
        client, ledgers = hub.write, await opened(hub)
        home = hub.place(ledgers[0].keyspace)
        away = next(place for each in ledgers if (place := hub.place(each.keyspace)) != home)

        async def fault() -> None:
            for place in (away, home, away):
                assert await move_slot(client, slot(ledgers[0].keyspace), place)

        load = await loaded(ledgers, size, fault)
        assert hub.place(ledgers[0].keyspace) == away
        await all_there_once(load, ledgers)


@pytest.mark.parametrize("size", SIZES)
async def test_a_shard_moves_to_another_server_while_money_goes_between_all_of_them(
    three: Cluster, size: tuple[int, float]
) -> None:
    """Twelve shards on three servers; half of the transfers stay in theirs, half cross. Exact at the end."""
    rate, seconds = size[0] // 2, size[1]
    async with await connect_url(three.url, timeout_seconds=1.0, copies=ONE) as hub:
        shards = await Shards.open(hub, LedgerSettings(), 12)
        accounts = [Account(id=number, ledger=1, code=1) for number in ACCOUNTS]
        await shards.create_accounts(accounts)
        assert isinstance(hub.write, ClusterClient)

        async def act(number: int) -> None:
            debit, credit = Random(number).sample(ACCOUNTS, 2)
            if number % 2:
                same = [each for each in ACCOUNTS if shards.home(each) == shards.home(debit) and each != debit]
                credit = same[number % len(same)]
            outcome = await shards.create_transfer(
                Transfer(id=number + 1, debit_account_id=debit, credit_account_id=credit, amount=1, ledger=1, code=1)
            )
            assert outcome.status in {"ok", "exists"}, outcome

        load = Load(act, rate)
        load.start()
        for number in (0, 5, 11, 0):
            space = shards.ledgers[number].keyspace
            away = next(node.name for node in three.nodes[:3] if node.name != hub.place(space))
            await acknowledged(load, rate * seconds / 5)
            assert await move_slot(hub.write, slot(space), away)
        await acknowledged(load, rate * seconds / 5)
        await load.finish()
        await shards.recover(older_ms=-1000)
        assert await shards.check() == []
        found = await shards.lookup_accounts(ACCOUNTS)
        assert sum(each.debits_posted for each in found) == sum(each.credits_posted for each in found) == load.begun
        assert not any(each.debits_pending + each.credits_pending for each in found)
        assert len(await shards.lookup_transfers([number + 1 for number in load.acknowledged])) == load.begun
