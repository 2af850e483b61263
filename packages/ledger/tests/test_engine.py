"""What the ledger can do, one concept each."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from lastro.core.errors import Invalid
from lastro.core.redis import Hub
from lastro.core.testing import wait_for
from lastro.ledger import keys, new_id, scripts
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.check import check
from lastro.ledger.errors import TooMuchData, UnknownAccount, UnknownTransfer
from lastro.ledger.model.codes import AccountFlag, QueryFilterFlag, TransferCode, TransferFlag
from lastro.ledger.model.records import U128_MAX, Account, AccountFilter, QueryFilter, Transfer
from lastro.ledger.settings import LedgerSettings

pytestmark = pytest.mark.anyio

PENDING = TransferFlag.PENDING
BALANCES = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")


@pytest.fixture
async def ledger(hub: Hub) -> Ledger:
    """Two accounts, 1 and 2, the first with history; calls of at most 10 events."""
    made = Ledger(hub, LedgerSettings(batch_max=10, changes_keep=100))
    await made.create_accounts(
        [Account(id=1, ledger=1, code=1, flags=AccountFlag.HISTORY), Account(id=2, ledger=1, code=1)]
    )
    return made


def paying(number: int, amount: int = 10, **also: int) -> Transfer:
    """From account 1 to account 2."""
    return Transfer(id=number, debit_account_id=1, credit_account_id=2, amount=amount, ledger=1, code=1, **also)


def results(outcomes: Sequence[object]) -> list[int]:
    return [getattr(outcome, "result", -1) for outcome in outcomes]


async def test_money_moves_from_the_debit_to_the_credit_account(ledger: Ledger) -> None:
    assert (await ledger.create_transfer(paying(100))).ok
    debit, credit = await ledger.lookup_accounts([1, 2])
    assert (debit.debits_posted, credit.credits_posted) == (10, 10)


async def test_the_same_transfer_twice_moves_once_and_has_the_first_timestamp(ledger: Ledger) -> None:
    first, again = await ledger.create_transfer(paying(100)), await ledger.create_transfer(paying(100))
    assert (again.status, again.timestamp) == ("exists", first.timestamp)
    assert (await ledger.account(1)).debits_posted == 10


async def test_a_reservation_is_posted_in_part_and_the_rest_is_free_again(ledger: Ledger) -> None:
    await ledger.create_transfer(paying(100, 10, flags=PENDING))
    assert (await ledger.account(1)).debits_pending == 10
    assert (await ledger.create_transfer(ledger.posting(100, 101, 4))).ok
    found = await ledger.account(1)
    assert (found.debits_pending, found.debits_posted) == (0, 4)


async def test_a_void_gives_everything_back(ledger: Ledger) -> None:
    await ledger.create_transfer(paying(100, 10, flags=PENDING))
    assert (await ledger.create_transfer(ledger.voiding(100, 101))).ok
    found = await ledger.account(1)
    assert (found.debits_pending, found.debits_posted) == (0, 0)


async def test_many_tasks_at_once_do_not_affect_one_another(ledger: Ledger) -> None:
    transfers = [paying(new_id()) for _ in range(50)]
    transfers.append(Transfer(id=new_id(), debit_account_id=9, credit_account_id=2, amount=1, ledger=1, code=1))
    outcomes = await asyncio.gather(*(ledger.create_transfer(each) for each in transfers))
    assert results(outcomes) == [0] * 50 + [TransferCode.DEBIT_ACCOUNT_NOT_FOUND]


async def test_a_batch_of_any_size_is_split_but_never_a_chain(ledger: Ledger) -> None:
    """Calls of ten: a chain of 25 that fails at its end undoes all of it, the rest stands."""
    chain = [paying(1000 + number, flags=TransferFlag.LINKED) for number in range(24)] + [Transfer(id=1024)]
    alone = [paying(2000 + number) for number in range(17)]
    outcomes = await ledger.create_transfers([*alone, *chain, paying(3000)])
    assert results(outcomes) == [0] * 17 + [1] * 24 + [TransferCode.DEBIT_ACCOUNT_ID_MUST_NOT_BE_ZERO] + [0]
    assert (await ledger.account(1)).debits_posted == 180


async def test_the_first_event_decides_about_imports_in_every_part_of_a_batch(ledger: Ledger) -> None:
    mixed = [paying(100 + number) for number in range(15)] + [paying(200, flags=TransferFlag.IMPORTED, timestamp=5)]
    assert results(await ledger.create_transfers(mixed))[-1] == TransferCode.IMPORTED_EVENT_NOT_EXPECTED


async def test_a_chain_that_no_call_can_take_is_refused_whole(ledger: Ledger) -> None:
    with pytest.raises(TooMuchData):
        await ledger.create_transfers([paying(1 + number, flags=TransferFlag.LINKED) for number in range(8200)])
    assert await ledger.query_transfers(QueryFilter()) == []


async def test_of_a_request_of_many_calls_nothing_is_done_when_a_later_event_is_wrong(ledger: Ledger) -> None:
    """Calls take 10 events here; whoever is told "invalid" must not have to find out what was done."""
    with pytest.raises(TooMuchData):
        await ledger.create_transfers(
            [paying(1 + number) for number in range(15)]
            + [paying(100 + number, flags=TransferFlag.LINKED) for number in range(8200)]
        )
    with pytest.raises(Invalid, match="event 24: amount"):
        await ledger.create_transfers([*(paying(1 + number) for number in range(24)), paying(99, amount=1 << 128)])
    with pytest.raises(Invalid, match="event 12: id"):
        await ledger.create_accounts([Account(id=number, ledger=1, code=1) for number in (*range(10, 22), -1)])
    assert await ledger.query_transfers(QueryFilter()) == []
    assert {each.id for each in await ledger.query_accounts(QueryFilter())} == {1, 2}


async def test_an_answer_has_at_most_8189_objects(ledger: Ledger) -> None:
    with pytest.raises(TooMuchData):
        await ledger.query_transfers(QueryFilter(limit=8190))


@pytest.mark.parametrize(
    ("transfer", "field"),
    [(Transfer(id=1 << 128), "id"), (Transfer(amount=-1), "amount"), (Transfer(code=1 << 16), "code")],
)
async def test_a_number_that_does_not_fit_is_refused_by_its_field(
    ledger: Ledger, transfer: Transfer, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await ledger.create_transfer(transfer)
    assert refused.value.about["field"] == field
    with pytest.raises(Invalid, match=f"event 1: {field}"):
        await ledger.create_transfers([paying(100), transfer])
    assert await ledger.query_transfers(QueryFilter()) == []


async def test_balances_after_a_transfer_come_with_its_outcome_if_asked_for(ledger: Ledger) -> None:
    await ledger.create_transfer(paying(100, 10))
    outcomes = await ledger.create_transfers([paying(101, 5), paying(101, 6)], balances=True)
    debit, credit = outcomes[0].debit_account, outcomes[0].credit_account
    assert debit is not None
    assert credit is not None
    assert (debit.debits_posted, credit.credits_posted) == (15, 15)
    assert outcomes[1].debit_account is None


@pytest.mark.parametrize("beyond", [-1, 1 << 128])
async def test_an_id_beyond_128_bits_is_refused_by_name(ledger: Ledger, beyond: int) -> None:
    for look in (ledger.lookup_accounts, ledger.lookup_transfers):
        with pytest.raises(Invalid, match="id"):
            await look([beyond])


async def test_metadata_is_kept_beside_the_transfers_that_were_created(ledger: Ledger) -> None:
    notes = {0: {"order": 7}, 1: "lost", 2: [1, 2]}
    transfers = [paying(1 << 120), Transfer(id=101), paying(102)]
    await ledger.create_transfers(transfers, metadata=notes)
    assert await ledger.metadata([1 << 120, 101, 102]) == [{"order": 7}, None, [1, 2]]
    await ledger.create_transfer(paying(1_234_567), metadata="of 1,234,567")
    like_its_key = int.from_bytes(b"1234567:metadata", "little")
    assert await ledger.lookup_transfers([like_its_key]) == []
    assert (await ledger.create_transfer(paying(like_its_key))).ok
    assert await ledger.metadata([1_234_567]) == ["of 1,234,567"]
    with pytest.raises(Invalid, match="metadata"):
        await ledger.create_transfer(paying(103), metadata="x" * 5000)


async def test_metadata_costs_the_server_by_its_length_not_by_its_words(ledger: Ledger) -> None:
    """It was written here: the script does not look at each of its words again, which took four times as long."""
    whole, spent, first = Ledger(ledger.hub, LedgerSettings()), [], 100
    for note in ("x" * 4000, [1] * 2000):  # as long as each other
        await ledger.hub.write.config_resetstat()
        events = [paying(first + n) for n in range(1000)]
        await whole.create_transfers(events, metadata=dict.fromkeys(range(1000), note))
        told: Any = await ledger.hub.read.info("commandstats")
        spent.append(sum(about["usec"] for name, about in told.items() if "eval" in name))
        assert await ledger.metadata([first + 999]) == [note]
        first += 1000
    assert spent[1] < 2 * spent[0]


async def test_what_is_not_there_is_said_so(ledger: Ledger) -> None:
    with pytest.raises(UnknownAccount):
        await ledger.account(9)
    with pytest.raises(UnknownTransfer):
        await ledger.transfer(9)
    assert [each.id for each in await ledger.lookup_accounts([2, 9, 1, 2])] == [2, 1, 2]


async def test_an_expired_reservation_is_released_and_a_late_post_is_refused(ledger: Ledger) -> None:
    closing = paying(100, 10, flags=PENDING | TransferFlag.CLOSING_DEBIT, timeout=1)
    await ledger.create_transfers([closing, paying(101, 10, flags=PENDING, timeout=1000)])
    await wait_for(ledger.expire_transfers, "the expiry")
    found = await ledger.account(1)
    assert (found.debits_pending, found.flags) == (0, AccountFlag.HISTORY)
    late = await ledger.create_transfer(ledger.posting(100, 102))
    assert late.result == TransferCode.PENDING_TRANSFER_EXPIRED
    assert await check(ledger) == []


async def test_what_was_settled_in_the_request_that_reserved_it_does_not_expire(ledger: Ledger) -> None:
    pending = paying(100, 10, flags=PENDING, timeout=1)
    outcomes = await ledger.create_transfers(
        [pending, ledger.posting(100, 101, 4), paying(102, 3, flags=PENDING, timeout=1)]
    )
    assert results(outcomes) == [0, 0, 0]
    assert await wait_for(ledger.expire_transfers, "the expiry of the other") == 1
    found = await ledger.account(1)
    assert (found.debits_pending, found.debits_posted) == (0, 4)
    assert await check(ledger) == []


async def test_the_next_write_releases_what_is_over_too(ledger: Ledger) -> None:
    made = await ledger.create_transfer(paying(100, 10, flags=PENDING, timeout=1))

    async def over() -> bool:
        return (await ledger.create_transfer(paying(new_id(), 0))).timestamp > made.timestamp + 10**9

    await wait_for(over, "the instant")
    assert (await ledger.account(1)).debits_pending == 0


async def test_every_change_is_in_the_stream_in_the_order_of_commits(ledger: Ledger) -> None:
    await ledger.create_transfers([paying(100, 7, flags=PENDING, timeout=1), paying(101, 5)])
    await wait_for(ledger.expire_transfers, "the expiry")
    found = []
    async for change in ledger.changes("0"):
        if change is None:
            break
        found.append(change)
    assert [change.kind for change in found] == ["account", "account", "transfer", "transfer", "expired"]
    assert [change.timestamp for change in found] == sorted(change.timestamp for change in found)
    _, _, reserved, posted, expired = found
    assert reserved.debit_account is not None
    assert posted.credit_account is not None
    assert expired.debit_account is not None
    assert reserved.debit_account.debits_pending == 7
    assert posted.credit_account.credits_posted == 5
    assert (expired.transfer, expired.debit_account.debits_pending) == (reserved.transfer, 0)
    assert expired.credit_account is not None
    for balance, number in ((expired.debit_account, 1), (expired.credit_account, 2)):
        account = await ledger.account(number)
        assert {name: getattr(account, name) for name in BALANCES} == {
            name: getattr(balance, name) for name in BALANCES
        }


async def test_a_ledger_that_nobody_trimmed_yet_keeps_a_burst_whole(ledger: Ledger) -> None:
    """What its first creation notes is the setting's default, not what the worker leaves."""
    whole, stream = Ledger(ledger.hub, LedgerSettings(batch_max=4000)), keys.changes(ledger.settings.name)
    for start in range(1000, 25_000, 4000):
        await whole.create_transfers([paying(start + number) for number in range(4000)])
    client: Any = ledger.hub.read
    assert await client.xlen(stream) == 24_002
    state = await client.get(keys.state(ledger.settings.name))
    assert int.from_bytes(state[44:48], "little") == LedgerSettings.model_fields["changes_max"].default


