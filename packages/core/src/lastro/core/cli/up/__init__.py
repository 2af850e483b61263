"""``lastro up``: the engine: embedded server, every installed API on one port, the workers, the outside world."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Exit, Option, Typer, echo

from lastro.core.access import refuse_exposed
from lastro.core.errors import Invalid
from lastro.core.logging import configure
from lastro.core.plugins import installed
from lastro.core.settings import Settings

app = Typer(add_completion=False, help="The engine: server, services, workers, simulators.")


@app.command()
def up(
    domain: Annotated[str | None, Argument(help="one domain alone; all that are installed without it")] = None,
    simulate: Annotated[bool, Option("--simulate", help="with the outside world: real traffic by itself")] = False,  # noqa: FBT002
    single: Annotated[bool, Option("--single", help="all of it in one process, for a container")] = False,  # noqa: FBT002
    only: Annotated[
        Literal["web", "work"] | None,
        Option(help="with --single: the services alone, or the workers alone with their probes and metrics"),
    ] = None,
) -> None:
    """Run until Ctrl-C: the URLs, a status line every few seconds, and at the end whether it adds up (exit code)."""
    settings = Settings.read()
    domains = installed("lastro.settings")
    for cls in domains.values():
        cls.read()  # a wrong value is told here, once, and not by every part that is started again
    refuse_exposed(settings, [cls for name, cls in domains.items() if domain in (None, name)])
    configure(settings.log_format, settings.log_level)
    if only and not single:
        raise Invalid(field="--only", reason="is for one process: say --single, too")
    if single:
        import uvloop

        from .parts import everything

        uvloop.run(everything(domain, settings, simulate=simulate, only=only))
        echo("stopped")
        return
    metrics = Path(tempfile.mkdtemp(prefix="lastro-metrics-"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(
        metrics
    )  # before the first metric is declared: parts are imported next
    try:
        code = _supervised(domain, settings, simulate=simulate)
    finally:
        shutil.rmtree(metrics)
    if code:
        raise Exit(code)


def _supervised(domain: str | None, settings: Settings, *, simulate: bool) -> int:
    from lastro.core.cli.check import reconcile, show
    from lastro.core.supervise import Supervisor

    from .parts import Embedded, give_back, gone, listen, parts, reach, with_key

    embedded = None if settings.redis_url else Embedded(settings)
    settings = embedded.settings if embedded else settings
    key_id = ""
    try:
        asyncio.run(reach(settings))
        if simulate:
            settings, key_id = asyncio.run(with_key(settings))
        with listen(settings) as listening:
            Supervisor(
                parts(domain, settings, listening, simulate=simulate),
                grace_seconds=settings.grace_seconds,
                guard=embedded.guard if embedded else lambda: None,
                ended=gone,
            ).run()
        found = asyncio.run(reconcile(domain, settings))
        show(found)
    finally:
        asyncio.run(give_back(settings, key_id))
        if embedded:
            embedded.server.stop()
    echo("stopped")
    return found.exit_code
