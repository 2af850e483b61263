"""Keeping memory bounded, and measuring, on a clock."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from functools import partial

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
    turn = partial(retention.take_turn, pix, name, 2 * tick)
    before: Figures | None = None

    async def tend() -> None:
        nonlocal before
        if await turn():
            await retention.trim(pix)
            await retention.dismiss(pix)
        now = await figures(pix)
        _measure(now, before or now)
        before = now

    async def archive() -> None:
        if await turn():
            await retention.archive(pix, run.stopping.is_set)

    async with asyncio.TaskGroup() as group:  # trimming never waits for a database
        group.create_task(_repeat(run, tick, tend))
        group.create_task(_repeat(run, tick, archive))


async def _repeat(run: Run, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    while not await run.pause(seconds):
        try:
            await act()
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
