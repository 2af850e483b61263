"""The README's examples run, as they stand there but for the address of the server."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import redis

from lastro.core.local import Server
from lastro.core.redis import Hub

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("server", ["embedded"], indirect=True)]

README = Path(__file__).parent.parent / "README.md"
FIRST, SCRIPTS, SHARDS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


async def test_the_worked_example_works_and_so_does_what_is_said_of_shards(hub: Hub, server: Server) -> None:
    told = FIRST.replace("redis://localhost:6379", server.url) + textwrap.indent(SHARDS, "    ")
    scope: dict[str, Any] = {}
    exec(f"async def example():\n{textwrap.indent(told, '    ')}\n    return outcome, again", scope)  # noqa: S102 - our own README
    outcome, again = await scope["example"]()
    assert (outcome.ok, outcome.result, outcome.status) == (True, 0, "ok")
    assert (again.status, again.timestamp) == ("exists", outcome.timestamp)


async def test_the_scripts_are_called_from_any_language(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    told = SCRIPTS.replace("redis.Redis()", f"redis.Redis(unix_socket_path={str(server.socket)!r})")
    scope = {"redis": redis, "json": json, "subprocess": subprocess}
    exec(compile(told + "r.close()\n", README.name, "exec"), scope)  # noqa: S102 - our own README
    await hub.write.flushall()  # a bare prefix is for stores that a ledger has to itself
