"""`lastro ledger check` finds each kind of planted corruption, names the account, and is right while traffic runs."""

import asyncio
from collections.abc import Awaitable, Callable
from threading import Thread
from typing import Any

import pytest

from lastro.core.redis import Hub, connect_url
from lastro.core.testing import wait_for
from lastro.ledger import keys
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.check import check
from lastro.ledger.model.codes import AccountFlag, TransferFlag
from lastro.ledger.model.ids import new_id
from lastro.ledger.model.records import U128_MAX, Account, Transfer
from lastro.ledger.settings import LedgerSettings

pytestmark = pytest.mark.anyio

PLAIN, HELD, OPEN, FIRST = 71, 72, 73, 1 << 100
Plant = Callable[[Any], Awaitable[object]]


def paying(debit: int = 1, credit: int = 2, **changes: Any) -> Transfer:
    return Transfer(
        **{"id": new_id(), "debit_account_id": debit, "credit_account_id": credit, "amount": 7, "ledger": 1, "code": 1}
        | changes
    )


@pytest.fixture
async def ledger(hub: Hub) -> Ledger:
    """Twenty-one transfers, two of them pending, from 1 to 2, which keeps its history, and a few back."""
    made = Ledger(hub, LedgerSettings())
    await made.create_accounts(
        [Account(id=n, ledger=1, code=1, flags=AccountFlag.HISTORY if n == 2 else 0) for n in (1, 2, 3)]
    )
    held = paying(id=HELD, flags=TransferFlag.PENDING)
    free = paying(1, 3, id=OPEN, flags=TransferFlag.PENDING, timeout=3_600)
    await made.create_transfers(
        [*(paying(id=FIRST + n) for n in range(18)), paying(id=PLAIN), held, free, paying(2, 1), paying(2, 3)]
    )
    await made.create_transfer(made.posting(HELD, new_id(), 3))
    return made


def account(number: int) -> bytes:
    return keys.account("main", number)


async def lose_a_row(redis: Any) -> None:
    places = await redis.hkeys(keys.history(account(2)))
    await redis.hdel(keys.history(account(2)), places[3])


async def change_a_row(redis: Any) -> None:
    (place, row), *_rest = (await redis.hgetall(keys.history(account(2)))).items()
    await redis.hset(keys.history(account(2)), place, bytes([row[0] ^ 1]) + row[1:])


async def lose_waiting_entries(redis: Any) -> None:
    """Forty-two bytes at most wait in the account: cut the last six off."""
    value = await redis.get(account(1))
    await redis.set(account(1), bytes([value[0] - 6]) + value[1 : value[0] - 5] + value[value[0] + 1 :])


LOG = keys.log("main", "transfers", 0).encode()
DEBITS, CREDITS = keys.index(account(1), "debits", 0), keys.index(account(2), "credits", 0)
PLANTED: list[tuple[Plant, str]] = [
    (lambda redis: redis.setrange(DEBITS, 6, b"\x09"), "account 1: its index of debits is not the list of its"),
    (lambda redis: redis.set(CREDITS, b"123456"), "account 2: its index of credits has"),
    (lambda redis: redis.delete(CREDITS), "account 2: its index of credits has"),
    (lose_waiting_entries, "account 1: its index of debits has 21 entries, its transfers make 22"),
    (lose_a_row, "account 2: its balance history has 22 rows, its transfers make 23"),
    (change_a_row, "account 2: a row of its balance history is not what its transfers make"),
    (lambda redis: redis.delete(account(3)), "account 3: is not there"),
    (lambda redis: redis.delete(keys.transfer("main", PLAIN)), f"transfer {PLAIN}: its key does not say that it is at"),
    (lambda redis: redis.set(keys.transfer("main", PLAIN), b""), f"transfer {PLAIN}: its key does not say that it is"),
    (lambda redis: redis.incr(keys.transfer("main", HELD)), f"transfer {HELD} is settled, and its key"),
    (lambda redis: redis.incr(keys.transfer("main", OPEN)), f"transfer {OPEN} is marked as settled, and"),
    (lambda redis: redis.incr(keys.transfer("main", PLAIN)), f"transfer {PLAIN}: its key does not say that it is at"),
    (lambda redis: redis.setrange(LOG, 48, b"\x08"), "account 1: debits_posted is 136, its transfers make 137"),
    (lambda redis: redis.setrange(LOG, 5 * 128 + 120, bytes(8)), "has timestamp 0, after"),
]


