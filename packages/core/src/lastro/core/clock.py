"""Time as a value: milliseconds since 1970, UTC, from the server that decides.

Scripts that decide by time ask the server's ``TIME`` or take ``now_ms`` as an argument, never both. This clock is for
what only measures and displays.
"""

import re
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import NewType

from lastro.core.errors import Invalid

Ms = NewType("Ms", int)

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?",
    re.ASCII,
)


def now_ms() -> Ms:
    """Wall clock of this process, for display and age only."""
    return Ms(time.time_ns() // 1_000_000)


def iso(ms: int) -> str:
    """1_700_000_000_123 → ``2023-11-14T22:13:20.123Z``."""
    return f"{_second(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=16)  # formatting a date costs ten times the rest, and one second is asked for again and again
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def parse_iso(text: str, *, field: str, up: bool = False) -> Ms:
    """ISO 8601 with ``Z``, an offset or none (UTC), up to nine decimals; ``up`` rounds a part of a ms up, else down."""
    match = _ISO.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        moment = datetime.fromisoformat(match[1] + (match[3] or "Z").replace("Z", "+00:00"))
    except ValueError:
        raise Invalid(field=field, reason="not a time like 2025-07-10T12:34:56.000Z") from None
    nanos = int((match[2] or "0").ljust(9, "0"))
    return Ms(int(moment.timestamp()) * 1000 + (nanos + (999_999 if up else 0)) // 1_000_000)
