"""Pix's workers: ``settle`` makes the effects, ``retain`` keeps memory bounded. Any number of each, anywhere."""

import asyncio

from lastro.core.worker import Run
from lastro.pix.engine.pix import Pix
from lastro.pix.settings import PixSettings

from .fifo import count_list
from .retain import keep_bounded
from .stream import Consumer


async def settle(run: Run) -> None:
    """Take payments and answers, take over what silent workers held, reject what is overdue."""
    pix = Pix.of(run.hub, PixSettings.read())
    if pix.settings.mode == "list":
        await count_list(pix, run)
        return
    consumer = Consumer(pix, run)
    async with asyncio.TaskGroup() as group:
        group.create_task(consumer.take())
        group.create_task(consumer.take_over())
        if pix.settings.mode == "stream":
            group.create_task(consumer.sweep())


async def retain(run: Run) -> None:
    """Trim answers, archive records, forget consumers that are gone."""
    await keep_bounded(Pix.of(run.hub, PixSettings.read()), run)
