"""The outside world: virtual participants, the capacity test, the original system's simulators."""

import asyncio

from lastro.core.access.client import client
from lastro.core.worker import Run
from lastro.pix.engine.pix import Pix
from lastro.pix.settings import PixSettings

from .web import pay_over_http
from .world import Manners, World, banks

PER_SECOND = 67  # the largest tier of the capacity test
PER_SECOND_HTTP = 10
FOREVER = 10**12


async def traffic(run: Run) -> None:
    """Ten banks pay each other, by stream and over HTTP, with the usual refusals, repeats and silence."""
    pix = Pix.of(run.hub, PixSettings.read())
    if pix.settings.mode != "stream":
        return
    manners = Manners(rejects={"AC03": 0.01, "AC07": 0.005, "BE01": 0.005}, silence=0.001, duplicates=0.01)
    world = World(pix, banks(10), manners)
    await world.open()
    async with asyncio.TaskGroup() as group:
        group.create_task(world.receive())
        group.create_task(world.pay(FOREVER, PER_SECOND))
        group.create_task(_over_http(run, world))
        await run.stopping.wait()
        world.stopping.set()


async def _over_http(run: Run, world: World) -> None:
    """As soon as the engine serves."""
    while not run.url and not await run.pause(0.1):
        pass
    if run.url:
        async with client(run.settings, run.url, timeout=5.0) as http:
            await pay_over_http(world, http, PER_SECOND_HTTP, world.stopping)
