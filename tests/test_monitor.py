"""The monitor of the whole engine, driven as a person would."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from textual.widgets import Static

from lastro.core import panels
from lastro.core.cli import main
from lastro.core.cli.monitor.screen import Monitor
from lastro.core.panels import Look, Panel, Store, Watch
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import start_server, wait_for

pytestmark = pytest.mark.anyio

WIDE = (140, 50)


def text(app: Monitor, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


async def test_all_domains_are_on_one_screen_and_each_has_a_page(folder: Path) -> None:
    server = start_server(folder)
    app = Monitor(Settings(redis_url=SecretStr(server.url)))
    async with app.run_test(size=WIDE) as pilot:
        await wait_for(lambda: "commands/s" in text(app, "#store"), "the first look")
        assert "transfers" in text(app, "#card-ledger Static")
        assert "settled" in text(app, "#card-pix Static")
        await pilot.press("question_mark")
        assert "ledger" in text(app, "#help")
        await pilot.press("escape")
        number = str(1 + list(app.eyes.shows).index("ledger"))
        await pilot.press(number)
        await wait_for(lambda: "accounts" in text(app, "#rows"), "the ledger's page")
        number = str(1 + list(app.eyes.shows).index("pix"))
        await pilot.press(number)
        await wait_for(lambda: "settled" in text(app, "#totals"), "pix's own page")
        await pilot.press("0")
        await wait_for(lambda: "commands/s" in text(app, "#store"), "the overview again")
    server.stop()


async def test_a_server_that_is_away_is_shown_and_so_is_its_return(folder: Path) -> None:
    server = start_server(folder)
    app = Monitor(Settings(redis_url=SecretStr(server.url), redis_timeout_seconds=0.5))
    try:
        async with app.run_test(size=(60, 30)):
            await wait_for(lambda: "commands/s" in text(app, "#store"), "the first look")
            server.stop()
            await wait_for(lambda: "the server is away" in text(app, "#store"), "the bad news")
            server = start_server(folder)
            await wait_for(lambda: "commands/s" in text(app, "#store"), "the recovery")
    finally:
        server.stop()


def test_scripts_get_one_look_as_json(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(panels, "LOOK_SECONDS_MAX", 60.0)  # however slow the machine
    server = start_server(folder, durability="everysec")
    monkeypatch.setenv("LASTRO_REDIS_URL", server.url)
    main(["monitor", "--json"])
    look = json.loads(capsys.readouterr().out)
    assert look["store"]["fsync"] == "everysec"
    assert look["panels"]["ledger"]["unit"] == "transfers"
    assert look["store"]["role"] == "master"
    server.stop()


async def test_a_rate_is_what_was_done_between_looks(hub: Hub) -> None:
    async def panel(hub: Hub) -> Panel:
        return Panel(done=1_000, unit="things")

    watch = Watch(Settings(), {"things": panel})
    watch.hub = hub
    store = Store(version="", url="", memory_bytes=0, clients=0, commands=0, role="master", replicas=0, fsync="off")
    now = (await watch.look()).at_ms
    watch.past.clear()
    watch.past.append(Look(at_ms=now - 10_000, store=store, panels={"things": Panel(done=0, unit="things")}))
    look = await watch.look()
    assert look.rates["things"] == pytest.approx(1_000 / (look.at_ms - now + 10_000) * 1_000)
