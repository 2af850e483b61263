"""``lastro up``: the engine in one process: embedded server, every installed API on one port, the workers."""

import asyncio
import gc
from collections.abc import Callable
from typing import Annotated, Any

import structlog
import uvicorn
import uvloop
from typer import Argument, Option, Typer, echo

from lastro.core.app import Server, create_app
from lastro.core.logging import configure
from lastro.core.plugins import installed, plugs
from lastro.core.redis import Hub, connect
from lastro.core.settings import Settings, refuse_unknown
from lastro.core.worker import Run, run, stop_on_signals

app = Typer(help="The engine: server, services, workers, simulators.")
log = structlog.get_logger()
STATUS_SECONDS = 5.0


@app.callback(invoke_without_command=True)
def up(
    domain: Annotated[str | None, Argument(help="one domain alone; all that are installed without it")] = None,
    simulate: Annotated[bool, Option("--simulate", help="with the outside world: real traffic by itself")] = False,  # noqa: FBT002
) -> None:
    """Run until Ctrl-C. Prints the URLs, then a status line every few seconds."""
    settings = Settings.read()
    refuse_unknown([Settings, *installed("lastro.settings").values()])
    configure(settings.log_format, settings.log_level)
    uvloop.run(_engine(domain, settings, simulate=simulate))


async def _engine(domain: str | None, settings: Settings, *, simulate: bool) -> None:
    routers = installed("lastro.routers", domain)
    works = _plugged("lastro.workers", domain) | (_plugged("lastro.simulators", domain) if simulate else {})
    async with await connect(settings) as hub:
        engine = Run(hub=hub, settings=settings)
        stop_on_signals(engine.stopping)
        web = Server(
            uvicorn.Config(
                create_app(routers, settings, hub),
                host=settings.http_host,
                port=settings.http_port,
                uds=str(settings.http_socket) if settings.http_socket else None,
                log_config=None,
                access_log=False,
                proxy_headers=False,  # nobody here asks for the client's address
            )
        )
        gc.collect()
        gc.freeze()  # what is loaded by now stays: no collection, and so no request, looks through it again
        works |= {"core.web": _serving(web), "core.status": _status, "core.links": _links(web, list(routers), hub)}
        await run(works, engine)
    echo("stopped")


def _plugged(face: Any, domain: str | None) -> dict[str, Callable[..., Any]]:
    return {name: plug.load() for name, plug in plugs(face).items() if domain is None or name.split(".")[0] == domain}


def _serving(web: Server) -> Callable[[Run], Any]:
    async def serve(engine: Run) -> None:
        serving = asyncio.create_task(web.serve())
        stopping = asyncio.create_task(engine.stopping.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        web.should_exit = True
        engine.stopping.set()
        await serving
        await stopping

    return serve


def _links(web: Server, names: list[str], hub: Hub) -> Callable[[Run], Any]:
    async def links(engine: Run) -> None:
        while not web.started and not await engine.pause(0.02):
            pass
        if web.started:
            engine.url = web.url
            echo(f"Lastro serves {', '.join(names)} on {web.url} (/docs, /readyz, /metrics) over {hub.url}")

    return links


async def _status(engine: Run) -> None:
    """A line every few seconds: what the server did since the last one."""
    before = 0
    while not await engine.pause(STATUS_SECONDS):
        told: Any = await engine.hub.read.info()
        done = int(told["total_commands_processed"])
        echo(
            f"{told['used_memory_human']} in use · {int(told['connected_clients'])} connections · "
            f"{(done - before) / STATUS_SECONDS:,.0f} commands/s"
        )
        before = done
