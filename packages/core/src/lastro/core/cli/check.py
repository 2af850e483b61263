"""``lastro check``: every domain reconciles its records with its streams, counters and books, and all with each other.

Across domains they are compared by totals. Whoever keeps books of a subject (``pix``: Pix itself, and the ledger that
posts its movements) tells its sums, name → (certainly, at most): between the two lies what is in flight. A sum only
grows, and one that is not told is zero. All are asked twice: with the first answers' lower ends and the second answers'
upper ends, two that agree must overlap, also while traffic runs; when it does not, both ends are the sum itself.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from typing import Annotated, Any, TypeAlias

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer import Argument, Exit, Option, Typer, echo

from lastro.core.errors import LastroError, Misconfigured, OutcomeUnknown, Unreachable
from lastro.core.panels import note_checked
from lastro.core.plugins import NotInstalled, installed, plugs
from lastro.core.redis import connect
from lastro.core.settings import Settings

Totals: TypeAlias = Mapping[str, Mapping[str, tuple[int, int]]]
"""Subject → name of a sum → certainly so much, and at most so much."""

EVERY_MIN_SECONDS = 1.0

BAR = (TextColumn("checking {task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())

log = structlog.get_logger()


@dataclass(slots=True)
class Report:
    """What a check found. A domain that could not be looked at neither adds up nor differs."""

    differences: dict[str, list[Any]] = field(default_factory=dict)
    """By domain, of those that were looked at."""
    unseen: dict[str, str] = field(default_factory=dict)
    """Domain → why it was not looked at."""

    @property
    def exit_code(self) -> int:
        """0 all adds up, 1 something does not, 75 nothing that was looked at differs, and not all was."""
        return 1 if any(self.differences.values()) else os.EX_TEMPFAIL if self.unseen else 0


app = Typer(add_completion=False, help="Does it add up? Records, streams, counters and books of every domain.")


@app.command()
def check(
    domain: Annotated[str | None, Argument(help="one domain alone")] = None,
    as_json: Annotated[bool, Option("--json", help="for scripts")] = False,  # noqa: FBT002
    every: Annotated[
        float | None, Option(min=EVERY_MIN_SECONDS, help="again after so many seconds, until it is stopped")
    ] = None,
) -> None:
    """Say which id is wrong; exit code 1 when anything is, 75 when a domain could not be looked at."""
    if domain not in {None, *plugs("lastro.checks")}:
        raise NotInstalled(name=domain, installed=", ".join(plugs("lastro.checks")))
    while every is not None:  # what was found is in the metrics; a store that is away is asked again
        try:
            _tell(asyncio.run(reconcile(domain, Settings.read())), as_json=as_json)
        except Misconfigured:
            raise  # nothing passes by itself there
        except LastroError as error:
            log.warning("check.not_done", reason=str(error))
        time.sleep(every)
    found = asyncio.run(reconcile(domain, Settings.read()))
    _tell(found, as_json=as_json)
    if found.exit_code:
        raise Exit(found.exit_code)


def _tell(found: Report, *, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = {name: [str(each) for each in findings] for name, findings in found.differences.items()}
        echo(json.dumps(told | {name: {"not_looked_at": why} for name, why in found.unseen.items()}, indent=2))
    else:
        show(found)


async def reconcile(domain: str | None, settings: Settings) -> Report:
    """What does not add up, by domain, and across them when all are asked; noted for each that was looked at."""
    async with await connect(settings) as hub:
        checks = {name: plug.load() for name, plug in plugs("lastro.checks").items() if domain in {None, name}}
        found = Report()
        with Progress(*BAR, console=Console(stderr=True), transient=True) as progress:
            for name, check in checks.items():
                bar = progress.add_task(name, total=None)
                try:
                    found.differences[name] = list(await check(hub, partial(_progress, progress, bar)))
                except (Unreachable, OutcomeUnknown, Misconfigured):
                    raise  # the store is everybody's, and a wrong setting does not pass
                except LastroError as error:  # its own database is away: the others are looked at all the same
                    found.unseen[name] = str(error)
                progress.remove_task(bar)
        if domain is None:
            asked = installed("lastro.totals")
            first, second = [{name: await totals(hub) for name, totals in asked.items()} for _ in range(2)]
            found.differences["across domains"] = list(differences(first, second))
        await note_checked(hub, {name: len(findings) for name, findings in found.differences.items()})
        return found


def _progress(progress: Progress, bar: TaskID, done: int, total: int) -> None:
    progress.update(bar, completed=done, total=total)


def show(found: Report) -> None:
    """A table for people."""
    table = Table("domain", "finding", title="Does it add up?")
    for name, findings in found.differences.items():
        for finding in findings or ["adds up"]:
            table.add_row(name, str(finding))
    for name, why in found.unseen.items():
        table.add_row(name, f"not looked at: {why}")
    Console().print(table)


def differences(first: Mapping[str, Totals], second: Mapping[str, Totals]) -> Iterator[str]:
    """Every sum that two domains tell of one subject and that cannot be the same."""
    for one, other in combinations(first, 2):
        for subject in sorted(first[one].keys() & first[other].keys() & second[one].keys() & second[other].keys()):
            told = [(first[each][subject], second[each][subject]) for each in (one, other)]
            for name in sorted(set().union(*(sums for pair in told for sums in pair))):
                (low, high), (other_low, other_high) = (
                    (before.get(name, (0, 0))[0], after.get(name, (0, 0))[1]) for before, after in told
                )
                if low > other_high or other_low > high:
                    said = f"{_range(low, high)} by {one}, {_range(other_low, other_high)} by {other}"
                    yield f"{subject} {name}: {said}"


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"
