"""``lastro chaos``: what is promised under faults, provoked."""

import asyncio
import json
from pathlib import Path
from random import randrange
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from rich.table import Table
from typer import Exit, Option, Typer, echo

if TYPE_CHECKING:
    from .play import Verdict
    from .schedule import Schedule

SEEDS = 1 << 31
TRIES_MAX = 16

app = Typer(
    add_completion=False, help="Faults by a seed against a running engine with traffic; then everything is added up."
)


@app.command()
def chaos(
    seed: Annotated[int | None, Option(help="what the schedule is drawn from; any other one without it")] = None,
    minutes: Annotated[float, Option(min=0.1, help="of faults; healing and adding up come on top")] = 3.0,
    schedule: Annotated[
        Path | None, Option(exists=True, dir_okay=False, help="a schedule that was kept, instead of a seed")
    ] = None,
    shrink: Annotated[  # noqa: FBT002  # a flag
        bool, Option("--shrink", help="of a schedule that fails, find the part that does, and keep it")
    ] = False,
    keep: Annotated[Path, Option(help="where a schedule that fails, and the engine's data, are kept")] = Path("chaos"),
    as_json: Annotated[bool, Option("--json", help="the result for scripts")] = False,  # noqa: FBT002
    dry: Annotated[bool, Option("--dry", help="only show the schedule")] = False,  # noqa: FBT002
) -> None:
    """An engine with traffic in all domains, faults by the schedule, then `lastro check`: exit code 0 if it adds up."""
    from .schedule import Schedule, drawn

    given = Schedule.read(schedule) if schedule else drawn(randrange(SEEDS) if seed is None else seed, minutes)
    if not as_json:
        server = "a server with a replica" if given.replicas else "a server alone"
        echo(f"lastro chaos --seed {given.seed} --minutes {given.minutes}: {len(given.steps)} faults, {server}")
    if dry:
        for step in given.steps:
            echo(f"{step.at_seconds:6.1f} s  {step}")
        return
    keep.mkdir(parents=True, exist_ok=True)
    verdict = asyncio.run(_play(given, keep, shrink=shrink, quiet=as_json))
    if as_json:
        told = {"seed": given.seed, "done": verdict.done, "left_out": verdict.left_out, "findings": verdict.findings}
        echo(json.dumps({**told, "adds_up": verdict.adds_up}, indent=2))
    else:
        _table(verdict)
    if not verdict.adds_up:
        raise Exit(1)


async def _play(given: "Schedule", keep: Path, *, shrink: bool, quiet: bool) -> "Verdict":
    from .play import play
    from .schedule import shrunk

    data = keep / f"seed-{given.seed}"
    verdict = await play(given, quiet=quiet, keep=data)
    if verdict.adds_up:
        return verdict
    smallest = given
    if shrink:

        async def fails(fewer: "Schedule") -> bool:
            return not (await play(fewer, quiet=quiet)).adds_up

        smallest, tries = await shrunk(given, fails, TRIES_MAX)
        Console(stderr=True).print(f"{len(given.steps)} faults shrunk to {len(smallest.steps)} in {tries} tries")
    smallest.write(keep / f"seed-{given.seed}.json")
    Console(stderr=True).print(f"kept: {keep / f'seed-{given.seed}.json'}, {data}")
    return verdict


def _table(verdict: "Verdict") -> None:
    table = Table("when: what was done", title=f"Chaos, seed {verdict.schedule.seed}")
    for line in verdict.done:
        table.add_row(line)
    console = Console()
    console.print(table)
    if verdict.left_out:
        console.print(f"[yellow]{verdict.left_out} of {len(verdict.done)} faults were left out[/]")
    for name, findings in verdict.findings.items():
        console.print(f"{name}: {'; '.join(findings) or 'adds up'}", markup=False)
    said = "[green]everything adds up[/]" if verdict.adds_up else "[bold red]it does not add up[/]"
    console.print(f"{said} after {verdict.seconds:,.0f} s")
