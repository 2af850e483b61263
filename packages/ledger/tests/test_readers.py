"""Who follows the changes over HTTP: comes, reads, leaves."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest

from lastro.core.app import create_app
from lastro.core.local import Server
from lastro.core.plugins import installed
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.testing.web import served
from lastro.ledger.engine import Ledger
from lastro.ledger.model.records import Account, Transfer
from lastro.ledger.settings import LedgerSettings

pytestmark = pytest.mark.anyio

READERS = 3


@pytest.fixture
async def web(hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """A few changes, and a service that lets three follow them."""
    ledger = Ledger(hub, LedgerSettings())
    await ledger.create_accounts([Account(id=number, ledger=1, code=1) for number in (1, 2)])
    payment = Transfer(id=100, debit_account_id=1, credit_account_id=2, amount=1, ledger=1, code=1)
    await ledger.create_transfers([replace(payment, id=100 + number) for number in range(6000)])
    monkeypatch.setenv("LASTRO_LEDGER_CHANGES_READERS_MAX", str(READERS))
    app = create_app(installed("lastro.routers", "ledger"), Settings(redis_url=server.url))
    async with served(app) as client:
        yield client


async def _readers(hub: Hub) -> int:
    """Connections at the server that wait for changes, or did."""
    client: Any = hub.read
    return len([each for each in await client.client_list() if each["cmd"] == "xread"])


@pytest.mark.parametrize("after", ["0", "$"])
async def test_a_reader_that_leaves_takes_its_connection_along(web: httpx.AsyncClient, hub: Hub, after: str) -> None:
    """Whether it leaves while changes wait for it, or while it waits for a change."""

    async def taken() -> bool:
        async with web.stream("GET", f"/ledger/changes?after={after}") as stream:
            if stream.status_code == 200:
                await anext(stream.aiter_lines())
            return stream.status_code == 200

    async def all_gone() -> bool:
        return await _readers(hub) == 0

    for _ in range(2 * READERS):
        await wait_for(taken, "a place")
    await wait_for(all_gone, "the end of their connections")


async def test_no_more_follow_the_changes_than_there_are_places(web: httpx.AsyncClient, hub: Hub) -> None:
    """One more hears 503, and takes nothing from the others; when one leaves, its place is free."""
    async with AsyncExitStack() as readers:
        kept = []  # what iterates over an answer closes it when it is collected
        for _ in range(READERS):
            stream = await readers.enter_async_context(web.stream("GET", "/ledger/changes?after=0"))
            kept.append(stream.aiter_lines())
            await anext(kept[-1])
        more = await web.get("/ledger/changes?after=0")
        assert (more.status_code, more.json()["code"]) == (503, "ledger.too_many_readers")
        assert await _readers(hub) == READERS

    async def taken() -> bool:
        async with web.stream("GET", "/ledger/changes?after=0") as stream:
            return stream.status_code == 200

    await wait_for(taken, "a place")
