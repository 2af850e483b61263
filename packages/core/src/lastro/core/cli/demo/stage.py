"""Plays the acts of all domains on one engine, kills parts of it on the way, and asks whether it adds up."""

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from lastro.core import local
from lastro.core.acts import Act, Result, Stage, free_ports
from lastro.core.errors import LastroError
from lastro.core.redis import connect_url

READY_SECONDS = 30.0
END_SECONDS = 60.0
REOPEN_SECONDS = 0.2
KILLS = ((0.25, "work"), (0.5, "server"), (0.75, "web.1"))
"""At which share of all steps what is killed: a domain's workers, the server, a service."""


class NotUp(LastroError):
    """The engine did not come up in {seconds} s: {log}."""

    code = "demo.not_up"


HEAD_START_SECONDS = 3.0
"""Before the first act, when somebody watches: a counter that is first scraped with its last value shows no rate."""
WATCHED_SECONDS = 8.0
"""After the check, when somebody watches at that port: until its result was looked at, and scraped."""


@dataclass(slots=True)
class Report:
    """What happened."""

    results: dict[str, Result] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    killed: list[str] = field(default_factory=list)
    findings: dict[str, list[str]] = field(default_factory=dict)
    total_seconds: float = 0.0

    @property
    def adds_up(self) -> bool:
        """Nothing was found, inside or from outside."""
        return not any(self.findings.values()) and not any(result.wrong for result in self.results.values())

    def told(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {**dataclasses.asdict(self), "adds_up": self.adds_up}


@dataclass(slots=True)
class Theatre:
    """A real ``lastro up``, started again if somebody kills it."""

    folder: Path
    port: int = 0
    words: Sequence[str] = ("up",)
    variables: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Start it, or start it again."""
        environment = {
            **{name: value for name, value in os.environ.items() if name not in {"REDIS_URL", "LASTRO_REDIS_URL"}},
            "LASTRO_HTTP_PORT": str(self.port),
            "LASTRO_DURABILITY": "always",
            **self.variables,
        }
        with (self.folder / "engine.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  # our own
                [str(Path(sys.executable).parent / "lastro"), *self.words],
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=local.die_with_parent,  # noqa: PLW1509  # one prctl(), no lock: fork-safe
            )

    async def keep_open(self) -> None:
        """As long as the demo plays."""
        while True:
            if self.process is not None and self.process.poll() is not None:
                self.open()
            await asyncio.sleep(REOPEN_SECONDS)

    async def ready(self) -> None:
        """Wait for the first answer. Raises NotUp with what the engine said."""
        deadline = time.monotonic() + READY_SECONDS
        async with httpx.AsyncClient(base_url=self.url) as client:
            while time.monotonic() < deadline:
                with suppress(httpx.HTTPError):
                    if (await client.get("/readyz")).is_success:
                        return
                await asyncio.sleep(0.05)
        raise NotUp(seconds=READY_SECONDS, log=(self.folder / "engine.log").read_text(errors="replace")[-500:])

    def kill(self, what: str) -> str | None:
        """``kill -9``; what was killed, or None when there is no such process."""
        if what == "server":
            server = local.adopt(self.folder)
            if server is None:
                return None
            os.kill(server.pid, signal.SIGKILL)
            return f"server (pid {server.pid})"
        for name, pid in self.parts().items():
            if name.endswith(what):
                os.kill(pid, signal.SIGKILL)
                return f"{name} (pid {pid})"
        return None

    def parts(self) -> dict[str, int]:
        """Name → pid of the engine's processes."""
        assert self.process is not None
        found = {}
        with suppress(OSError):  # it was killed itself
            for child in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
                with suppress(OSError):
                    found[Path(f"/proc/{child}/comm").read_text().strip()] = int(child)
        return found

    def close(self) -> int:
        """Stop it in order; its exit code says whether it adds up at rest."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(END_SECONDS)


async def perform(acts: Mapping[str, Act], folder: Path, *, port: int, kills: bool, quiet: bool) -> Report:
    """Play all acts side by side; the report is whole even when something does not add up."""
    report, started = Report(), time.monotonic()
    theatre = Theatre(folder, port=port or free_ports(1)[0])
    theatre.open()
    keeping = asyncio.create_task(theatre.keep_open())
    try:
        await theatre.ready()
        if port:
            await asyncio.sleep(HEAD_START_SECONDS)
        await _play(acts, theatre, report, kills=kills, quiet=quiet)
        report.findings = await checked()
        if port:
            await asyncio.sleep(WATCHED_SECONDS)
    finally:
        keeping.cancel()
        at_rest = theatre.close()
    if at_rest and not any(report.findings.values()):
        report.findings["at rest"] = [(folder / "engine.log").read_text(errors="replace")[-2000:]]
    report.total_seconds = time.monotonic() - started
    return report


async def _play(acts: Mapping[str, Act], theatre: Theatre, report: Report, *, kills: bool, quiet: bool) -> None:
    columns = (TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    server = local.adopt(theatre.folder)
    assert server is not None
    planned = list(KILLS) if kills else []
    played = 0.0  # of all acts, each from 0 to 1
    hub = await connect_url(server.url)

    async def play(name: str, act: Act, bar: Any) -> None:
        def told(steps: int) -> None:
            nonlocal played
            progress.advance(bar, steps)
            played += steps / act.steps
            while planned and played / len(acts) >= planned[0][0]:
                killed = theatre.kill(planned.pop(0)[1])
                if killed:
                    report.killed.append(f"{killed} at {played / len(acts):.0%}")
                    progress.console.print(f"[red]killed {report.killed[-1]}[/]")

        begun = time.monotonic()
        report.results[name] = await act.play(Stage(url=theatre.url, hub=hub, told=told))
        report.seconds[name] = time.monotonic() - begun

    async with hub:
        with Progress(*columns, console=Console(stderr=True, quiet=quiet)) as progress:
            async with asyncio.TaskGroup() as group:
                for name, act in acts.items():
                    group.create_task(play(name, act, progress.add_task(act.what, total=act.steps)))


async def checked() -> dict[str, list[str]]:
    """``lastro check``, as an operator runs it beside the engine."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "lastro"), "check", "--json", stdout=subprocess.PIPE
    )
    said, _ = await process.communicate()
    if not said:
        return {"check": [f"it ended with {process.returncode} before it could say anything"]}
    found: dict[str, list[str]] = json.loads(said)
    return found


def table(report: Report) -> None:
    """For people."""
    shown = Table("domain", "done", "", "seconds", "a second", "from outside", "inside", title="Lastro demo")
    for name, result in report.results.items():
        seconds = report.seconds[name]
        inside = "; ".join(report.findings.get(name, [])) or "adds up"
        outside = "; ".join(result.wrong) or "adds up"
        notes = f"{result.unit}; {result.notes}" if result.notes else result.unit
        shown.add_row(
            name, f"{result.done:,}", notes, f"{seconds:,.1f}", f"{result.done / seconds:,.0f}", outside, inside
        )
    console = Console()
    console.print(shown)
    console.print(f"killed on the way: {', '.join(report.killed) or 'nothing'}")
    for name in sorted(report.findings.keys() - report.results.keys()):
        console.print(f"{name}: {'; '.join(report.findings[name]) or 'adds up'}")
    verdict = "[green]everything adds up[/]" if report.adds_up else "[bold red]it does not add up[/]"
    console.print(f"{verdict} after {report.total_seconds:,.0f} s")
