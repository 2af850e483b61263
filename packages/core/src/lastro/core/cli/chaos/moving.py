"""Whether work still gets done: an engine that does nothing adds up, too."""

import asyncio
import time

from lastro.core.panels import Watch
from lastro.core.plugins import installed
from lastro.core.settings import Settings

MOVED_SECONDS = 90.0
"""The simulated crowd of coupons is idle for half a minute between two events."""
LOOK_SECONDS = 0.5


async def idle(settings: Settings, within_seconds: float = MOVED_SECONDS) -> list[str]:
    """The domains that have finished nothing in this time; returns as soon as each has finished something."""
    watch = Watch(settings, installed("lastro.panels"))
    first: dict[str, int] = {}
    still, deadline = set(watch.shows), time.monotonic() + within_seconds
    try:
        while still and time.monotonic() < deadline:
            for name, panel in (await watch.look()).panels.items():
                if panel.done > first.setdefault(name, panel.done):
                    still.discard(name)
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        await watch.aclose()
    return [f"{name}: nothing was finished in {within_seconds:.0f} s" for name in sorted(still)]
