"""Both READMEs say the same, and what they say works."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from lastro.core import local
from lastro.core.redis import Hub

pytestmark = pytest.mark.anyio
ENGLISH, KOREAN = (Path(__file__).parent.parent / name for name in ("README.md", "README.ko.md"))


def blocks(path: Path, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", path.read_text(), re.DOTALL)


def shape(path: Path) -> list[str]:
    """Headings by level, tables by their rows, the names in code of each row and item."""
    lines = path.read_text().splitlines()
    found = [line.split(" ")[0] for line in lines if line.startswith("#")]
    return found + [" ".join(re.findall(r"`[^`]+`", line)) for line in lines if line.startswith("|")]


def test_the_korean_readme_has_the_same_commands_headings_and_tables() -> None:
    for kind in ("sh", "python"):
        assert blocks(ENGLISH, kind) == blocks(KOREAN, kind)
    assert shape(ENGLISH) == shape(KOREAN)


@pytest.mark.timeout(300)
def test_the_commands_work() -> None:
    """As a newcomer would paste them; the shell stops at the first that fails."""
    (commands,) = blocks(ENGLISH, "sh")
    with TemporaryDirectory(prefix="lastro-") as folder:
        server = local.start(Path(folder) / "store", durability="always")
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LASTRO_REDIS_URL": server.url,
            "LASTRO_DATA_DIR": folder,
        }
        command = ["bash", "-euo", "pipefail", "-c", commands]
        told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=290)
        server.stop()
    assert told.returncode == 0, told.stdout + told.stderr
    for said in ("again 1", "redeemed for order-1", "1 cancelled", "2 of 3 left", "none"):
        assert said in told.stdout, told.stdout


async def test_the_worked_example_works(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTRO_COUPONS_DATABASE_URL", f"sqlite:///{tmp_path}/coupons.sqlite")
    (example,) = blocks(ENGLISH, "python")
    scope: dict[str, Any] = {"hub": hub}
    exec(f"async def example():\n{textwrap.indent(example, '    ')}", scope)  # noqa: S102 - our own README
    await scope["example"]()