async def count_too_many(redis: Any) -> None:
    """Entries of the index of debits, as many as 6 bytes hold."""
    value = await redis.get(account(1))
    await redis.set(account(1), value[:-13] + b"\xff" * 6 + value[-7:])


async def make_a_list(redis: Any) -> None:
    await redis.delete(DEBITS)
    await redis.rpush(DEBITS, "1")


JUNK = "what is stored of it is nothing that a script writes"
NOT_DECODED: list[tuple[Plant, str]] = [
    (lambda redis: redis.set(account(2), b"\x30"), f"account 2: {JUNK}"),
    (lambda redis: redis.set(account(2), b""), f"account 2: {JUNK}"),
    (lambda redis: redis.append(account(2), b"\0"), f"account 2: {JUNK}"),
    (lambda redis: redis.set(account(2), bytes(30)), f"account 2: {JUNK}"),
    (count_too_many, "account 1: its index of debits has 281474976710661 entries, its transfers make 22"),
    (lambda redis: redis.set(keys.transfer("main", HELD), b"9" * 5_000), f"transfer {HELD}: its key does not say"),
    (lambda redis: redis.set(LOG, b"x" * 1000), "the log has 7 transfers, 24 are counted"),
    (lambda redis: redis.set(keys.log("main", "accounts", 0), b"x" * 100), "the log has 1 accounts, 3 are counted"),
    (make_a_list, "a key is not of its type"),
]


STATE, EXPIRIES = keys.state("main").encode(), keys.expiries("main").encode()


async def cut_state(redis: Any) -> None:
    await redis.set(STATE, (await redis.get(STATE))[:30])


async def exchange_places(redis: Any) -> None:
    """Of accounts 1 and 2, in the log of accounts."""
    first, second = [await redis.get(account(number)) for number in (1, 2)]
    await redis.set(account(1), first[:-19] + second[-19:-13] + first[-13:])
    await redis.set(account(2), second[:-19] + first[-19:-13] + second[-13:])


async def another_ledger(redis: Any) -> None:
    value = await redis.get(account(3))
    await redis.set(account(3), value[:-23] + b"\x02" + value[-22:])


async def forget_an_account(redis: Any) -> None:
    await redis.setrange(STATE, 32, b"\x02")


async def forget_a_transfer(redis: Any) -> None:
    await redis.setrange(STATE, 38, b"\x17")


async def expire_later(redis: Any) -> None:
    ((member, score),) = await redis.zrange(EXPIRIES, 0, 0, withscores=True)
    await redis.zadd(EXPIRIES, {member: score * 2})


async def double_an_expiry(redis: Any) -> None:
    """Of the transfer at place 3, which is not pending."""
    ((member, score),) = await redis.zrange(EXPIRIES, 0, 0, withscores=True)
    await redis.zadd(EXPIRIES, {member[:-1] + b"\x03": score})


STALE = b"\1" * 8
STATE_OR_MORE: list[tuple[Plant, str]] = [
    (lambda redis: redis.delete(STATE), "the state is lost, and the logs are there"),
    (cut_state, "the state is not what a script writes"),
    (forget_an_account, "account 3 is there, and not among the 2 that are counted"),
    (forget_an_account, "the log of accounts goes on after the 2 that are counted"),
    (forget_a_transfer, "the log of transfers goes on after the 23 that are counted"),
    (lambda redis: redis.setrange(STATE, 0, STALE), "the newest timestamp is of "),
    (lambda redis: redis.setrange(STATE, 8, STALE), "the newest account is of "),
    (lambda redis: redis.setrange(STATE, 16, STALE), "the newest transfer is of "),
    (lambda redis: redis.setrange(STATE, 24, bytes(8)), "and the state's next expiry is 0"),
    (lambda redis: redis.setrange(STATE, 24, b"\xff" * 8), "and the state's next expiry is 18446744073709551615"),
    (lambda redis: redis.delete(EXPIRIES), f"transfer {OPEN} is pending until "),
    (expire_later, "and among the expiries at "),
    (double_an_expiry, "place 3 of the log is among the expiries, and nothing there is pending until then"),
    (lambda redis: redis.zadd(EXPIRIES, {b"": 1}), "is among the expiries, and nothing there is pending until then"),
    (exchange_places, "account 1: its key says that it is at place 1 of the log, it is at 0"),
    (exchange_places, "account 2: its key says that it is at place 0 of the log, it is at 1"),
    (another_ledger, "account 3: its key says ledger 2, its record 1"),
    (lambda redis: redis.append(DEBITS, bytes(6)), "index of debits has 17 entries in segment 0, where 16 belong"),
    (
        lambda redis: redis.set(keys.index(account(3), "credits", 0), bytes(48)),
        "account 3: its index of credits has 8 entries in segment 0, where 0 belong",
    ),
    (
        lambda redis: redis.set(keys.transfer("main", 999), 8),
        f"transfer 999: its key says that it is at place 1 of the log, where transfer {FIRST + 1} is",
    ),
    (
        lambda redis: redis.set(keys.transfer("main", 999 << 100), 8),
        f"transfer {999 << 100}: its key says that it is at place 1 of the log, where transfer {FIRST + 1} is",
    ),
    (lambda redis: redis.set(keys.transfer("main", 999), 800), "transfer 999: its key says that it is at place 100 of"),
    (lambda redis: redis.copy(account(3), account(4)), "account 4 is there, and not among the 3 that are counted"),
]


