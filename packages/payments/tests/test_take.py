"""What other domains ask to have paid is accepted once, and its reference comes back with its end."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from lastro.core.queue.stream import StreamQueue
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.worker import Run
from lastro.payments.engine import Payments
from lastro.payments.worker import take, totals

pytestmark = pytest.mark.anyio


async def test_a_charge_is_accepted_once_and_what_is_malformed_is_set_aside(hub: Hub) -> None:
    payments = Payments.of(hub)
    charges = StreamQueue(hub, payments.keys.charges, group="payments")
    run = Run(hub=hub, settings=Settings(grace_seconds=2))
    id_ = str(uuid4())
    good: dict[str, Any] = {"correlation_id": id_, "amount_cents": 1990, "reference": "issuance:7"}
    bad: list[dict[str, Any]] = [
        {"correlation_id": "7", "amount_cents": 1},
        {"correlation_id": id_, "amount_cents": "0"},
        {"correlation_id": id_, "amount_cents": "-5"},
        {"correlation_id": id_, "amount_cents": "1e3"},
        {"correlation_id": id_, "amount_cents": 10**13 - 1},
        {"correlation_id": id_, "amount_cents": 1, "reference": "a|b"},
        {"correlation_id": id_, "amount_cents": 1, "reference": "x" * 65},
        {"amount_cents": 1},
    ]
    await charges.publish_many([good, *bad, good])
    taking = asyncio.create_task(take(run))
    await wait_for(lambda: _dead(charges, len(bad)), "the dead letters")
    await wait_for(payments.waiting, "the payment")
    run.stopping.set()
    await taking
    assert await payments.waiting() == 1
    await payments.renew()
    (claim,) = await payments.claim("default", 10)
    await payments.commit(claim)
    assert (await payments.payment(id_)).reference == "issuance:7"
    entries: Any = await hub.read.xrange(payments.keys.final)
    ((_, told),) = entries
    assert (told[b"reference"], told[b"amount_cents"]) == (b"issuance:7", b"1990")
    assert await totals(hub) == {"payments": {"default.cents": (1990, 1990), "fallback.cents": (0, 0)}}


async def _dead(charges: StreamQueue, count: int) -> bool:
    return len(await charges.letters()) == count
