"""A rush: a crowd at an event, and then whether every rule held, by what the crowd saw, Redis and the database."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lastro.core.scripts import insist
from lastro.coupons.engine import Coupons, events
from lastro.coupons.engine.outbox import outbox
from lastro.coupons.model.event import Durability, Plan
from lastro.coupons.simulator.load import Crowd, Seen, run_crowd

from .checker import Evidence, broken

SAMPLE_SECONDS = 0.1
DRAIN_SECONDS = 120.0
LOOK_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What happened."""

    attempts: int
    coupons: int
    seconds: float
    """From the first attempt to the last answer."""
    drained_seconds: float
    """From the last answer to the last row."""
    statuses: dict[int, int]
    again: int
    """Attempts that were cut off or told to come later, and made again."""
    p50_ms: float
    p99_ms: float
    client_cpu_us: float
    """Of the crowd's own processes, per attempt."""
    redis_bytes: int
    """More in use than before."""
    broken: list[str] = field(default_factory=list)
    """Rules that did not hold, each with what was seen; empty is as it should be."""


async def rush(
    coupons: Coupons,
    crowd: Crowd,
    total: int,
    *,
    durability: Durability = "memory",
    alone: bool = True,
    told: Callable[[int], Any] = id,
) -> Report:
    """Create the event, let the crowd come, wait until all is in the database, check.

    Unless it is ``alone`` on the server, the memory that grew is somebody else's too, and is not judged.
    """
    memory = await _memory(coupons)
    await events.create(coupons, Plan(event_id=crowd.event_id, total=total, durability=durability), opened=True)
    samples: list[str] = []
    sampling = asyncio.create_task(_sample(coupons, crowd.event_id, samples))
    try:
        seen = await asyncio.to_thread(run_crowd, crowd, told)
    finally:
        sampling.cancel()
        await asyncio.wait({sampling})
    ended = time.monotonic()
    await _drained(coupons, crowd.event_id)
    drained_seconds = time.monotonic() - ended
    grown = await _memory(coupons) - memory if alone else 0
    evidence = Evidence(coupons=coupons, crowd=crowd, seen=seen, samples=samples, redis_bytes=grown)
    found = await insist(lambda: broken(evidence), within_seconds=DRAIN_SECONDS)  # a database may just be coming back
    return _report(crowd, total, seen, drained_seconds, grown, found)


def _report(crowd: Crowd, total: int, seen: Seen, drained: float, grown: int, found: list[str]) -> Report:
    ordered = sorted(seen.latencies_us)
    return Report(
        attempts=crowd.attempts,
        coupons=total,
        seconds=round(seen.seconds, 2),
        drained_seconds=round(drained, 2),
        statuses=dict(sorted(seen.statuses.items())),
        again=seen.again,
        p50_ms=ordered[len(ordered) // 2] / 1000,
        p99_ms=ordered[int(len(ordered) * 0.99)] / 1000,
        client_cpu_us=round(seen.cpu_seconds * 1e6 / crowd.attempts, 1),
        redis_bytes=grown,
        broken=found,
    )


async def _sample(coupons: Coupons, event_id: str, samples: list[str]) -> None:
    """I5 during the run: at every moment every coupon is in stock or in somebody's hands."""
    while True:
        try:
            event = await coupons.event(event_id)
        except Exception:  # noqa: BLE001, S110  # the server was killed: then there is nothing to see
            pass
        else:
            if not event.adds_up:
                samples.append(f"{event.stock} in stock, {event.issued} issued of {event.total}")
        await asyncio.sleep(SAMPLE_SECONDS)


async def _drained(coupons: Coupons, event_id: str) -> None:
    """Wait until the last coupon is in the database, but not for ever: the rules say what is missing then."""
    members = outbox(coupons.hub, event_id).members
    deadline = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < deadline:
        measure = await members.measure()
        if not (measure.lag or measure.pending or measure.delayed):
            return
        await asyncio.sleep(LOOK_SECONDS)


async def _memory(coupons: Coupons) -> int:
    told: Any = await coupons.hub.read.info("memory")
    return int(told["used_memory"]) if "used_memory" in told else 0
