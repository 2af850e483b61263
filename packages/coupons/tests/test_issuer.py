"""Attempts of many requests in one write, and what becomes of them when their server is another in the middle of it."""

import asyncio
import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from pydantic import SecretStr

from lastro.core import local
from lastro.core.keys import slot
from lastro.core.metrics import exposition
from lastro.core.redis import connect_url
from lastro.core.redis.clients import ClusterClient
from lastro.core.redis.slots import move_slot
from lastro.core.testing import wait_for
from lastro.core.testing.topologies import Cluster, cluster
from lastro.coupons import keys
from lastro.coupons.engine import Coupons
from lastro.coupons.engine.issuer import CALL_MAX, WRITE_MAX
from lastro.coupons.errors import NotDurable
from lastro.coupons.settings import CouponsSettings

from .conftest import opened

pytestmark = pytest.mark.anyio
LONG = b"PING " + b"x" * 1_000 + b"\r\n"
LONG *= 100
"""A server reads 16 KiB of a connection, then of the next: this lasts for longer than a whole write."""


@pytest.fixture
def three() -> Iterator[Cluster]:
    with cluster() as topology:
        yield topology


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[local.Server]:
    server = local.start(tmp_path / "s", durability="always")
    yield server
    server.stop()


async def test_events_that_moved_are_asked_again_where_they_are_and_one_that_stayed_is_answered(
    three: Cluster, tmp_path: Path
) -> None:
    """Several redirects in one write: no attempt of it fails."""
    async with await connect_url(three.url) as hub, await connect_url(three.url) as mover:
        coupons = Coupons(hub, CouponsSettings(database_url=SecretStr(f"sqlite:///{tmp_path}/coupons.sqlite")))
        home, away = (node.name for node in three.nodes[:2])
        names = (f"e{number}" for number in count())
        moved, other, stays = [next(name for name in names if hub.place(keys.stock(name)) == home) for _ in range(3)]
        for event_id in (moved, other, stays):
            await opened(coupons, event_id, total=10)
            await coupons.issue(event_id, "first")
        assert isinstance(mover.write, ClusterClient)
        for event_id in (moved, other):
            await move_slot(mover.write, slot(keys.stock(event_id)), away)
        attempts = [coupons.issue(event_id, user) for event_id in (moved, other, stays) for user in ("ana", "bia")]
        told = await asyncio.gather(*attempts)
        assert sorted(given.issuance.seq for given in told) == [2, 2, 2, 3, 3, 3]
        await coupons.aclose()


async def test_copies_are_not_asked_for_over_another_connection_than_the_one_that_was_written_to(
    alone: local.Server, tmp_path: Path
) -> None:
    """A connection counts what it wrote itself: a new one has written nothing, and would be told "all on the disk"."""
    async with await connect_url(alone.url) as hub:
        coupons = Coupons(hub, CouponsSettings(database_url=SecretStr(f"sqlite:///{tmp_path}/coupons.sqlite")))
        await opened(coupons, "before")
        await coupons.issue("before", "ana")
        for n in range(WRITE_MAX // CALL_MAX):
            await opened(coupons, f"e{n}", total=CALL_MAX, durability="fsync")
        await hub.write.config_set("appendfsync", "no")
        _, operator = await asyncio.open_unix_connection(alone.socket)
        os.kill(alone.pid, signal.SIGSTOP)  # it finds the first part of the write, then the operator's word
        attempts = [asyncio.create_task(coupons.issue(f"e{n // CALL_MAX}", f"user{n}")) for n in range(WRITE_MAX)]
        await wait_for(lambda: coupons.issuer._lanes == {"": []}, "the write")
        operator.write(b"REPLICAOF 127.0.0.1 1\r\n" + LONG + b"REPLICAOF NO ONE\r\n")
        os.kill(alone.pid, signal.SIGCONT)
        told = await asyncio.gather(*attempts, return_exceptions=True)
        refused = (await hub.write.info("errorstats"))["errorstat_READONLY"]["count"]
        assert 0 < refused < WRITE_MAX // CALL_MAX, "the server was to change in the middle"
        assert {type(answer) for answer in told} == {NotDurable}
        operator.close()
        await coupons.aclose()


async def test_how_long_the_callers_of_a_write_wait_is_measured(coupons: Coupons) -> None:
    """What LastroCouponsSlow hears."""
    await opened(coupons)

    async def measured() -> float:
        told = (await exposition()).decode().split("lastro_coupons_issue_seconds_count ")[1]
        return float(told.partition("\n")[0])

    before = await measured()
    await coupons.issue("e", "ana")
    assert await measured() == before + 1
