"""Keeping memory bounded, and measuring, on a clock."""

import os
import socket

import structlog

from lastro.core.errors import Busy
from lastro.core.worker import Run
from lastro.pix.engine import retention
from lastro.pix.engine.figures import Figures, figures, quantile, since
from lastro.pix.engine.pix import Pix
from lastro.pix.metrics import ANSWERED_SECONDS, ANSWERED_SHARES, REJECTED, SETTLED_SECONDS, SETTLED_SHARES

TICK_SECONDS_MAX = 30.0

log = structlog.get_logger()


async def keep_bounded(pix: Pix, run: Run) -> None:
    """Trim, archive, forget and measure until told to stop."""
    name = f"{socket.gethostname()}_{os.getpid()}"
    tick = min(TICK_SECONDS_MAX, max(0.2, pix.settings.retention_seconds / 10))
    before: Figures | None = None
    while not await run.pause(tick):
        try:
            if await retention.take_turn(pix, name, tick):
                await retention.trim(pix)
                await retention.archive(pix)
                await retention.dismiss(pix)
            now = await figures(pix)
            _measure(now, before or now)
            before = now
        except Busy as busy:
            log.warning("pix.retain_waits", reason=str(busy))


def _measure(now: Figures, before: Figures) -> None:
    for code, count in now.rejects.items():
        REJECTED.of(code=code).set(count)
    for metric, shares, recent in (
        (SETTLED_SECONDS, SETTLED_SHARES, since(now.latency, before.latency)),
        (ANSWERED_SECONDS, ANSWERED_SHARES, since(now.answering, before.answering)),
    ):
        for share in shares:
            metric.of(quantile=share).set(quantile(recent, float(share)) / 1000)
