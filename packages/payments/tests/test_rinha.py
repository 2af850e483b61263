"""The official load played by itself: what it counts. Against a deployment it is in test_stack.py."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from lastro.core.cli import main
from lastro.core.testing.web import served
from lastro.payments.simulator import Book, processor_app
from lastro.payments.simulator.rinha import Play

CONFIG = Path(__file__).parents[3] / "ops/haproxy/payments.cfg"
LATE_SECONDS = 0.4


@pytest.mark.anyio
async def test_the_p99_is_that_of_all_requests_the_processors_admin_calls_and_the_summaries_too() -> None:
    """As the official one's is; a processor that is slow to tell its sums costs the bonus. It stands in for us, too."""
    well = processor_app(Book())

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/admin/payments-summary":
            await asyncio.sleep(LATE_SECONDS)
        await well(scope, receive, send)

    async with AsyncExitStack() as last:
        urls = [str((await last.enter_async_context(served(app))).base_url) for app in (processor_app(Book()), late)]
        result = await Play("preview", urls[0], (urls[0], urls[1]), scale=0.001, speed=60).run(lambda share: None)
    assert result.p50_ms < LATE_SECONDS * 1000 <= result.p99_ms


@pytest.mark.slow
@pytest.mark.needs("haproxy")
def test_one_command_starts_a_deployment_and_plays_several_times(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--behind", str(CONFIG), "--runs", "2", "--scale", "0.05", "--speed", "3", "--with", "built-in", "--json")
    main(["payments", "rinha", *words])
    runs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(run["lag"], run["failed"], run["differing"]) for run in runs] == [(0, 0, 0)] * 2
    assert min(run["accepted"] for run in runs) > 50
