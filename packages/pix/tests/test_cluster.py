"""A cluster of three nodes: the whole engine is in one slot, and its clients find it."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NotListening

from lastro.core import local
from lastro.core.redis import connect_url
from lastro.core.settings import Settings
from lastro.core.testing import free_port, wait_for
from lastro.core.worker import Run
from lastro.pix.engine.figures import figures
from lastro.pix.engine.pix import Pix
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.settings import PixSettings
from lastro.pix.simulator.world import Manners, World, banks
from lastro.pix.worker.stream import Consumer

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CUTS = (0, 5_461, 10_923, 16_384)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[int]]:
    binary = shutil.which("redis-server") or str(local.find())
    ports = [free_port() for _ in range(3)]
    running = []
    for port in ports:
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
        command += ["--cluster-enabled", "yes", "--cluster-config-file", str(tmp_path / f"{port}.conf")]
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    yield ports
    for node in running:
        node.terminate()
    for node in running:
        node.wait()


async def join(ports: list[int]) -> None:
    """A third of the slots each."""
    clients: list[Any] = [Redis(port=port) for port in ports]

    async def ready(word: str) -> bool:
        try:
            return all(word in str(client.execute_command("CLUSTER INFO")) for client in clients)
        except NotListening:
            return False

    await wait_for(lambda: ready("cluster_state"), "the nodes")
    for number, client in enumerate(clients):
        client.execute_command("CLUSTER ADDSLOTSRANGE", CUTS[number], CUTS[number + 1] - 1)
        client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
    for client in clients[1:]:
        client.execute_command("CLUSTER MEET", "127.0.0.1", ports[0])
    await wait_for(lambda: ready("'cluster_state': 'ok'"), "the cluster", 20)
    for client in clients:
        client.close()


async def test_payments_settle_on_a_cluster_of_three(nodes: list[int]) -> None:
    await join(nodes)
    async with await connect_url(f"redis+cluster://127.0.0.1:{nodes[0]}") as hub:
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
