"""The central bank's capacity test for a direct participant: so many payments in ten minutes, in both roles."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from lastro.core.errors import Invalid
from lastro.pix.engine.pix import Pix

from .world import Manners, World, banks, percentile, within

PAYMENTS: Final[dict[str, int]] = {"small": 10_000, "medium": 20_000, "large": 40_000}
SECONDS: Final = 600
CONSUMED_S, CONSUMED_SHARE = 0.2, 0.99
ANSWERED_HALF_S, ANSWERED_MOST_S = 1.4, 2.3
PAYER_HALF_S, PAYER_MOST_S = 6.0, 10.0
END_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Limit:
    """One published limit and what was measured."""

    name: str
    measured: float
    limit: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The test's result."""

    payments: int
    settled: int
    seconds: float
    limits: list[Limit]

    @property
    def passed(self) -> bool:
        """Whether every limit was kept."""
        return all(limit.passed for limit in self.limits)


async def homologate(pix: Pix, tier: str, speed: float, *, participants: int = 10) -> Verdict:
    """Run the test; ``speed`` 10 sends the same payments in one minute. The engine's workers must be running."""
    if tier not in PAYMENTS:
        raise Invalid(field="tier", reason="small, medium or large")
    if not 0 < speed <= 1_000:  # noqa: PLR2004 - beyond it the test lasts less than a second
        raise Invalid(field="speed", reason="above 0, at most 1000")
    count = PAYMENTS[tier]
    world = World(pix, banks(participants), Manners())
    await world.open()
    begun = time.monotonic()
    receiving = asyncio.create_task(world.receive())
    await world.pay(count, count / SECONDS * speed)
    await world.heard_of_all(END_SECONDS)
    seconds = time.monotonic() - begun
    world.stopping.set()
    await receiving
    return Verdict(count, world.seen.outcomes["ACSC"], seconds, limits(world, count))


def limits(world: World, count: int) -> list[Limit]:
    """Each published limit against what the participants saw."""
    seen = world.seen
    consumed = within(seen.consumed_s, CONSUMED_S)
    half, most = within(seen.answer_s, ANSWERED_HALF_S), within(seen.answer_s, ANSWERED_MOST_S)
    settled = seen.outcomes["ACSC"]
    p50, p99 = percentile(seen.latency_s, 0.5), percentile(seen.latency_s, 0.99)
    return [
        Limit("messages consumed within 200 ms, share", consumed, CONSUMED_SHARE, consumed >= CONSUMED_SHARE),
        Limit("answered within 1.4 s, share", half, 0.5, half >= 0.5),  # noqa: PLR2004 - as published
        Limit("answered within 2.3 s, share", most, 0.95, most >= 0.95),  # noqa: PLR2004 - as published
        Limit("payments not settled", count - settled, 0, settled == count),
        Limit("payer's experience p50, s", p50, PAYER_HALF_S, p50 <= PAYER_HALF_S),
        Limit("payer's experience p99, s", p99, PAYER_MOST_S, p99 <= PAYER_MOST_S),
    ]
