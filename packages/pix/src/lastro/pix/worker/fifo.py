"""List mode: take, count, and put back what silent consumers held."""

import os
import socket
import time
from uuid import uuid4

import structlog

from lastro.core.errors import Busy
from lastro.core.worker import Run
from lastro.pix.engine.fifo import Hand
from lastro.pix.engine.pix import Pix

EMPTY_SECONDS = 0.02

log = structlog.get_logger()


async def count_list(pix: Pix, run: Run) -> None:
    """Until told to stop; what is in the hand then is counted first."""
    hand = Hand(pix, f"{socket.gethostname()}_{os.getpid()}_{uuid4().hex[:6]}")
    look_at = 0.0
    while not run.stopping.is_set():
        messages: list[bytes] = []
        try:
            messages = await hand.take()
            if messages:
                await hand.count(messages)
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + pix.settings.idle_threshold_ms / 4_000
                await hand.take_over()
        except Busy as busy:
            log.warning("pix.waits", reason=str(busy))
        if not messages:
            await run.pause(EMPTY_SECONDS)
