"""The outside world: participants with manners, and the published capacity test."""

import asyncio
import random
from typing import Any

import pytest
from pydantic import SecretStr

from lastro.core import local
from lastro.core.app import create_app
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.testing.web import served
from lastro.pix.api import router
from lastro.pix.simulator.homologate import homologate, limits
from lastro.pix.simulator.web import pay_over_http
from lastro.pix.simulator.world import Manners, World, banks, percentile, within

pytestmark = pytest.mark.anyio


async def play(desk: Any, manners: Manners, count: int, per_second: float) -> World:
    world = World(desk.pix, banks(4), manners, random.Random(1))
    await world.open()
    async with desk.workers(1):
        receiving = asyncio.create_task(world.receive())
        await world.pay(count, per_second)
        assert await world.heard_of_all(60)
        world.stopping.set()
        await receiving
    return world


async def test_refusals_and_repeats_come_in_the_share_that_was_asked_for(desk: Any) -> None:
    manners = Manners(answer_p50_s=0, rejects={"AC03": 0.3, "AC07": 0.1}, duplicates=0.3)
    seen = (await play(desk, manners, 1_000, 1_000)).seen
    assert 230 <= seen.outcomes["AC03"] <= 370
    assert 60 <= seen.outcomes["AC07"] <= 140
    assert seen.outcomes.total() == 1_000
    assert 230 <= seen.repeated <= 370
    assert await desk.findings() == []


@pytest.mark.parametrize("server", ["cluster"], indirect=True)
async def test_a_receiver_that_crashes_reads_again_and_nothing_is_paid_twice(desk: Any) -> None:
    manners = Manners(answer_p50_s=0.05, answer_p95_s=0.2, crash_every_s=0.3)
    seen = (await play(desk, manners, 500, 500)).seen
    assert seen.outcomes["ACSC"] == 500
    assert seen.asked > 500
    assert await desk.findings() == []


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_the_capacity_test_passes_at_a_hundred_times_its_speed(desk: Any) -> None:
    """The smallest tier in six seconds: 1,667 payments a second."""
    async with desk.workers(1):
        verdict = await homologate(desk.pix, "small", 100)
    assert [limit.name for limit in verdict.limits if limit.name.startswith("payments") and not limit.passed] == []
    assert verdict.settled == verdict.payments == 10_000


@pytest.mark.parametrize("server", ["cluster"], indirect=True)
async def test_while_memory_is_full_participants_wait_and_then_do_what_they_wanted_to(desk: Any) -> None:
    world = World(desk.pix, banks(3), Manners(answer_p50_s=0))
    for act in (world.open(), world.pay(10, 0)):
        before = await refused(desk)

        async def more(before: int = before) -> bool:
            return await refused(desk) > before

        await desk.pix.write.config_set("maxmemory", "1mb")
        acting = asyncio.create_task(act)
        try:
            await wait_for(more, "a refusal")
        finally:
            await desk.pix.write.config_set("maxmemory", "0")
        await acting
    assert await desk.pix.read.xlen(desk.pix.keys.payments) == 10


async def refused(desk: Any) -> int:
    """Commands for which there was no memory."""
    told = await desk.pix.read.info("errorstats")
    return int(told.get("errorstat_OOM", {"count": 0})["count"])


async def test_a_bank_pays_over_http_and_hears_of_it(desk: Any, server: local.Server) -> None:
    world = World(desk.pix, banks(3), Manners(answer_p50_s=0))
    await world.open()
    app = create_app({"pix": router}, Settings(redis_url=SecretStr(server.url)))
    async with served(app) as web, desk.workers(1), asyncio.TaskGroup() as group:
        group.create_task(world.receive())
        group.create_task(pay_over_http(world, web, 5, world.stopping))
        await wait_for(lambda: world.seen.outcomes["ACSC"] >= 5, "the settlements")
        world.stopping.set()
    assert await desk.findings() == []


def test_a_missed_limit_is_a_failure() -> None:
    world = World(None, [])  # type: ignore[arg-type]  # it only counts
    world.seen.consumed_s = [0.1] * 98 + [0.3] * 2
    world.seen.answer_s = [1.0] * 94 + [3.0] * 6
    world.seen.latency_s = [1.0] * 98 + [20.0] * 2
    world.seen.outcomes.update({"ACSC": 99, "AC03": 1})
    failed = [limit.name for limit in limits(world, 100) if not limit.passed]
    assert failed == [
        "messages consumed within 200 ms, share",
        "answered within 2.3 s, share",
        "payments not settled",
        "payer's experience p99, s",
    ]


def test_percentiles_and_shares_count_what_is_there() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([], 0.5)) == (50.0, 99.0, 0.0)
    assert (within(values, 25.0), within([], 1.0)) == (0.25, 1.0)
