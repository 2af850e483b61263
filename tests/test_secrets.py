"""A whole engine with keys, TLS and secrets from files: it works as without, and no secret is anywhere to be read."""

import asyncio
import json
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch
from urllib.parse import urlsplit

import httpx
import pytest
from redis import Redis

from lastro.core.cli import main
from lastro.core.testing import start_server
from lastro.core.testing.edge import certify
from lastro.core.testing.engine import READY_SECONDS, Engine, running, until

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = [pytest.mark.anyio, pytest.mark.needs("openssl")]

PLANTED = ("planted-store-password", "planted-coupon-secret")
SOME_KEY = re.compile(r"lastro_[0-9a-f]{12}_[\w-]{43}")


@dataclass
class Guarded:
    """An engine with everything on, on a store with a password; ``secret`` is an operator's key."""

    engine: Engine
    environment: dict[str, str]
    secret: str
    folder: Path

    def lastro(self, *words: str) -> str:
        """What a command of an operator prints."""
        with patch.dict(os.environ, self.environment), redirect_stdout(StringIO()) as said:
            main([*words])
        return said.getvalue()

    def get(self, path: str) -> httpx.Response:
        """A request with the key."""
        headers = {"x-api-key": self.secret}
        return httpx.get(f"{self.engine.url}{path}", headers=headers, verify=self.engine.trusted)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with TemporaryDirectory(prefix="lastro-") as name:
        folder = Path(name)
        store = start_server(folder / "store")
        with Redis(unix_socket_path=str(store.socket)) as client:
            client.config_set("requirepass", PLANTED[0])
        (folder / "url").write_text(f"unix://:{PLANTED[0]}@{store.socket}\n")
        (folder / "coupons").write_text(PLANTED[1])
        certify(folder, "first")
        variables = {
            "LASTRO_REDIS_URL_FILE": str(folder / "url"),
            "LASTRO_COUPONS_SECRET_FILE": str(folder / "coupons"),
            "LASTRO_API_KEYS": "on",
            "LASTRO_TLS_CERTIFICATE": str(folder / "cert.pem"),
            "LASTRO_TLS_KEY": str(folder / "key.pem"),
            "LASTRO_LOG_LEVEL": "debug",
        }
        with running("--simulate", **variables) as engine:
            environment = {**os.environ, **variables, "LASTRO_DATA_DIR": str(engine.folder)}
            known = Guarded(engine, environment, "", folder)
            known.secret = json.loads(known.lastro("keys", "create", "op", "--scope", "admin", "--json"))["secret"]
            yield known
        store.stop()


def test_simulators_status_line_monitor_and_check_work_with_keys_and_tls(guarded: Guarded) -> None:
    until(lambda: re.search(r"pix [1-9]", guarded.engine.log.read_text()), READY_SECONDS, "no status line that moves")

    def moved() -> bool:
        panels = guarded.get("/live.json").json()["panels"]
        return bool(panels["payments"]["done"] and panels["coupons"]["done"] and panels["pix"]["done"])

    until(moved, READY_SECONDS, "the outside world does not get in")
    assert json.loads(guarded.lastro("monitor", "--json"))["panels"]["pix"]["done"]
    guarded.lastro("check")
    assert guarded.get("/livez").headers["strict-transport-security"]


async def test_a_person_with_a_key_sees_the_dashboard(guarded: Guarded, browser: "Browser") -> None:
    person = await browser.new_context(
        http_credentials={"username": "me", "password": guarded.secret}, ignore_https_errors=True
    )
    page = await person.new_page()
    await page.goto(guarded.engine.url)
    await page.wait_for_selector("#state[data-state=live]")
    assert "Pix" in {await card.inner_text() for card in await page.query_selector_all("h2")}
    await page.close()
    nobody = await (await browser.new_context(ignore_https_errors=True)).new_page()
    with pytest.raises(Exception, match="ERR_INVALID_AUTH_CREDENTIALS"):
        await nobody.goto(guarded.engine.url)


def test_no_secret_is_in_logs_metrics_pages_process_lists_or_the_monitor(guarded: Guarded) -> None:
    wrong = guarded.secret[:-1] + ("x" if guarded.secret[-1] != "x" else "y")
    bad = httpx.get(f"{guarded.engine.url}/metrics", headers={"x-api-key": wrong}, verify=guarded.engine.trusted)
    assert bad.status_code == 401
    pages = [guarded.get(path) for path in ("/metrics", "/live.json", "/readyz", "/openapi.json", "/", "/nowhere")]
    parts = [guarded.engine.process.pid, *guarded.engine.parts().values()]
    said = {
        "the log": guarded.engine.log.read_text(),
        "an answer": "".join(f"{page.headers}{page.text}" for page in [*pages, bad]),
        "the process list": "".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in parts),
        "the monitor": guarded.lastro("monitor", "--json"),
        "the settings": guarded.lastro("settings"),
        "the list of keys": guarded.lastro("keys", "list") + guarded.lastro("keys", "list", "--json"),
    }
    for where, text in said.items():
        assert text, where
        for secret in (*PLANTED, guarded.secret, wrong):
            assert secret not in text, where
        assert not SOME_KEY.search(text), where


async def test_a_new_certificate_is_used_without_a_restart_and_half_of_one_changes_nothing(guarded: Guarded) -> None:
    address = urlsplit(guarded.engine.url)

    async def served() -> bytes:
        anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE  # which one it is, is the question
        _, writer = await asyncio.open_connection(address.hostname, address.port, ssl=anything)
        found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
        return found

    first = await served()
    whole = (guarded.folder / "cert.pem").read_text()
    (guarded.folder / "cert.pem").write_text(whole[:100])
    await asyncio.to_thread(
        until, lambda: "tls.not_renewed" in guarded.engine.log.read_text(), 30, "nobody looked at the file"
    )
    assert await served() == first
    certify(guarded.folder, "second")

    def renewed() -> bool:
        return "tls.renewed" in guarded.engine.log.read_text()

    await asyncio.to_thread(until, renewed, 30, "it is not renewed")
    assert await served() != first


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "lastro keys create"),
        ({"LASTRO_API_KEYS": "on"}, "LASTRO_TLS_CERTIFICATE"),
        ({"LASTRO_API_KEYS": "on", "LASTRO_TLS": "off"}, "LASTRO_COUPONS_SECRET"),
    ],
)
def test_the_engine_refuses_to_stand_open_on_a_network_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variables: dict[str, str], told: str
) -> None:
    for name, value in {"LASTRO_HTTP_HOST": "0.0.0.0", **variables}.items():  # noqa: S104  # that is the test
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(["up"])
    assert ended.value.code == os.EX_CONFIG
    assert told in capsys.readouterr().err
