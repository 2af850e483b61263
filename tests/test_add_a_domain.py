"""The guide "add a fifth domain", done as it says: its files are built, installed, served, used and checked."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lastro.core.testing import free_port, wait_for

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "add_a_domain.md").read_text()
FILES = re.findall(r"`packages/tips/(\S+)`\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.anyio


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The guide's package, built, put beside the others and served."""
    package, site = tmp_path / "tips", tmp_path / "site"
    for name, text in FILES:
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([f"{BIN}/uv", "pip", "install", *flags, str(site), str(package)], check=True, timeout=60)
    found = {
        **os.environ, "PYTHONPATH": str(site), "PATH": f"{BIN}:{os.environ['PATH']}",
        "LASTRO_DATA_DIR": str(tmp_path / "data"), "LASTRO_HTTP_PORT": str(free_port()),
    }  # fmt: skip
    with subprocess.Popen([BIN / "lastro", "up", "tips"], env=found, stdout=subprocess.DEVNULL) as engine:
        yield found
        engine.terminate()
        assert engine.wait(20) == 0


def said(environment: dict[str, str], *words: str) -> str:
    return subprocess.run(
        [BIN / "lastro", *words], env=environment, capture_output=True, text=True, check=True, timeout=30
    ).stdout


async def test_the_guide_makes_a_domain_that_is_served_listed_and_checked(environment: dict[str, str]) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{environment['LASTRO_HTTP_PORT']}") as client:

        async def ready() -> bool:
            try:
                return (await client.get("/readyz")).is_success
            except httpx.TransportError:
                return False

        await wait_for(ready, "the service", within_seconds=20)
        for _ in range(2):  # asked twice, put in once
            given = await client.put("/tips/ana/tip-1", params={"cents": 150})
            assert given.json() == {"person": "ana", "cents": 150}
        refused = await client.put("/tips/ana/tip-1", params={"cents": 151})
        assert (refused.status_code, refused.json()["code"]) == (409, "tips.reused")
        assert (await client.put("/tips/ana/tip-2", params={"cents": 0})).json()["field"] == "cents"
        assert "tips" in (await client.get("/live.json")).json()["panels"]
    assert said(environment, "tips", "jar", "ana") == "150 cents\n"
    assert "tips" in said(environment, "--help")
    assert "adds up" in said(environment, "check", "tips")
    assert "tips.give" in said(environment, "scripts", "list")
