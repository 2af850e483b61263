"""The outside world: virtual participants, the capacity test, the original system's simulators."""

import asyncio

from lastro.core.worker import Run
from lastro.pix.engine.pix import Pix
from lastro.pix.settings import PixSettings

from .world import Manners, World, banks

PER_SECOND = 67  # the largest tier of the capacity test
FOREVER = 10**12


async def traffic(run: Run) -> None:
    """Ten banks pay each other all the time, with the usual refusals, repeats and silence; until told to stop."""
    pix = Pix.of(run.hub, PixSettings.read())
    if pix.settings.mode != "stream":
        return
    manners = Manners(rejects={"AC03": 0.01, "AC07": 0.005, "BE01": 0.005}, silence=0.001, duplicates=0.01)
    world = World(pix, banks(10), manners)
    await world.open()
    async with asyncio.TaskGroup() as group:
        group.create_task(world.receive())
        group.create_task(world.pay(FOREVER, PER_SECOND))
        await run.stopping.wait()
        world.stopping.set()
