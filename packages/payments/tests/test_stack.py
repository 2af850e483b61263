"""The deployed service behind HAProxy: the official load, and what survives ``kill -9``.

Runs where HAProxy is installed; CI installs Debian's.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lastro.core.testing import free_port, wait_for
from lastro.payments.simulator.rinha import Play, Result
from lastro.payments.simulator.stack import PROCESSES, Stack, deployed

pytestmark = pytest.mark.anyio
CONFIG = Path(__file__).parents[3] / "ops/haproxy/payments.cfg"
HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/bin")


@pytest.fixture
def stack() -> Iterator[Stack]:
    """Everything up, appendfsync always."""
    with (
        TemporaryDirectory(prefix="lastro-") as folder,
        deployed(Stack(Path(folder), CONFIG, (free_port(), free_port(), free_port()))) as running,
    ):
        yield running


def play(stack: Stack, speed: float) -> Play:
    """A small crowd through the preview's stages; only at speed 1 are they as long as their delays ask for."""
    return Play("preview", stack.url, stack.processors, scale=0.15, speed=speed)


async def played_through(stack: Stack, *hits: Callable[[], None]) -> Result:
    """The load, with a hit every few seconds; then time to recover."""
    crowd = play(stack, speed=4)
    playing = asyncio.create_task(crowd.run(lambda share: None))
    for hit in hits:
        await asyncio.sleep(4)
        await asyncio.to_thread(hit)
    await playing

    async def settled() -> Result | None:
        result = await crowd.audit()
        return None if result.differing or result.doubled else result

    result: Result = await wait_for(settled, "every acknowledged payment at one processor, counted once", 20)
    return result


if HAPROXY:

    async def test_the_official_load_ends_clean(stack: Stack) -> None:
        """Nothing lost, doubled, different or refused, through a failing and a slow processor."""
        result = await play(stack, speed=1).run(lambda share: None)
        assert result.clean, result
        assert (result.accepted > 2000, result.checks) == (True, 5)

    async def test_a_process_killed_under_load_loses_and_doubles_nothing(stack: Stack) -> None:
        def hit(name: str) -> None:
            stack.kill(name)
            stack.start(name)

        result = await played_through(stack, *(lambda name=name: hit(name) for name in PROCESSES))
        assert result.failed <= 100, result

    async def test_the_store_killed_and_restarted_under_load_loses_and_doubles_nothing(stack: Stack) -> None:
        def hit() -> None:
            stack.store.kill()
            stack.start_store()

        await played_through(stack, hit, hit)
