"""Pix's workers: ``settle`` makes the effects, ``retain`` keeps memory bounded. Any number of each, anywhere."""

import asyncio
from collections.abc import Sequence

import structlog

from lastro.core.errors import Busy
from lastro.core.worker import Run
from lastro.pix.engine.pix import Pix
from lastro.pix.engine.shards import PixShards
from lastro.pix.settings import PixSettings

from .fifo import count_list
from .retain import keep_bounded
from .stream import Consumer

log = structlog.get_logger()


def _engines(run: Run) -> Sequence[Pix]:
    """The engine, or all of them."""
    settings = PixSettings.read()
    if settings.shards == 1:
        return [Pix.of(run.hub, settings)]
    return PixShards.of(run.hub, settings, settings.shards).engines


async def settle(run: Run) -> None:
    """Take payments and answers, take over what silent workers held, reject what is overdue."""
    async with asyncio.TaskGroup() as group:
        for pix in _engines(run):
            if pix.settings.mode == "list":
                group.create_task(count_list(pix, run))
                continue
            consumer = Consumer(pix, run)
            group.create_task(consumer.take())
            group.create_task(consumer.take_over())
            group.create_task(consumer.hold())
            if pix.settings.mode == "stream":
                group.create_task(consumer.sweep())


async def retain(run: Run) -> None:
    """Trim answers, archive records, forget consumers that are gone."""
    async with asyncio.TaskGroup() as group:
        for pix in _engines(run):
            group.create_task(keep_bounded(pix, run))


async def bring_home(run: Run) -> None:
    """Bring home what participants were paid in other shards."""
    settings = PixSettings.read()
    while settings.shards > 1 and not await run.pause(settings.sweep_seconds):
        try:
            await PixShards.of(run.hub, settings, settings.shards).sweep()
        except Busy as busy:
            log.warning("bring_home.postponed", reason=str(busy))
