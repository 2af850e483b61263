"""The processes of an engine, and what each of them does."""

import asyncio
import fcntl
import resource
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
import uvicorn
import uvloop
from prometheus_client.multiprocess import mark_process_dead
from pydantic import SecretStr
from typer import echo

from lastro.core import local
from lastro.core.access.keyring import Keyring
from lastro.core.access.tls import renew
from lastro.core.app import Server, create_app, settle
from lastro.core.errors import Busy, LastroError, Unreachable
from lastro.core.logging import mask_url
from lastro.core.measures import Measures
from lastro.core.panels import Watch, line
from lastro.core.plugins import Face, installed, plugs
from lastro.core.redis import connect
from lastro.core.settings import Settings
from lastro.core.supervise import Part
from lastro.core.wire import Bounded
from lastro.core.worker import Run, Work, run, stop_on_signals
from lastro.core.worker.relay import relay

STATUS_SECONDS = 5.0
RESTART_SECONDS = 1.0  # of a server that did not start
BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75  # longer than a balancer keeps one: it closes first, and never sends into a closed connection
WORLD_KEY_MS = 30 * 86_400_000  # the simulators' own key: nobody lets them run for longer

log = structlog.get_logger()


class NoServerThere(Busy):
    """The server {url} does not answer: {reason}. Start it, or unset LASTRO_REDIS_URL to have an embedded one."""

    code = "lastro.no_server_there"


class PortTaken(LastroError):
    """Nothing can listen on {address}: {reason}. Stop what does, or set LASTRO_HTTP_PORT (or …_SOCKET)."""

    code = "lastro.port_taken"
    status = 503


class Embedded:
    """The embedded server of an engine: started with it, and again when it is gone."""

    def __init__(self, settings: Settings) -> None:
        self.given = settings
        self.due = 0.0
        self.server = self._start()
        self.settings = settings.model_copy(update={"redis_url": SecretStr(self.server.url)})

    def guard(self) -> None:
        """Start it again if it ended; one that does not start is tried again, and the parts go on waiting for it."""
        if time.monotonic() < self.due or self.server.alive():
            return
        log.warning("engine.server_ended", pid=self.server.pid)
        try:
            self.server = self._start()
        except LastroError as error:
            log.error("engine.server_not_started", reason=str(error))  # noqa: TRY400  # the reason is it
            self.due = time.monotonic() + RESTART_SECONDS

    def _start(self) -> local.Server:
        given = self.given
        return local.start(given.data_dir, binary=given.server, durability=given.durability)


async def reach(settings: Settings) -> None:
    """Raise NoServerThere before anything is started on a server that is not there."""
    try:
        async with await connect(settings) as hub:
            await hub.read.ping()
    except Unreachable as error:
        raise NoServerThere(
            url=mask_url(settings.redis_url.get_secret_value() if settings.redis_url else ""),
            reason=error.about["reason"],
        ) from None


async def with_key(settings: Settings) -> tuple[Settings, str]:
    """The settings with a key for this engine's simulators, and its id, where they need one and were given none."""
    if settings.api_keys != "on" or settings.api_key is not None:
        return settings, ""
    async with await connect(settings) as hub:
        scopes = tuple(f"{name}:*" for name in plugs("lastro.routers"))
        key, secret = await Keyring(hub).create("simulators", scopes, life_ms=WORLD_KEY_MS)
    return settings.model_copy(update={"api_key": SecretStr(secret)}), key.id


async def give_back(settings: Settings, key_id: str) -> None:
    """Revoke the simulators' key, if one was made; while the store is away it is left to expire."""
    if key_id:
        with suppress(LastroError):
            async with await connect(settings) as hub:
                await Keyring(hub).revoke(key_id)


@contextmanager
def listen(settings: Settings) -> Iterator[socket.socket]:
    """The socket that the web processes inherit."""
    path = settings.http_socket
    address: Any = str(path) if path else (settings.http_host, settings.http_port)
    family = socket.AF_UNIX if path else socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    with _alone(path), socket.socket(family, socket.SOCK_STREAM) as listening:
        if not path:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError as error:
            raise PortTaken(address=path or f"{address[0]}:{address[1]}", reason=error.strerror) from None
        yield listening


@contextmanager
def _alone(path: Path | None) -> Iterator[None]:
    """Nobody else serves on this socket.

    The lock is this process's and not its children's: what a killed engine left, and what still drains there, is in
    nobody's way.
    """
    if path is None:
        yield
        return
    try:
        held = path.with_name(f"{path.name}.lock").open("w")
    except OSError as error:
        raise PortTaken(address=path, reason=error.strerror) from None
    with held:
        try:
            fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PortTaken(address=path, reason="another engine serves there") from None
        path.unlink(missing_ok=True)
        yield


