"""Ids that rise with time: 48 bits of milliseconds, then 80 random bits, as TigerBeetle recommends."""

import secrets
import time

RANDOM_BITS = 80
_last = 0


def new_id(now_ms: int | None = None) -> int:
    """A new id; within one process each is above the one before, also when the clock goes back."""
    global _last  # noqa: PLW0603  # the promise is about the process
    millis = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    made = millis << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
    _last = made if made > _last else _last + 1 + secrets.randbits(RANDOM_BITS // 2)
    return _last
