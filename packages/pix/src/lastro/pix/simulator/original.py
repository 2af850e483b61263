"""The original system's backend simulators: one payment and its confirmation, or many by several senders at once."""

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import msgspec

from lastro.core.errors import LastroError
from lastro.core.money import decimal
from lastro.pix.engine.pix import Pix

RANDOM_BACKENDS = ("1", "2", "3", "4")


class NotConfirmed(LastroError):
    """No confirmation of {transaction_id} for backend {backend_id} in {seconds} s."""

    code = "pix.not_confirmed"
    status = 504


@dataclass(frozen=True, slots=True)
class Injected:
    """What a bulk run sent."""

    payments: int
    cents: int
    seconds: float


def message(backend_id: str, amount_cents: int) -> dict[str, str]:
    """One payment in the original shape. Its id is long enough not to repeat, unlike the original's six digits."""
    return {
        "transaction_id": f"txn_{uuid4().hex}",
        "backend_id": backend_id,
        "amount": decimal(amount_cents),
        "timestamp": datetime.now().astimezone().isoformat(),
    }


def backend(pix: Pix) -> str:
    """The backend the settings say, or one of the original four by chance."""
    return random.choice(RANDOM_BACKENDS) if pix.settings.randomize_backend_id else pix.settings.backend_id


async def send_one(pix: Pix, backend_id: str, amount_cents: int, *, within_seconds: float = 10.0) -> dict[str, str]:
    """Send one payment and wait for its own confirmation; other people's replies are left where they are."""
    outbox = pix.keys.outbox(backend_id)
    last: Any = await pix.read.xrevrange(outbox, count=1)
    after = last[0][0] if last else b"0"
    sent = message(backend_id, amount_cents)
    await pix.write.xadd(pix.keys.payments, dict(sent))
    client = pix.hub.blocking(1.0)
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        found: Any = await client.xread({outbox: after}, count=100, block=500)
        for _, entries in found:
            for entry, fields in entries:
                after = entry
                if fields.get(b"transaction_id", b"").decode() == sent["transaction_id"]:
                    return {name.decode(): value.decode() for name, value in fields.items()}
    raise NotConfirmed(transaction_id=sent["transaction_id"], backend_id=backend_id, seconds=within_seconds)


async def send_many(pix: Pix) -> Injected:
    """NUM_REQUESTS payments by NUM_THREADS senders, BATCH_SIZE in one write."""
    settings = pix.settings
    left = settings.num_requests
    batches = []
    while left > 0:
        batches.append(min(left, settings.batch_size))
        left -= batches[-1]
    begun = time.monotonic()
    gate = asyncio.Semaphore(settings.num_threads)

    async def send(size: int) -> int:
        async with gate, pix.write.pipeline(transaction=False) as pipe:
            total = 0
            for _ in range(size):
                cents = random.randint(100, 100_000)
                total += cents
                pipe.xadd(pix.keys.payments, dict(message(backend(pix), cents)))
            await pipe.execute()
            return total

    totals = await asyncio.gather(*(send(size) for size in batches))
    return Injected(settings.num_requests, sum(totals), time.monotonic() - begun)


async def push_many(pix: Pix) -> Injected:
    """List mode: NUM_REQUESTS messages onto the list, as the original injector does."""
    settings, total, left = pix.settings, 0, pix.settings.num_requests
    begun = time.monotonic()
    while left > 0:
        size = min(left, settings.batch_size)
        made = []
        for _ in range(size):
            cents = random.randint(100, 100_000)
            total += cents
            told = message("", cents)
            del told["backend_id"]
            made.append(msgspec.json.encode(told))
        await pix.write.lpush(pix.keys.payments, *made)
        left -= size
    return Injected(settings.num_requests, total, time.monotonic() - begun)
