"""Rate limits by GCRA: one key per limited thing, exact at any rate, no windows and no counters to reset."""

import math

from lastro.core.errors import TooFast
from lastro.core.keys import Key
from lastro.core.redis.clients import Client

from . import scripts


async def admit(redis: Client, limit: Key, *, per_second: float, burst: int, cost: int = 1) -> int:
    """Let this through or raise TooFast with the time to wait; how many more would be let through now."""
    wait_us, left = await scripts.take(
        redis, limit=limit, interval_us=max(1, round(1e6 / per_second)), burst=burst, cost=cost
    )
    if wait_us:
        raise TooFast(retry_after_seconds=max(1, math.ceil(wait_us / 1e6)))
    return left