async def test_no_bound_of_the_stream_is_more_than_the_ledger_can_note(ledger: Ledger) -> None:
    """Beyond 32 bits it would be noted as one that keeps nothing."""
    for name in ("changes_keep", "changes_max"):
        with pytest.raises(ValidationError, match=name):
            LedgerSettings.model_validate({name: 1 << 32})
    most = LedgerSettings(changes_keep=(1 << 32) - 1, changes_max=(1 << 32) - 1)
    await Ledger(ledger.hub, most).retain_changes()
    await ledger.create_transfer(paying(100))
    client: Any = ledger.hub.read
    assert await client.xlen(keys.changes(most.name)) == 3


async def test_the_stream_is_trimmed_but_not_what_a_group_still_needs(ledger: Ledger) -> None:
    """However much is created between two looks at the groups."""
    stream = keys.changes(ledger.settings.name)
    client: Any = ledger.hub.write
    await client.xgroup_create(stream, "followers", id="0")
    await ledger.retain_changes()
    for start in range(0, 600, 100):
        await ledger.create_transfers([paying(1000 + start + number) for number in range(100)])
        if start >= 300:
            assert await ledger.retain_changes() == 0
    assert await client.xlen(stream) == 602
    (_, read), *_ = await client.xreadgroup("followers", "one", {stream: ">"}, count=500)
    await client.xack(stream, "followers", *(position for position, _ in read[:200] + read[201:]))
    assert 100 < await ledger.retain_changes() <= 200  # one in the middle is not acknowledged
    assert await client.xrange(stream, min=read[200][0], count=300) == read[200:]
    await client.xgroup_destroy(stream, "followers")
    await ledger.retain_changes()
    assert 100 <= await client.xlen(stream) < 200