def parts(domain: str | None, settings: Settings, listening: socket.socket, *, simulate: bool) -> list[Part]:
    """The engine's processes. The world stops first, then the web, then who works off what came in."""
    routers = installed("lastro.routers", domain)
    workers = works("lastro.workers", domain)
    url = address(listening, settings)
    found = [
        Part(name=f"{name}.work", run=_part(_of(workers, name), settings, but=listening), stage=3)
        for name in routers
        if _of(workers, name)
    ]
    application = create_app(routers, settings)
    found += [
        Part(name=f"web.{number}", run=_part({"web": serving(application, settings, listening)}, settings), stage=2)
        for number in range(1, settings.http_processes + 1)
    ]
    if settings.relays:
        found.append(Part(name="relay", run=_part({"core.relay": relay}, settings, but=listening), stage=4))
    found.append(Part(name="status", run=_part({"status": status(settings, domain)}, settings, but=listening), stage=4))
    if simulate:
        found.append(
            Part(name="world", run=_part(works("lastro.simulators", domain), settings, url, but=listening), stage=1)
        )
    echo(f"Lastro serves {', '.join(routers)} on {url} (/, /docs, /readyz, /metrics)")
    return found


def works(face: Face, domain: str | None) -> dict[str, Work]:
    """The workers, or simulators, of one domain or of all; none is no error."""
    return {name: plug.load() for name, plug in plugs(face).items() if domain is None or name.split(".")[0] == domain}


def address(listening: socket.socket, settings: Settings) -> str:
    """Where the services are reached."""
    scheme = "https" if settings.tls_certificate else "http"
    if listening.family == socket.AF_UNIX:
        return f"unix:{listening.getsockname()}"
    host, port = listening.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def gone(part: str) -> None:
    """Take the gauges of a part that ended out of the sums."""
    mark_process_dead(part)  # type: ignore[no-untyped-call]  # the library has no types there


def serving(application: Any, settings: Settings, listening: socket.socket) -> Work:
    """Serve on an inherited socket until told to stop; requests in flight are finished."""

    async def serve(engine: Run) -> None:
        _, files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))  # a connection is one; usual are 1,024
        application.state.hub, application.state.stopping = engine.hub, engine.stopping
        config = uvicorn.Config(
            application,
            http=Bounded,
            log_config=None,
            access_log=False,
            server_header=False,  # a header costs 0.6 us of each answer, and nobody needs to know what serves
            proxy_headers=False,  # nobody here asks for the client's address
            backlog=BACKLOG,
            timeout_graceful_shutdown=max(1, round(settings.grace_seconds)),
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
        )
        config.load()
        web = Server(config)
        settle()
        task = asyncio.create_task(web.serve(sockets=[listening]))
        stopping = asyncio.create_task(engine.stopping.wait())
        renewing = None
        if config.ssl and settings.tls_certificate and settings.tls_key:
            renewing = asyncio.create_task(renew(config.ssl, settings.tls_certificate, settings.tls_key))
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        web.should_exit = True
        engine.stopping.set()
        if renewing:
            renewing.cancel()
        await task
        await stopping

    return serve


def status(settings: Settings, domain: str | None, *, quiet: bool = False) -> Work:
    """Look every few seconds at what moves, what waits, what the server carries: as metrics and, not quiet, a line."""

    async def tell(engine: Run) -> None:
        shows = {name: plug.load() for name, plug in plugs("lastro.panels").items() if domain in (None, name)}
        watch, measures = Watch(settings, shows), Measures()
        try:
            measures.take(await watch.look())
            while not await engine.pause(STATUS_SECONDS):
                look = await watch.look()
                measures.take(look)
                if not quiet:
                    echo(line(look))
        finally:
            await watch.aclose()

    return tell


async def everything(domain: str | None, settings: Settings, *, simulate: bool, only: str | None = None) -> None:
    """All parts in one process, or the web or the workers alone: for a container, whose keeper restarts it as a whole.

    Workers alone have probes and metrics, too.
    """
    settings, key_id = await with_key(settings) if simulate else (settings, "")
    async with await connect(settings) as hub:
        engine = Run(hub=hub, settings=settings)
        stop_on_signals(engine.stopping)
        routers = installed("lastro.routers", domain) if only != "work" else {}
        try:
            with listen(settings) as listening:
                engine.url = address(listening, settings)
                doing = works("lastro.workers", domain) if only != "web" else {}
                doing |= works("lastro.simulators", domain) if simulate else {}
                if settings.relays:
                    doing["core.relay"] = relay
                doing["core.status"] = status(settings, domain, quiet=True)
                doing["core.web"] = serving(create_app(routers, settings), settings, listening)
                said = f"serves {', '.join(routers)}" if routers else "works"
                echo(f"Lastro {said} on {engine.url} (/, /docs, /readyz, /metrics) over {hub.url}")
                await run(doing, engine)
        finally:
            await give_back(settings, key_id)


def _of(workers: Mapping[str, Work], domain: str) -> dict[str, Work]:
    return {name: work for name, work in workers.items() if name.split(".")[0] == domain}


def _part(
    doing: Mapping[str, Work], settings: Settings, url: str = "", *, but: socket.socket | None = None
) -> Callable[[], None]:
    """``but``: an inherited socket that it does not need, and whose port it must not keep."""

    async def work() -> None:
        stopping = asyncio.Event()
        stop_on_signals(stopping)
        async with await connect(settings) as hub:
            await run(doing, Run(hub=hub, settings=settings, stopping=stopping, url=url))

    def part() -> None:
        if but is not None:
            but.close()
        uvloop.run(work())

    return part
