"""Ids that rise with time: 48 bits of milliseconds, then 80 random bits, as TigerBeetle has them; and ids of names."""

import secrets
import time
from hashlib import blake2b

RANDOM_BITS = 80
_last = 0


def new_id(now_ms: int | None = None) -> int:
    """A new id; within one process each is above the one before, also when the clock goes back."""
    global _last  # noqa: PLW0603  # the promise is about the process
    millis = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    made = millis << RANDOM_BITS | secrets.randbits(RANDOM_BITS)
    _last = made if made > _last else _last + 1 + secrets.randbits(RANDOM_BITS // 2)
    return _last


ID_BYTES = 16


def named_id(name: str) -> int:
    """The id that stands for a name, always the same: its own bytes if they fit, else 16 bytes of its hash.

    So ``pix:99990001`` is readable in the key of its account.
    """
    given = name.encode()
    return int.from_bytes(given if len(given) <= ID_BYTES else blake2b(given, digest_size=ID_BYTES).digest(), "little")


def name_of(number: int) -> str:
    """The name that an id of ``named_id`` stands for, if it is short enough to be one."""
    return number.to_bytes(ID_BYTES, "little").rstrip(b"\0").decode("ascii", "replace")