async def test_a_sparse_filter_goes_on_where_a_call_stopped(ledger: Ledger) -> None:
    """One call looks at 10,000 records; two hits lie further apart."""
    big = Ledger(ledger.hub, LedgerSettings(batch_max=2000))
    first, last = paying(new_id(), user_data_64=7), paying(new_id(), user_data_64=7)
    await big.create_transfers([first, *(paying(new_id(), 0) for _ in range(20_500)), last])
    for flags in (0, 1):
        found = await big.query_transfers(QueryFilter(user_data_64=7, flags=flags))
        assert [each.id for each in found] == ([last.id, first.id] if flags else [first.id, last.id])
    mine = await big.get_account_transfers(AccountFilter(account_id=1, user_data_64=7, limit=2))
    assert [each.id for each in mine] == [first.id, last.id]
    rows = await big.get_account_balances(AccountFilter(account_id=1, user_data_64=7))
    assert [row.debits_posted for row in rows] == [10, 20]


async def test_the_check_names_the_first_account_that_differs(ledger: Ledger) -> None:
    await ledger.create_transfers([paying(100), paying(1 << 90, U128_MAX - 10)])
    assert await check(ledger) == []
    key = keys.account(ledger.settings.name, 2)
    stored = await ledger.hub.write.get(key)
    await ledger.create_transfer(Transfer(id=102, debit_account_id=2, credit_account_id=1, amount=1, ledger=1, code=1))
    assert stored is not None
    await ledger.hub.write.set(key, stored)
    (first, second) = await check(ledger)
    assert first == "account 2: debits_posted is 0, its transfers make 1"
    assert second.startswith("posted debits are")


def test_ids_rise_also_when_the_clock_goes_back() -> None:
    made = [new_id(5), new_id(5), new_id(4), new_id(6), new_id(1)]
    assert made == sorted(set(made))
    later = new_id()
    assert later >> 80 > 1_700_000_000_000
    assert new_id() > later


async def test_a_query_downwards_ends_at_the_first_timestamp_that_there_can_be(hub: Hub) -> None:
    """Looked at in steps of 10,000 records: behind that of timestamp 1 comes nothing, and not the newest again."""
    ledger = Ledger(hub, LedgerSettings())
    made = [
        Account(id=n, ledger=1, code=1 + (n == 5), flags=AccountFlag.IMPORTED, timestamp=n) for n in range(1, 10_001)
    ]
    assert all(one.ok for one in await ledger.create_accounts(made))
    downwards = QueryFilter(code=2, limit=20, flags=QueryFilterFlag.REVERSED)
    assert [each.id for each in await ledger.query_accounts(downwards)] == [5]
    asked = '{"code": 3, "limit": 20, "flags": 1}'
    found: Any = await scripts.query_accounts(hub.read, keyspace=[ledger.keyspace], wanted=asked)
    assert found == b"[]"
