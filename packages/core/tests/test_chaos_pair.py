"""The server of `lastro chaos` and its replica: who is who through a failover."""

import signal
from pathlib import Path

import pytest

from lastro.core.cli.chaos.pair import Pair
from lastro.core.testing import wait_for

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_a_replica_takes_over_with_what_it_confirmed_and_the_frozen_primary_follows_it(tmp_path: Path) -> None:
    pair = Pair.started(tmp_path, replicas=1, variables={})
    try:
        assert pair.replica is not None
        await wait_for(pair.in_step, "the replica")
        await pair.primary.ask("SET", "confirmed", "1")
        assert await pair.primary.ask("WAIT", "1", "5000") == 1
        old = await pair.fail_over(signal.SIGSTOP)
        assert await pair.primary.ask("GET", "confirmed") == b"1"
        await pair.primary.ask("SET", "after", "1")
        await pair.take_back(old)
        await wait_for(pair.in_step, "the former primary")
        assert await pair.replica.ask("GET", "after") == b"1"
    finally:
        pair.stop()


@pytest.mark.slow
async def test_a_primary_that_was_killed_is_started_again_as_a_replica(tmp_path: Path) -> None:
    pair = Pair.started(tmp_path, replicas=1, variables={})
    try:
        await wait_for(pair.in_step, "the replica")
        old = await pair.fail_over(signal.SIGKILL)
        await wait_for(lambda: old.pid is None, "its end")
        pair.start()
        assert pair.replica is old
        await wait_for(pair.in_step, "the former primary")
        await pair.fail_over(signal.SIGKILL)
        await pair.take_back(old)
        assert (await old.ask("INFO", "replication"))["role"] == "master", "it serves again, and follows nobody"
    finally:
        pair.stop()


async def test_a_server_alone_is_never_in_step(tmp_path: Path) -> None:
    pair = Pair.started(tmp_path, replicas=0, variables={})
    try:
        assert await pair.primary.ask("PING")
        assert not await pair.in_step()
    finally:
        pair.stop()
