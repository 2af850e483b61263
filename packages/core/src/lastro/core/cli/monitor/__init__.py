"""``lastro monitor``: every domain on one screen; ``--json`` for scripts."""

import asyncio
import json
import os
from typing import Annotated

from typer import Exit, Option, Typer, echo

from lastro.core.panels import Look, Watch, line
from lastro.core.plugins import installed
from lastro.core.settings import Settings

app = Typer(add_completion=False, help="Every domain on one screen, live.")


@app.command()
def monitor(
    once: Annotated[bool, Option("--once", help="one look, then end; exit code 75 when the server is away")] = False,  # noqa: FBT002
    as_json: Annotated[bool, Option("--json", help="one look, for scripts")] = False,  # noqa: FBT002
) -> None:
    """Rates, latency, backlog, dead letters, the server; a page per domain. It only looks."""
    settings = Settings.read()
    if not (once or as_json):
        from .screen import Monitor

        Monitor(settings).run()
        return
    look = asyncio.run(_once(settings))
    echo(json.dumps(look.told(), indent=2) if as_json else line(look))
    if look.store is None:
        raise Exit(os.EX_TEMPFAIL)


async def _once(settings: Settings) -> Look:
    watch = Watch(settings, installed("lastro.panels"))
    try:
        return await watch.look()
    finally:
        await watch.aclose()
