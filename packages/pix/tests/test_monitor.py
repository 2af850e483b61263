"""The monitor's screen, driven as a person would, on a real server."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from textual.widgets import Input, Static

from lastro.core import local
from lastro.core.settings import Settings
from lastro.core.testing import start_server, wait_for
from lastro.pix.cli.screen import Monitor
from lastro.pix.settings import PixSettings

pytestmark = pytest.mark.anyio


def text(app: Monitor, name: str) -> str:
    return str(app.screen.query_one(f"#{name}", Static).render())


async def test_the_screen_shows_streams_totals_latency_outboxes_and_refusals(server: local.Server, desk: Any) -> None:
    await desk.settled(1_234)
    await desk.pay(desk.order(999_999))
    app = Monitor(Settings(redis_url=SecretStr(server.url)), PixSettings())
    async with app.run_test(size=(140, 50)):
        await wait_for(lambda: "settled" in text(app, "totals"), "the first look")
        assert "R$ 12,34" in text(app, "totals")
        assert "pix_payments" in text(app, "streams")
        assert "of 2800 ms" in text(app, "latency")
        assert "2 response streams" in text(app, "outboxes")
        assert "AM04" in text(app, "refusals")


async def test_one_payments_timeline_is_a_key_away(server: local.Server, desk: Any) -> None:
    payment = await desk.settled(1_000)
    app = Monitor(Settings(redis_url=SecretStr(server.url)), PixSettings())
    async with app.run_test(size=(140, 50)) as pilot:
        await wait_for(lambda: app.page.pix is not None, "the connection")
        await pilot.press("t")
        app.screen.query_one(Input).value = payment.end_to_end_id
        await pilot.press("enter")
        await wait_for(lambda: "settled" in text(app, "story"), "the story")
        await pilot.press("escape", "question_mark")
        assert "timeline" in text(app, "help")
        await pilot.press("escape", "p")
        assert app.page.paused


async def test_it_fits_a_narrow_terminal(server: local.Server, desk: Any) -> None:
    app = Monitor(Settings(redis_url=SecretStr(server.url)), PixSettings())
    async with app.run_test(size=(60, 30)) as pilot:
        await wait_for(lambda: "settled" in text(app, "totals"), "the first look")
        await pilot.resize_terminal(140, 50)
        assert "settled" in text(app, "totals")


async def test_redis_down_is_shown_and_it_comes_back(tmp_path: Path) -> None:
    server = start_server(tmp_path)
    app = Monitor(Settings(redis_url=SecretStr(server.url), redis_timeout_seconds=0.5), PixSettings())
    try:
        async with app.run_test(size=(140, 50)):
            await wait_for(lambda: "settled" in text(app, "totals"), "the first look")
            server.stop()
            await wait_for(lambda: "Redis is down" in text(app, "totals"), "the bad news")
            server = start_server(tmp_path)
            await wait_for(lambda: "settled" in text(app, "totals"), "the recovery")
    finally:
        server.stop()


async def test_no_password_is_on_the_screen(server: local.Server, desk: Any) -> None:
    await desk.pix.write.execute_command("ACL SETUSER", "watcher", "on", ">secret-word", "~*", "+@all")
    url = server.url.replace("unix://", "unix://watcher:secret-word@")
    app = Monitor(Settings(redis_url=SecretStr(url)), PixSettings())
    async with app.run_test(size=(140, 50)):
        await wait_for(lambda: "settled" in text(app, "totals"), "the first look")
        assert "secret-word" not in (app.page.sub_title or "")
    await desk.pix.write.execute_command("ACL DELUSER", "watcher")
