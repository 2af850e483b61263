"""``lastro demo``: the engine through a fixed amount of work, with kills on the way; then everything is added up."""

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

from typer import Exit, Option, Typer, echo

from lastro.core.plugins import installed

app = Typer(add_completion=False, help="A fixed job through all domains, with kills on the way; then it is added up.")


@app.command()
def demo(
    as_json: Annotated[bool, Option("--json", help="the result for scripts")] = False,  # noqa: FBT002
    kills: Annotated[bool, Option("--kills/--no-kills", help="kill a worker and the server on the way")] = True,  # noqa: FBT002
    port: Annotated[
        int, Option(min=0, max=65_535, help="where the engine serves, for whoever watches; 0 takes a free one")
    ] = 0,
) -> None:
    """One table: what was done, how fast, what was killed, what adds up. Exit code 0 only if everything does."""
    acts = installed("lastro.demos")
    with tempfile.TemporaryDirectory(prefix="lastro-demo-") as folder:
        os.environ["LASTRO_DATA_DIR"] = folder  # of the engine, and of the acts that look into its databases
        for act in acts.values():
            os.environ.update(act.environment())
        from .stage import perform, table

        report = asyncio.run(perform(acts, Path(folder), port=port, kills=kills, quiet=as_json))
    if as_json:
        echo(json.dumps(report.told(), indent=2))
    else:
        table(report)
    if not report.adds_up:
        raise Exit(1)
