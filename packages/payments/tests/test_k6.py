"""A load that k6 does not play to its end. The one that it does is in test_stack.py."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from lastro.core.testing import wait_for
from lastro.core.testing.web import served
from lastro.payments.simulator import Book, k6, processor_app
from lastro.payments.simulator.rinha import Play, Result

pytestmark = [pytest.mark.anyio, pytest.mark.needs("k6")]


@pytest.fixture
async def playing(tmp_path: Path) -> AsyncIterator["asyncio.Task[Result]"]:
    """A load whose first payment is taken; a processor takes them as well as a service. k6's pid is in a file."""
    program = tmp_path / "k6"
    program.write_text(f'#!/bin/sh\necho $$ > {tmp_path}/pid\nexec {k6.binary()} "$@"\n')
    program.chmod(0o755)
    async with AsyncExitStack() as last:
        urls = [str((await last.enter_async_context(served(processor_app(Book())))).base_url) for _ in range(3)]
        play = Play("preview", urls[0], (urls[1], urls[2]), scale=0.1, speed=1, program=str(program))
        task = asyncio.create_task(play.run(lambda share: None))
        await wait_for(lambda: play.result.accepted or task.done(), "the first payment")
        yield task


async def test_a_k6_that_is_killed_played_no_load(playing: "asyncio.Task[Result]", tmp_path: Path) -> None:
    """The figures of half a load are nobody's: it is an error, and says so."""
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    with pytest.RaisesGroup(pytest.RaisesExc(k6.LoadFailed, match="it ended with -9")):
        await playing


async def test_k6_ends_with_the_load_that_is_interrupted(playing: "asyncio.Task[Result]", tmp_path: Path) -> None:
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
