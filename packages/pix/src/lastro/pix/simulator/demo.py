"""Pix in the demo: ten banks pay each other, one of them over HTTP, until every payer has heard."""

import asyncio

import httpx

from lastro.core.acts import Act, Result, Stage
from lastro.pix.engine.pix import Pix
from lastro.pix.settings import PixSettings

from .web import pay_over_http
from .world import Manners, World, banks

PAYMENTS = 20_000
PER_SECOND = 500
PER_SECOND_HTTP = 20
HEAR_SECONDS = 60.0
LOOK_SECONDS = 0.25


async def play(stage: Stage) -> Result:
    """20,000 payments with the usual refusals and repeats."""
    manners = Manners(rejects={"AC03": 0.01, "AC07": 0.005, "BE01": 0.005}, duplicates=0.01)
    world = World(Pix.of(stage.hub, PixSettings.read()), banks(10), manners)
    await world.open()
    async with httpx.AsyncClient(base_url=stage.url, timeout=5.0) as bank, asyncio.TaskGroup() as group:
        group.create_task(world.receive())
        counting = group.create_task(_count(world, stage))
        http = group.create_task(pay_over_http(world, bank, PER_SECOND_HTTP, ending := asyncio.Event()))
        await world.pay(PAYMENTS, PER_SECOND)
        ending.set()
        await http
        heard = await world.heard_of_all(HEAR_SECONDS)
        world.stopping.set()
        await counting
    seen = world.seen
    settled = seen.outcomes["ACSC"]
    return Result(
        done=seen.sent,
        unit="payments",
        notes=f"{settled:,} settled, {seen.repeated:,} sent twice",
        wrong=() if heard else (f"{world.waiting} payers have not heard",),
    )


async def _count(world: World, stage: Stage) -> None:
    told = 0
    while True:
        heard = min(sum(world.seen.outcomes.values()), PAYMENTS)
        stage.told(heard - told)
        told = heard
        if world.stopping.is_set():
            return
        await asyncio.sleep(LOOK_SECONDS)


ACT = Act(what="pix: payments between ten banks", steps=PAYMENTS, play=play)
