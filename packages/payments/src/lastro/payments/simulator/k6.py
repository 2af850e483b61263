"""k6 as the crowd of the official load: its users pay as ``k6.js`` has it, and tell each payment in a line.

A load that k6 ends early, or in which it has an error of its own, is no load: LoadFailed.
"""

import asyncio
import json
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lastro.core import local
from lastro.core.errors import LastroError

SCRIPT = Path(__file__).with_name("k6.js")
WORDS = ("run", "--quiet", "--no-summary", "--no-usage-report", "--no-color", "--log-format=json", "--address=")
"""Its own server stays off, and it tells nobody but us."""


class LoadFailed(LastroError):
    """k6 played no load to the end: {reason}."""

    code = "payments.load_failed"


@dataclass(frozen=True, slots=True)
class Paid:
    """What a user heard; status 0 is no answer."""

    correlation_id: str
    status: int
    seconds: float


def binary() -> str | None:
    """k6 beside the interpreter, where its Python package puts it, or in the PATH."""
    return shutil.which("k6", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


@asynccontextmanager
async def crowd(program: str, numbers: Mapping[str, str]) -> AsyncIterator[AsyncIterator[Paid]]:
    """Begins when all users are there to begin; what they tell ends with the load. k6 ends with the context."""
    process = await asyncio.create_subprocess_exec(
        program,
        *WORDS,
        str(SCRIPT),
        env=numbers,  # a proxy, or k6's own variables, would make another load of it
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
        preexec_fn=local.die_with_parent,  # one prctl(), no lock: fork-safe
        start_new_session=True,  # Ctrl-C at the terminal is for us
    )
    try:
        told = _told(process)
        if await anext(told, "") != "ready":
            raise LoadFailed(reason="it made no users")
        yield _paid(told)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _paid(told: AsyncIterator[str]) -> AsyncIterator[Paid]:
    async for line in told:
        id_, status, duration_ms = line.split()
        yield Paid(id_, int(status), float(duration_ms) / 1000)


async def _told(process: Process) -> AsyncIterator[str]:
    """What the script says; k6's own warnings are answers that did not come, and the script tells them, too."""
    assert process.stderr is not None
    async for line in process.stderr:
        try:
            entry = json.loads(line)
        except ValueError:  # a crash of k6 is no JSON
            raise LoadFailed(reason=line.decode(errors="replace").strip()) from None
        if entry["level"] == "error":
            raise LoadFailed(reason=entry["msg"].strip())
        if entry.get("source") == "console":
            yield entry["msg"]
    if code := await process.wait():
        raise LoadFailed(reason=f"it ended with {code}")
