"""Keeping memory bounded, on a clock."""

import os
import socket

import structlog

from lastro.core.errors import Busy
from lastro.core.worker import Run
from lastro.pix.engine import retention
from lastro.pix.engine.pix import Pix
from lastro.pix.metrics import DEAD, WAITING

TICK_SECONDS_MAX = 30.0

log = structlog.get_logger()


async def keep_bounded(pix: Pix, run: Run) -> None:
    """Trim, archive and forget until told to stop."""
    name = f"{socket.gethostname()}_{os.getpid()}"
    tick = min(TICK_SECONDS_MAX, max(0.2, pix.settings.retention_seconds / 10))
    while not await run.pause(tick):
        try:
            if await retention.take_turn(pix, name, tick):
                await retention.trim(pix)
                await retention.archive(pix)
                await retention.dismiss(pix)
            if pix.settings.mode != "list":
                WAITING.of().set(await run.hub.read.xlen(pix.keys.payments))
            DEAD.of().set(await run.hub.read.xlen(pix.keys.dead))
        except Busy as busy:
            log.warning("pix.retain_waits", reason=str(busy))
