"""Summaries are exact at every edge, and cost the same however many payments there are."""

import random
from typing import Any
from uuid import uuid4

import pytest

from lastro.core.redis import Hub
from lastro.payments.engine import Payments
from lastro.payments.model import PROCESSORS, Claim, Totals
from lastro.payments.settings import PaymentsSettings

pytestmark = pytest.mark.anyio

DAY_MS = 86_400_000
START_MS = 1_752_150_896_123


async def test_any_window_agrees_with_a_list_of_all_payments(hub: Hub) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, payments = random.Random(seed), Payments(hub, PaymentsSettings())
    await payments.renew()
    taken = []
    spread = [10, 3_000, 100_000, 5_000_000, 3 * DAY_MS]
    for _ in range(150):
        at = START_MS + chance.randrange(chance.choice(spread))
        claim = Claim(
            correlation_id=str(uuid4()),
            amount_cents=chance.randrange(1, 10**9),
            processor=chance.choice(PROCESSORS),
            requested_at_ms=at,
        )
        await payments.accept(claim.correlation_id, claim.amount_cents)
        await payments.commit(claim)
        taken.append(claim)
    edges = [claim.requested_at_ms + chance.choice([-1, 0, 1]) for claim in taken]
    for _ in range(300):
        since, until = (chance.choice([None, -1, 0, 10**15, chance.choice(edges)]) for _ in range(2))
        found = await payments.summary(since, until)
        for processor in PROCESSORS:
            inside = [
                claim.amount_cents
                for claim in taken
                if claim.processor == processor
                and (since is None or claim.requested_at_ms >= since)
                and (until is None or claim.requested_at_ms <= until)
            ]
            assert found[processor] == Totals(requests=len(inside), amount_cents=sum(inside)), (since, until)


async def test_before_any_payment_the_summary_is_zero(hub: Hub) -> None:
    payments = Payments(hub, PaymentsSettings())
    for window in ((None, None), (0, 1), (5, None), (None, 5), (5, 1)):
        assert set((await payments.summary(*window)).values()) == {Totals(requests=0, amount_cents=0)}


async def test_more_cents_than_a_double_counts_exactly_are_summed_exactly(hub: Hub) -> None:
    payments = Payments(hub, PaymentsSettings())
    second, day = START_MS // 1000, START_MS // DAY_MS
    books: dict[Any, Any] = {
        "all:n": 2,
        "all:c": 2**53 + 1,
        f"s{second}:n": 2,
        f"s{second}:c": 2**53 + 1,
        f"s{second + 1}:n": 1,
    }
    await hub.write.hset(payments.keys.totals("default"), mapping={**books, f"s{second + 1}:c": 1_000_000_000})
    edges = {f"default|{uuid4()}|1": day * DAY_MS, f"default|{uuid4()}|2": (day + 1) * DAY_MS}
    await hub.write.zadd(payments.keys.by_date, edges)
    assert (await payments.summary())["default"].amount_cents == 2**53 + 1
    found = await payments.summary(second * 1000, second * 1000 + 1_999)
    assert found["default"] == Totals(requests=3, amount_cents=2**53 + 1_000_000_001)