@pytest.mark.parametrize(("plant", "says"), [*PLANTED, *NOT_DECODED, *STATE_OR_MORE])
async def test_each_planted_corruption_is_found_and_named(ledger: Ledger, plant: Plant, says: str) -> None:
    assert await check(ledger) == []
    await plant(ledger.hub.write)
    findings = await check(ledger)
    assert any(says in finding for finding in findings), findings


async def test_reservations_that_expired_one_after_another_may_pass_2_128_together(ledger: Ledger) -> None:
    """Only the server knows that the first was gone when the second came; account 2 keeps its history."""
    await ledger.create_account(Account(id=4, ledger=1, code=1))
    first = paying(4, flags=TransferFlag.PENDING, timeout=1, amount=U128_MAX - 1_000)
    assert (await ledger.create_transfer(first)).status == "ok"

    async def released() -> bool:
        return await ledger.expire_transfers() == 1

    await wait_for(released, "the first reservation's time")
    assert (await ledger.create_transfer(paying(4, flags=TransferFlag.PENDING, amount=2_000))).status == "ok"
    assert await check(ledger) == []


async def test_a_check_under_traffic_finds_nothing(ledger: Ledger) -> None:
    """Accounts are compared at the transfer that they were read after."""
    stop = asyncio.Event()

    async def traffic() -> None:
        while not stop.is_set():
            held = paying(flags=TransferFlag.PENDING, timeout=1)
            await ledger.create_transfers([*(paying(2, 3) for _ in range(50)), held])

    async with asyncio.TaskGroup() as group:
        group.create_task(traffic())
        for _ in range(5):
            assert await check(ledger) == []
        stop.set()


async def test_a_strangers_key_is_found_whatever_the_ledgers_name(hub: Hub) -> None:
    """Its letters may have several bytes in a key."""
    name = "caf\u00e9"
    made = Ledger(hub, LedgerSettings(), name=name)
    await made.create_accounts([Account(id=n, ledger=1, code=1) for n in (1, 2)])
    await made.create_transfer(paying(id=FIRST))
    await hub.write.set(keys.transfer(name, 999), 0)
    said = f"its key says that it is at place 0 of the log, where transfer {FIRST} is"
    assert await check(made) == [f"transfer 999: {said}"]


async def test_accounts_that_come_while_it_looks_are_no_difference(ledger: Ledger) -> None:
    """Others are paid by an account that comes when the accounts are known, and not compared yet."""

    async def another() -> None:
        async with await connect_url(ledger.hub.url) as hub:
            other = Ledger(hub, ledger.settings)
            await other.create_account(Account(id=4, ledger=1, code=1))
            await other.create_transfer(paying(4, 1))

    def told(_done: int, _total: int) -> None:
        coming = Thread(target=lambda: asyncio.run(another()))
        coming.start()
        coming.join()

    assert await check(ledger, told) == []
    assert (await ledger.account(4)).debits_posted > 0


async def test_its_progress_is_told(ledger: Ledger) -> None:
    told: list[tuple[int, int]] = []
    await check(ledger, lambda done, total: told.append((done, total)))
    assert told == [(24, 24)]
