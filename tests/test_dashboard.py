"""The dashboard, in a real browser, on a real engine's service."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from lastro.core import panels
from lastro.core.app import create_app
from lastro.core.dashboard import LOOK_SECONDS
from lastro.core.local import Server
from lastro.core.plugins import installed
from lastro.core.settings import Settings
from lastro.core.testing import start_server, wait_for
from lastro.core.testing.web import served

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def engine(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(redis_url=SecretStr(server.url), redis_timeout_seconds=0.5)
    async with served(create_app(installed("lastro.routers"), settings)) as client:
        yield client


async def test_the_page_shows_every_domain_and_says_when_the_server_is_away(tmp_path: Path, browser: "Browser") -> None:
    server = start_server(tmp_path)
    try:
        async with engine(server) as client:
            page = await browser.new_page()
            wrong: list[str] = []
            page.on("pageerror", lambda error: wrong.append(str(error)))
            await page.goto(str(client.base_url))
            await page.wait_for_selector("#state[data-state=live]")
            assert {await card.inner_text() for card in await page.query_selector_all("h2")} >= {"Ledger", "Pix"}
            account = {"id": "7", "ledger": 1, "code": 10}
            assert (await client.post("/ledger/accounts", json=account)).is_success
            await page.locator("#domain-ledger summary").click()
            first = page.locator("#domain-ledger .rows dd").first

            async def counted() -> bool:
                return await first.inner_text() == "1"

            await wait_for(counted, "the new account on the page")
            server.stop()
            await page.wait_for_selector("#state[data-state=away]")
            assert "away" in await page.inner_text("#state")
            server = start_server(tmp_path)
            await page.wait_for_selector("#state[data-state=live]")
            assert wrong == []
            await page.close()
    finally:
        server.stop()


async def test_it_is_readable_on_a_phone_and_usable_without_a_mouse(tmp_path: Path, browser: "Browser") -> None:
    server = start_server(tmp_path)
    async with engine(server) as client:
        page = await browser.new_page(viewport={"width": 360, "height": 740}, color_scheme="dark")
        await page.goto(str(client.base_url))
        await page.wait_for_selector("#domain-ledger")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
        await page.focus("#theme")
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.documentElement.dataset.theme") == "light"
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.closest('details').open")
        await page.close()
    server.stop()


async def test_many_watchers_cost_one_look_a_second(tmp_path: Path) -> None:
    server = start_server(tmp_path)
    async with engine(server) as client:
        looks: list[list[int]] = [[] for _ in range(5)]

        async def watch(seen: list[int]) -> None:
            async with client.stream("GET", "/live") as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("data: {"):
                        seen.append(json.loads(line[6:])["at_ms"])
                    if len(seen) == 3:
                        return

        begun = time.monotonic()
        async with asyncio.timeout(60):
            await asyncio.gather(*(watch(seen) for seen in looks))
        seconds = time.monotonic() - begun
        assert len({look for seen in looks for look in seen}) <= 1 + seconds / LOOK_SECONDS
    server.stop()


async def test_a_file_that_the_dashboard_does_not_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "LOOK_SECONDS_MAX", 60.0)  # however slow the machine
    server = start_server(tmp_path)
    async with engine(server) as client:
        assert (await client.get("/dashboard/passwd")).json()["code"] == "dashboard.no_such_file"
        assert (await client.get("/live.json")).json()["panels"]["pix"]["unit"] == "settled"
        page = await client.get("/")
        assert page.headers["content-security-policy"].startswith("default-src 'self';")
    server.stop()
