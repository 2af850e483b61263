"""A ledger in shards: what crosses is on both or on neither, whoever dies on the way."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest

from lastro.core.clock import now_ms
from lastro.core.errors import Invalid, Misconfigured
from lastro.core.keys import slot
from lastro.core.redis import Hub, connect_url
from lastro.core.testing.load import dying
from lastro.ledger import keys
from lastro.ledger.engine.shards import PAGE, STUCK_MS, Shards
from lastro.ledger.engine.shards.crossing import RECOVER_MAX, Way
from lastro.ledger.errors import CannotCross
from lastro.ledger.model.codes import AccountFlag, TransferFlag
from lastro.ledger.model.crossing import TRANSIT, TRANSIT_CODE, Crossing, derived, shard_of, transit, transit_account
from lastro.ledger.model.records import Account, AccountFilter, QueryFilter, Transfer
from lastro.ledger.settings import LedgerSettings

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["cluster"], indirect=True)]
COUNT = 4
LIMITED = AccountFlag.DEBITS_MUST_NOT_EXCEED_CREDITS


def living(shard: int, number: int = 0) -> int:
    """The number-th id of a shard."""
    return [each for each in range(1, 200) if shard_of(each, COUNT) == shard][number]


A, OTHER_A, B, C = living(0), living(0, 1), living(1), living(2)


@pytest.fixture
async def shards(hub: Hub) -> AsyncIterator[Shards]:
    opened = await Shards.open(hub, LedgerSettings(), COUNT)
    await opened.create_accounts([Account(id=each, ledger=1, code=1) for each in (A, OTHER_A, B, C)])
    yield opened
    await opened.aclose()
    assert await opened.check() == []


def paying(number: int, debit: int = A, credit: int = B, amount: int = 10, **more: Any) -> Transfer:
    return Transfer(
        id=number, debit_account_id=debit, credit_account_id=credit, amount=amount, ledger=1, code=1, **more
    )


async def balances(shards: Shards, *ids: int) -> list[tuple[int, ...]]:
    """Pending and posted debits and credits of each."""
    return [
        (each.debits_pending, each.debits_posted, each.credits_pending, each.credits_posted)
        for each in await shards.lookup_accounts(ids or (A, B))
    ]


def statuses(outcomes: Sequence[Any]) -> list[str]:
    return [outcome.status for outcome in outcomes]


async def test_shards_divide_the_slots_of_a_cluster_evenly(hub: Hub) -> None:
    assert hub.capabilities.cluster
    for total in (1, 2, 3, 16, 100):
        slots = [slot(keys.keyspace(keys.shard("main", number, total))) for number in range(total)]
        assert [each * total // 16_384 for each in slots] == list(range(total))


async def test_a_transfer_between_shards_is_on_both(shards: Shards) -> None:
    assert (await shards.create_transfer(paying(1))).status == "ok"
    assert await balances(shards) == [(0, 10, 0, 0), (0, 0, 0, 10)]


async def test_it_is_found_as_it_was_asked_for(shards: Shards) -> None:
    outcome = await shards.create_transfer(paying(1, user_data_64=7))
    found = await shards.transfer(1)
    assert found == paying(1, user_data_64=7, timestamp=outcome.timestamp)


async def test_asked_again_it_exists_and_nothing_moves(shards: Shards) -> None:
    first = await shards.create_transfer(paying(1))
    again = await shards.create_transfer(paying(1))
    assert (again.status, again.timestamp) == ("exists", first.timestamp)
    assert await balances(shards) == [(0, 10, 0, 0), (0, 0, 0, 10)]


@pytest.mark.parametrize(
    ("other", "status"),
    [
        (paying(1, amount=11), "exists_with_different_amount"),
        (paying(1, credit=living(1, 1)), "exists_with_different_credit_account_id"),
        (paying(1, credit=C), "exists_with_different_credit_account_id"),
        (paying(1, debit=OTHER_A), "exists_with_different_debit_account_id"),
        (paying(1, user_data_32=1), "exists_with_different_user_data_32"),
    ],
)
async def test_the_same_id_for_another_transfer_is_told_in_what_it_differs(
    shards: Shards, other: Transfer, status: str
) -> None:
    await shards.create_accounts([Account(id=living(1, 1), ledger=1, code=1)])
    assert statuses(await shards.create_transfers([paying(1), other])) == ["ok", status]
    assert await balances(shards) == [(0, 10, 0, 0), (0, 0, 0, 10)]


async def test_what_the_payer_does_not_have_is_refused_and_touches_nobody_else(shards: Shards) -> None:
    poor = living(0, 2)
    await shards.create_accounts([Account(id=poor, ledger=1, code=1, flags=LIMITED)])
    assert (await shards.create_transfer(paying(1, debit=poor))).status == "exceeds_credits"
    assert await balances(shards, poor, B) == [(0, 0, 0, 0), (0, 0, 0, 0)]


async def test_a_receiver_that_is_not_there_leaves_the_payer_his_money_for_good(shards: Shards) -> None:
    missing = living(1, 5)
    assert (await shards.create_transfer(paying(1, credit=missing))).status == "credit_account_not_found"
    await shards.create_accounts([Account(id=missing, ledger=1, code=1)])
    assert (await shards.create_transfer(paying(1, credit=missing))).status == "id_already_failed"
    assert await balances(shards, A, missing) == [(0, 0, 0, 0), (0, 0, 0, 0)]


async def test_an_id_that_was_used_inside_the_shard_is_refused(shards: Shards) -> None:
    told = await shards.create_transfers([paying(1, credit=OTHER_A)])
    told += await shards.create_transfers([paying(1)])
    assert statuses(told) == ["ok", "exists_with_different_flags"]
    assert await balances(shards, B) == [(0, 0, 0, 0)]


async def test_some_inside_and_some_between_each_have_their_outcome_in_its_place(shards: Shards) -> None:
    told = await shards.create_transfers(
        [paying(1), paying(2, credit=OTHER_A), paying(3, debit=B, credit=A), paying(4, amount=0), paying(1)]
    )
    assert statuses(told) == ["ok", "ok", "ok", "ok", "exists"]
    assert await balances(shards) == [(0, 20, 0, 10), (0, 10, 0, 10)]


async def test_what_was_reserved_before_an_account_closed_is_still_settled(shards: Shards) -> None:
    """Else it could be posted on one side and never on the other."""
    await half_way(shards, Crossing(paying(1), 0, 1), away=True)
    closing = paying(
        90, debit=B, credit=living(1, 1), amount=0, flags=TransferFlag.PENDING | TransferFlag.CLOSING_DEBIT
    )
    await shards.create_accounts([Account(id=living(1, 1), ledger=1, code=1)])
    assert statuses(await shards.create_transfers([closing])) == ["ok"]
    assert await shards.recover(older_ms=-1000) == 1
    assert await balances(shards) == [(0, 10, 0, 0), (0, 0, 0, 10)]


async def half_way(shards: Shards, crossing: Crossing, *, away: bool = False) -> None:
    """Whoever carries it dies when it is reserved at home, or on both sides."""
    await shards.coordinator._open({crossing.pair})
    await shards.ledgers[crossing.home].create_transfers(
        [crossing.hold_home], crossing=True, metadata={0: crossing.note}
    )
    if away:
        await shards.ledgers[crossing.away].create_transfers([crossing.hold_away])


async def noted(shards: Shards) -> int:
    """How many crossings are not done."""
    return sum([await shards.hub.read.zcard(keys.crossings(ledger.name)) for ledger in shards.ledgers])


async def test_an_id_on_its_way_into_a_shard_is_taken_for_a_payer_of_another(shards: Shards) -> None:
    """The second touches nothing of the first, which comes to its end."""
    await half_way(shards, Crossing(paying(1), 0, 1), away=True)
    told = await shards.create_transfers([paying(1, debit=C), paying(2, debit=C, amount=5)])
    assert statuses(told) == ["exists_with_different_debit_account_id", "ok"]
    assert await shards.recover(older_ms=-1000) == 1
    assert await balances(shards, A, B, C) == [(0, 10, 0, 0), (0, 0, 0, 15), (0, 5, 0, 0)]
    assert await shards.recover(older_ms=-1000) == 0
    assert statuses([await shards.create_transfer(paying(1, debit=C))]) == ["id_already_failed"]
    assert await noted(shards) == 0


async def test_of_two_payers_of_one_id_in_two_shards_one_pays_and_no_money_is_lost(shards: Shards) -> None:
    for number in range(1, 101):
        told = await asyncio.gather(
            shards.create_transfers([paying(number)]), shards.create_transfers([paying(number, debit=C)])
        )
        assert sorted(statuses([one for some in told for one in some])) == [
            "exists_with_different_debit_account_id",
            "ok",
        ]
    a, b, c = await balances(shards, A, B, C)
    assert (a[1] + c[1], b) == (1000, (0, 0, 0, 1000))
    assert await noted(shards) == 0


@pytest.mark.parametrize("answered", [False, True], ids=["unsent", "unheard"])
async def test_whoever_uses_an_id_again_may_die_at_any_step(hub: Hub, *, answered: bool) -> None:
    """The first transfer of that id stands, nothing of the second is left reserved."""
    died = 0
    while True:
        await hub.write.flushall()
        first = await Shards.open(hub, LedgerSettings(), COUNT)
        await first.create_accounts([Account(id=each, ledger=1, code=1) for each in (A, B, C)])
        await first.create_transfer(paying(1, debit=C))
        got = await dying(hub, died + 1, answered=answered, act=partial(first.create_transfers, [paying(1)]))
        async with await connect_url(hub.url) as own:
            second = await Shards.open(own, LedgerSettings(), COUNT)
            await second.recover(older_ms=-1000)
            again = await second.create_transfer(paying(1))
            assert again.status in {"exists_with_different_debit_account_id", "id_already_failed"}
            assert await balances(second, A, B, C) == [(0, 0, 0, 0), (0, 0, 0, 10), (0, 10, 0, 0)]
            assert await noted(second) == 0
            assert await second.check() == []
        if not got:
            break
        died += 1
    assert died >= 7, "every step was met"


async def test_a_crossing_that_cannot_end_is_told_of_and_keeps_no_other_from_it(hub: Hub) -> None:
    """Somebody voids what is reserved away, after it was posted at home."""
    made = await Shards.open(hub, LedgerSettings(), COUNT)
    await made.create_accounts([Account(id=each, ledger=1, code=1) for each in (A, B)])
    broken, honest = Crossing(paying(1), 0, 1), Crossing(paying(2, amount=5), 0, 1)
    for each in (broken, honest):
        await half_way(made, each, away=True)
    await made.ledgers[0].create_transfer(broken.decide)
    await made.ledgers[1].create_transfer(made.ledgers[1].voiding(broken.hold_away.id, 99))
    assert statuses(await made.create_transfers([paying(1), paying(3, amount=1)])) == ["exists", "ok"]
    assert await made.recover(older_ms=-1000) == 1
    assert await balances(made, A, B) == [(0, 16, 0, 0), (0, 0, 0, 6)]
    name = keys.crossings(made.ledgers[0].name)
    assert await hub.write.zrange(name, 0, -1) == [broken.hold_home.id.to_bytes(16, "little")]
    await hub.write.zadd(name, {broken.hold_home.id.to_bytes(16, "little"): now_ms() - 2 * STUCK_MS})
    assert await made.check() == [f"shard 0: crossing {broken.hold_home.id} is not done after 10 minutes"]
    await made.aclose()


async def test_more_crossings_that_cannot_end_than_are_taken_up_at_once_do_not_stand_before_the_others(
    shards: Shards,
) -> None:
    await shards.coordinator._open({(0, 1, 1)})
    strange = [Crossing(paying(number, amount=0), 0, 1).hold_home for number in range(1, RECOVER_MAX + 2)]
    await shards.ledgers[0].create_transfers(strange, crossing=True)  # no note says for whom
    await half_way(shards, Crossing(paying(9999), 0, 1))
    assert await shards.recover(older_ms=-1000) == 1
    assert await balances(shards) == [(0, 10, 0, 0), (0, 0, 0, 10)]
    assert await noted(shards) == len(strange)


@pytest.mark.parametrize(
    "note",
    [
        *({"x": 1}, ["a"], "text", 7, {"id": "no", "credit_account_id": "1"}, {"id": 1, "credit_account_id": str(B)}),
        *({"id": "1" * 5000, "credit_account_id": str(B)}, {"id": "1", "credit_account_id": str(1 << 128)}),
        {"id": "3", "credit_account_id": str(B)},  # another's: what has no end under this id would be taken up for ever
    ],
)
async def test_a_reservation_whose_note_is_no_crossings_keeps_no_other_from_its_end(
    shards: Shards, note: object
) -> None:
    await half_way(shards, Crossing(paying(1), 0, 1))
    await half_way(shards, Crossing(paying(2, debit=C), shards.home(C), 1))
    strange = Crossing(paying(1), 0, 1).hold_home.id
    await shards.hub.write.set(keys.metadata(shards.ledgers[0].name, strange), json.dumps(note))
    assert await asyncio.wait_for(shards.recover(older_ms=-1000), 5) == 1
    assert await noted(shards) == 1


async def test_a_reservation_for_no_shard_there_is_keeps_no_other_from_its_end(hub: Hub) -> None:
    made, nowhere = await Shards.open(hub, LedgerSettings(), COUNT), Crossing(paying(1), 0, 77)
    await made.create_accounts([Account(id=each, ledger=1, code=1) for each in (A, B)])
    await made.ledgers[0].create_accounts([transit_account(1, 77)])
    await made.ledgers[0].create_transfers([nowhere.hold_home], crossing=True, metadata={0: nowhere.note})
    await half_way(made, Crossing(paying(2), 0, 1))
    assert await made.recover(older_ms=-1000) == 1
    assert await noted(made) == 1
    await made.aclose()


async def test_what_the_store_refuses_to_one_crossing_it_does_not_refuse_to_the_others(shards: Shards) -> None:
    """The state of the third shard is unreadable for a while."""
    for each in (Crossing(paying(1, credit=C), 0, 2), Crossing(paying(2, amount=5), 0, 1)):
        await half_way(shards, each)
    state: Any = keys.state(shards.ledgers[2].name)
    before: Any = await shards.hub.write.getset(state, "?")
    assert await shards.recover(older_ms=-1000) == 1
    assert await balances(shards) == [(10, 5, 0, 0), (0, 0, 0, 5)]
    await shards.hub.write.set(state, before)
    assert await shards.recover(older_ms=-1000) == 1
    assert await balances(shards, A, C) == [(0, 15, 0, 0), (0, 0, 0, 10)]


async def test_a_refused_crossing_voids_what_a_slower_one_reserved_and_nothing_of_another_with_its_id(
    shards: Shards,
) -> None:
    mine, others = Crossing(paying(1), 0, 1), Crossing(paying(1, debit=C), 2, 1)
    await half_way(shards, mine, away=True)
    await shards.coordinator._undo([Way(others)])
    assert await balances(shards) == [(10, 0, 0, 0), (0, 0, 10, 0)]
    await shards.ledgers[0].create_transfer(mine.release_home)
    await shards.coordinator._undo([Way(mine)])
    assert await balances(shards) == [(0, 0, 0, 0), (0, 0, 0, 0)]


async def test_a_refused_crossing_leaves_no_account_behind(shards: Shards) -> None:
    elsewhere = [replace(paying(number), ledger=1000 + number) for number in range(20)]
    nobody = [paying(100, debit=living(0, 9)), replace(paying(101), ledger=0)]
    told = statuses(await shards.create_transfers(elsewhere + nobody))
    assert told == ["accounts_must_have_the_same_ledger"] * 20 + ["debit_account_not_found", "ledger_must_not_be_zero"]
    assert {each.id for each in await shards.query_accounts(QueryFilter())} == {A, OTHER_A, B, C}


async def test_a_payer_of_another_ledger_is_told_the_same_whether_or_not_others_crossed_there(shards: Shards) -> None:
    other = replace(paying(1), ledger=2)
    first = await shards.create_transfer(other)
    await shards.create_accounts(
        [Account(id=living(0, 3), ledger=2, code=1), Account(id=living(1, 3), ledger=2, code=1)]
    )
    assert (await shards.create_transfer(replace(paying(2, living(0, 3), living(1, 3)), ledger=2))).status == "ok"
    assert (await shards.create_transfer(other)).status == first.status == "accounts_must_have_the_same_ledger"
    assert (await shards.create_transfer(paying(1))).status == "ok", "and the id is still free"


@pytest.mark.parametrize("lost", [0, 1], ids=["at home", "away"])
async def test_transit_accounts_that_a_failover_took_back_are_opened_again(shards: Shards, lost: int) -> None:
    """A replica without the last moment takes over one shard: its keys are what they were before the first crossing."""
    client: Any = shards.hub.write
    mine = f"{keys.keyspace(shards.ledgers[lost].name)}*"
    before = {key: await client.dump(key) for key in await client.keys(mine)}
    assert (await shards.create_transfer(paying(1, amount=0))).ok
    await client.delete(*await client.keys(mine))
    for key, value in before.items():
        await client.restore(key, 0, value)
    told = statuses(await shards.create_transfers([paying(2), paying(3, credit=living(1, 9)), paying(4, living(0, 9))]))
    assert told == ["ok", "credit_account_not_found", "debit_account_not_found"]
    assert await balances(shards) == [(0, 10, 0, 0), (0, 0, 0, 10)]


async def test_between_shards_is_looked_at_behind_any_number_of_accounts_of_the_same_code(hub: Hub) -> None:
    """Which number a user gives his accounts is his own affair."""
    made = await Shards.open(hub, LedgerSettings(), COUNT)
    users = [each for each in range(1, 5000) if shard_of(each, COUNT) == 0][: PAGE + 1]
    await made.create_accounts([Account(id=each, ledger=1, code=TRANSIT_CODE, user_data_32=999) for each in users])
    assert await made.check() == []
    await made.create_accounts([Account(id=B, ledger=1, code=1)])
    await made.create_transfer(paying(1))
    await made.ledgers[1].create_transfer(paying(2, debit=transit(1, 0), credit=B, amount=7))
    assert "shard 0: 10 left for shard 1 in ledger 1, 17 came in there" in await made.check()
    await made.aclose()


async def test_only_plain_transfers_cross_and_chains_stay_in_their_shard(shards: Shards) -> None:
    for flag in (TransferFlag.PENDING, TransferFlag.BALANCING_DEBIT, TransferFlag.LINKED):
        with pytest.raises(CannotCross):
            await shards.create_transfers([paying(1, flags=flag)])
    with pytest.raises(Invalid, match="another shard"):
        await shards.create_transfers(
            [paying(1, credit=OTHER_A, flags=TransferFlag.LINKED), paying(2, debit=B, credit=living(1, 1))]
        )
    with pytest.raises(CannotCross):
        await shards.create_transfers([paying(1, debit=transit(1, 1))])
    with pytest.raises(Invalid):
        await shards.create_accounts([Account(id=TRANSIT, ledger=1, code=1)])


@pytest.mark.parametrize(
    "chain",
    [
        [paying(1, credit=OTHER_A, flags=TransferFlag.LINKED), paying(2)],
        [paying(1, credit=OTHER_A, flags=TransferFlag.LINKED), paying(2, credit=living(1, 9)), paying(3, A, OTHER_A)],
        [paying(1, A, OTHER_A, flags=TransferFlag.LINKED), paying(2), paying(3, A, OTHER_A, amount=1 << 128)],
        [paying(1, A, OTHER_A, amount=1 << 128), paying(2)],
        [paying(1), paying(2, credit=-1)],
        [paying(1, amount=5), *(paying(2 + each, A, OTHER_A, flags=TransferFlag.LINKED) for each in range(8200))],
    ],
    ids=["its end crosses", "its end fails", "a stranger behind it", "too large", "no account", "too long"],
)
async def test_what_no_shard_can_take_whole_is_refused_before_any_of_it_is_sent(
    shards: Shards, chain: list[Transfer]
) -> None:
    with pytest.raises(Invalid):
        await shards.create_transfers(chain)
    assert await shards.query_transfers(QueryFilter()) == []


async def test_one_that_does_not_fit_is_refused_alone_among_many_at_once(shards: Shards) -> None:
    wrong, *others = await asyncio.gather(
        *(shards.create_transfer(paying(1 + each, amount=1 << 128 if each == 0 else 10)) for each in range(5)),
        return_exceptions=True,
    )
    assert (type(wrong), statuses(others)) == (Invalid, ["ok"] * 4)
    with pytest.raises(Invalid, match="event 1: id"):
        await shards.create_accounts([Account(id=each, ledger=1, code=1) for each in (living(2, 1), -1)])
    assert await shards.lookup_accounts([living(2, 1)]) == []


async def test_a_ledger_has_its_number_of_shards_for_good(hub: Hub, shards: Shards) -> None:
    assert shards
    with pytest.raises(Misconfigured, match="4"):
        await Shards.open(hub, LedgerSettings(), 5)


async def test_queries_ask_every_shard_and_answer_by_time(shards: Shards) -> None:
    await shards.create_transfers([paying(1), paying(2, debit=C, credit=A), paying(3, credit=OTHER_A)])
    found = await shards.query_transfers(QueryFilter(ledger=1))
    assert [each.timestamp for each in found] == sorted(each.timestamp for each in found)
    assert {1, 2, 3} <= {each.id for each in found}
    mine = await shards.get_account_transfers(AccountFilter(account_id=A))
    assert {each.id for each in mine} == {derived(1, 1), 1, derived(2, 2), derived(2, 3), 3}


async def test_a_crossing_under_way_hides_no_difference_between_two_shards(hub: Hub) -> None:
    made = await Shards.open(hub, LedgerSettings(), COUNT)
    await made.create_accounts([Account(id=each, ledger=1, code=1) for each in (A, B)])
    await made.create_transfer(paying(1))
    home, away = made.ledgers[0], made.ledgers[1]
    hold = Crossing(paying(2, amount=6), 0, 1).hold_home
    await home.create_transfers([hold], crossing=True)
    await made.ledgers[0].create_transfer(Crossing(paying(2, amount=6), 0, 1).decide)
    assert await made.check() == [], "6 left, and are on their way"
    out_of_nothing = paying(3, debit=transit(1, 0), credit=B, amount=7)
    await away.create_transfer(out_of_nothing)
    assert [finding for finding in await made.check() if "17 came in there" in finding]
    await hub.write.zadd(keys.crossings(home.name), {hold.id.to_bytes(16, "little"): now_ms() - 2 * STUCK_MS})
    assert f"shard 0: crossing {hold.id} is not done after 10 minutes" in await made.check()
    await made.aclose()


@pytest.mark.parametrize("answered", [False, True], ids=["unsent", "unheard"])
@pytest.mark.parametrize("missing", [False, True], ids=["accepted", "refused"])
async def test_a_coordinator_may_die_at_any_step(hub: Hub, *, answered: bool, missing: bool) -> None:
    """Every command it sends, before it and after it; then another finishes, and then it is asked for again."""
    credit = living(1, 3) if missing else B
    died = 0
    while True:
        await hub.write.flushall()
        first = await Shards.open(hub, LedgerSettings(), COUNT)
        await first.create_accounts([Account(id=each, ledger=1, code=1) for each in (A, B)])
        act = partial(first.create_transfers, [paying(1, credit=credit)])
        got = await dying(hub, died + 1, answered=answered, act=act)
        async with await connect_url(hub.url) as own:
            second = await Shards.open(own, LedgerSettings(), COUNT)
            await second.recover(older_ms=-1000)
            a, *rest = await balances(second, A, B)
            assert (a, rest) in [((0, 0, 0, 0), [(0, 0, 0, 0)]), ((0, 10, 0, 0), [(0, 0, 0, 10)])]
            assert await second.recover(older_ms=-1000) == 0
            again = await second.create_transfer(paying(1, credit=credit))
            assert again.status in ({"credit_account_not_found", "id_already_failed"} if missing else {"ok", "exists"})
            posted = 0 if missing else 10
            assert await balances(second, A, B) == [(0, posted, 0, 0), (0, 0, 0, posted)]
            assert await second.check() == []
        if not got:
            break
        died += 1
    assert died >= 7, "every step was met"


async def test_many_coordinators_and_recoveries_at_once_come_to_one_end(hub: Hub, shards: Shards) -> None:
    """The same transfers by three coordinators, two of which die again and again, and recoveries in between."""
    random = Random(7)
    pairs = [random.sample([A, B, C, OTHER_A, living(3, 9)], 2) for _ in range(60)]
    transfers = [paying(number, debit, credit, number) for number, (debit, credit) in enumerate(pairs, 1)]
    hubs = [await connect_url(hub.url) for _ in range(3)]
    others = [await Shards.open(each, LedgerSettings(), COUNT) for each in hubs]

    async def restless(one: Shards, own: Hub, seed: int) -> None:
        chance = Random(seed)
        for _ in range(12):
            some = chance.sample(transfers, 20)
            act = partial(one.create_transfers, some)
            await dying(own, chance.randint(1, 14), answered=chance.random() < 0.5, act=act)
            await one.recover(older_ms=-1000)

    await asyncio.gather(*(restless(one, own, seed) for seed, (one, own) in enumerate(zip(others, hubs, strict=True))))
    told = await shards.create_transfers(transfers)
    for one, own in zip(others, hubs, strict=True):
        await one.recover(older_ms=-1000)
        await own.aclose()
    assert {outcome.status for outcome in told} <= {
        "ok",
        "exists",
        "credit_account_not_found",
        "debit_account_not_found",
        "id_already_failed",
    }
    for transfer, outcome in zip(transfers, told, strict=True):
        assert (outcome.status in {"ok", "exists"}) == (
            living(3, 9) not in {transfer.debit_account_id, transfer.credit_account_id}
        )
    went = [transfer for transfer, outcome in zip(transfers, told, strict=True) if outcome.status in {"ok", "exists"}]
    for account in (A, B, C, OTHER_A):
        out = sum(each.amount for each in went if each.debit_account_id == account)
        came = sum(each.amount for each in went if each.credit_account_id == account)
        assert await balances(shards, account) == [(0, out, 0, came)]
