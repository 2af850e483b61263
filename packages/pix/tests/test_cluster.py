"""A cluster of three nodes: the whole engine is in one slot, and its clients find it."""

import asyncio

import pytest

from lastro.core.redis import connect_url
from lastro.core.settings import Settings
from lastro.core.testing.topologies import cluster
from lastro.core.worker import Run
from lastro.pix.engine.figures import figures
from lastro.pix.engine.pix import Pix
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.settings import PixSettings
from lastro.pix.simulator.world import Manners, World, banks
from lastro.pix.worker.stream import Consumer

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_payments_settle_on_a_cluster_of_three() -> None:
    with cluster(replicas=0) as nodes:
        async with await connect_url(nodes.url) as hub:
            pix = Pix.of(hub, PixSettings(deadline_ms=2_000))
            run = Run(hub=hub, settings=Settings())
            consumer = Consumer(pix, run)
            world = World(pix, banks(4), Manners(answer_p50_s=0, silence=0.02))
            await world.open()
            async with asyncio.TaskGroup() as group:
                for loop in (consumer.take, consumer.take_over, consumer.hold, consumer.sweep, world.receive):
                    group.create_task(loop())
                await world.pay(2_000, 1_000)
                assert await world.heard_of_all(20)
                world.stopping.set()
                run.stopping.set()
            assert world.seen.outcomes.total() == 2_000
            assert set(world.seen.outcomes) == {"ACSC", "AB03"}
            assert (await reconcile(pix)).findings == []
            assert (await figures(pix)).count == world.seen.outcomes["ACSC"]
