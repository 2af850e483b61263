"""The scripts' edges: big numbers, wrong types, closed minutes, lost replies."""

from typing import Any

import msgspec
import pytest

from lastro.core.errors import Fault
from lastro.pix import scripts
from lastro.pix.engine import accounts
from lastro.pix.engine.accounts import ACCOUNT_MAX_CENTS
from lastro.pix.errors import AccountFull

pytestmark = pytest.mark.anyio

PAYER, PAYEE = "99990001", "99990002"
LARGEST = 999_999_999_999


async def test_the_largest_amounts_stay_exact(desk: Any) -> None:
    """Lua's tostring(1e14) is "1e+14"; money must never pass through it."""
    await accounts.fund(desk.pix, PAYER, ACCOUNT_MAX_CENTS - 100_000, "fill")
    payments = [desk.order(LARGEST) for _ in range(200)]
    await desk.pay(*payments)
    await desk.answer(*payments)
    assert await desk.balances() == (ACCOUNT_MAX_CENTS - 200 * LARGEST, 0, 200 * LARGEST)
    assert await desk.pix.read.mget(desk.pix.keys.cents, desk.pix.keys.amount) == [
        b"199999999999800",
        b"1999999999998.00",
    ]
    assert await desk.findings() == []


async def test_an_account_never_holds_more_than_lua_can_count(desk: Any) -> None:
    with pytest.raises(AccountFull):
        await accounts.fund(desk.pix, PAYER, ACCOUNT_MAX_CENTS, "too much")


async def test_a_batch_into_a_closed_minute_changes_nothing_and_says_so(desk: Any) -> None:
    keys = desk.pix.keys
    items: list[scripts.Arg] = ["1-0", "E1", PAYER, PAYEE, 100, "", 40_000, 1, 2, 3, b"{}"]
    told = await scripts.accept(
        desk.pix.hub.write,
        payments=keys.payments,
        accounts=keys.accounts,
        deadlines=keys.deadlines,
        counters=keys.counters,
        backends=keys.backends,
        ks=[keys.records("202001010000"), keys.outbox(PAYER), keys.outbox(PAYEE), keys.movements],
        group="g",
        minutes=1,
        items=items,
    )
    assert told == []
    assert await desk.balances() == (100_000, 0, 0)


async def test_a_wrong_type_is_found_before_the_first_write(desk: Any) -> None:
    payment = desk.order(100)
    minute = payment.end_to_end_id[9:21]
    await desk.pix.open_minutes([minute])
    await desk.pix.write.set(desk.pix.keys.outbox(PAYEE), "a string", ex=60)
    keys = desk.pix.keys
    with pytest.raises(Fault, match=r"batch\.lua:\d+: .*is a string"):
        await scripts.accept(
            desk.pix.hub.write,
            payments=keys.payments,
            accounts=keys.accounts,
            deadlines=keys.deadlines,
            counters=keys.counters,
            backends=keys.backends,
            ks=[keys.records(minute), keys.outbox(PAYER), keys.outbox(PAYEE), keys.movements],
            group="g",
            minutes=1,
            items=["1-0", payment.end_to_end_id, PAYER, PAYEE, 100, "", 40_000, 1, 2, 3, b"{}"],
        )
    assert await desk.pix.read.hget(keys.records(minute), payment.end_to_end_id) is None
    assert await desk.balances() == (100_000, 0, 0)


async def test_a_minute_that_is_over_does_not_open(desk: Any) -> None:
    now = desk.order().end_to_end_id[9:21]
    assert await desk.pix.open_minutes(["202001010000", now]) == {"202001010000"}
    assert await desk.pix.read.exists(desk.pix.keys.records("202001010000")) == 0


async def test_histograms_are_exact_below_a_hundred_and_two_digits_above(desk: Any) -> None:
    payment = desk.order(100)
    await desk.pix.write.xadd(
        desk.pix.keys.payments, {"payment": _json(payment)}, id=f"{await desk.pix.now_ms() - 12_345}-0"
    )
    await desk.work()
    await desk.answer(payment)
    (ms,) = [int(name) for name in await desk.pix.read.hgetall(desk.pix.keys.latency)]
    assert 12_000 <= ms <= 20_000
    assert ms % 1_000 == 0


def _json(payment: Any) -> bytes:
    return msgspec.json.encode(payment)
