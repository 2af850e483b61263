"""``lastro check``: every domain reconciles its records with its streams, counters and books."""

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any

from rich.console import Console
from rich.table import Table
from typer import Argument, Exit, Option, Typer, echo

from lastro.core.plugins import plugs
from lastro.core.redis import connect
from lastro.core.settings import Settings

app = Typer(help="Does it add up? Records, streams, counters and books of every domain.")


@app.callback(invoke_without_command=True)
def check(
    domain: Annotated[str | None, Argument(help="one domain alone")] = None,
    as_json: Annotated[bool, Option("--json", help="for scripts")] = False,  # noqa: FBT002
) -> None:
    """Say which id is wrong; exit code 1 when anything is."""
    found = asyncio.run(reconcile(domain, Settings.read()))
    if as_json:
        echo(json.dumps({name: [str(finding) for finding in findings] for name, findings in found.items()}, indent=2))
    else:
        show(found)
    if any(found.values()):
        raise Exit(1)


async def reconcile(domain: str | None, settings: Settings) -> dict[str, list[Any]]:
    """What does not add up, by domain."""
    async with await connect(settings) as hub:
        return {
            name: list(await plug.load()(hub))
            for name, plug in plugs("lastro.checks").items()
            if domain in {None, name}
        }


def show(found: Mapping[str, list[Any]]) -> None:
    """A table for people."""
    table = Table("domain", "finding", title="Does it add up?")
    for name, findings in found.items():
        for finding in findings or ["adds up"]:
            table.add_row(name, str(finding))
    Console().print(table)
