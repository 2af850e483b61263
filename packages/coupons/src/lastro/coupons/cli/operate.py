"""For operators: the workers alone, tables, reconciliation, recovery, the rush."""

import asyncio
from typing import Annotated, Literal

import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from typer import Argument, Exit, Option, Typer, echo

from lastro.core.database import Database, migrate
from lastro.core.errors import Busy, Invalid
from lastro.core.logging import configure
from lastro.core.redis import connect
from lastro.core.settings import Settings
from lastro.core.worker import Run, run, stop_on_signals
from lastro.coupons.engine import Coupons
from lastro.coupons.engine import reconcile as reconciling
from lastro.coupons.engine.database import TABLES
from lastro.coupons.engine.recover import rebuild, recover
from lastro.coupons.settings import CouponsSettings

from .act import AsJson, EventId, act, line, show

CONNECT_SECONDS = 0.5  # between tries to reach the store

app = Typer()


@app.command()
def work() -> None:
    """Run the workers alone: write what is issued, close, expire."""
    settings = Settings.read()
    configure(settings.log_format, settings.log_level)
    uvloop.run(_work(settings))


@app.command("migrate")
def migrate_tables(
    version: Annotated[str, Argument(help="head, base, or a version")] = "head",
    down: Annotated[bool, Option("--down", help="what newer versions made is dropped")] = False,  # noqa: FBT002
) -> None:
    """Bring the tables of the database to a version."""
    settings = CouponsSettings.read()
    database = Database(settings.database, settings.database_timeout_seconds)
    at = (migrate.downgrade if down else migrate.upgrade)(database, TABLES, version)
    asyncio.run(database.aclose())
    echo(f"{database.dialect} is at {at}")


@app.command()
def reconcile(
    event_id: Annotated[str | None, Argument(help="one event alone")] = None,
    apply: Annotated[bool, Option("--apply", help="repair; without it nothing is changed")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Compare Redis and the database, both ways. Exit code 1 when something is found and not repaired."""

    async def every(coupons: Coupons) -> list[reconciling.Report]:
        ids = await coupons.live() if event_id is None else [event_id]
        return [await reconciling.reconcile(coupons, one, apply=apply) for one in ids]

    reports = act(every)
    if as_json:
        show({one.event_id: _told(one) for one in reports})
    else:
        for one in reports:
            for finding in one.findings:
                echo(f"{one.event_id}  {finding}")
            echo(f"{one.event_id}  {len(one.findings)} findings, {one.actions} actions, {len(one.left)} left")
            if one.applied:
                for finding in one.left:
                    echo(f"{one.event_id}  left  {finding}")
    if any(one.left for one in reports):
        raise Exit(1)


def _told(report: reconciling.Report) -> dict[str, object]:
    findings, left = list(map(str, report.findings)), list(map(str, report.left))
    return {"findings": findings, "actions": report.actions, "left": left}


@app.command("recover")
def recover_event(event_id: EventId) -> None:
    """After a failover or a loss: Redis learns every winner that the database knows, in a new epoch."""
    echo(line(act(lambda coupons: recover(coupons, event_id))))


@app.command("rebuild")
def rebuild_database(event_id: EventId) -> None:
    """Write into the database what the event's stream and winners tell."""
    echo(f"{act(lambda coupons: rebuild(coupons, event_id))} rows written")


async def _work(settings: Settings) -> None:
    from lastro.coupons.worker import charge, keep, persist, relay

    while True:
        try:
            hub = await connect(settings)
            break
        except Busy:  # it starts beside its store, and may be first
            await asyncio.sleep(CONNECT_SECONDS)
    async with hub:
        engine = Run(hub=hub, settings=settings)
        stop_on_signals(engine.stopping)
        works = {
            "coupons.persist": persist,
            "coupons.keep": keep,
            "coupons.charge": charge,
            "coupons.relay": relay,
        }
        await run(works, engine)


@app.command()
def rush(
    clients: Annotated[int, Option(min=1, help="attempts")] = 100_000,
    coupons: Annotated[int, Option(min=0, help="coupons")] = 1_000,
    users: Annotated[int | None, Option(min=1, help="distinct users; fewer than clients come again")] = None,
    rate: Annotated[float, Option(min=0, help="open loop: attempts a second; 0 is closed loop")] = 0.0,
    connections: Annotated[int, Option(min=1, help="at once")] = 64,
    processes: Annotated[int, Option(min=1, help="of the crowd")] = 1,
    apis: Annotated[int, Option(min=1, help="API processes of the deployment it starts")] = 1,
    durability: Annotated[Literal["memory", "fsync", "replica"], Option(help="what a 201 waits for")] = "fsync",
    url: Annotated[
        list[str] | None, Option(help="a running service, instead of starting one; asked with LASTRO_API_KEY")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Let a crowd come: a load test with a check of every rule. Exit code 1 when one did not hold."""
    from lastro.coupons.simulator.rush.play import Scene, play

    if any(one.startswith("https:") for one in url or ()):
        raise Invalid(field="--url", reason="the crowd speaks plain HTTP: name what listens behind TLS")
    scene = Scene(
        clients=clients,
        coupons=coupons,
        users=users or clients,
        per_second=rate,
        connections=connections,
        processes=processes,
        apis=apis,
        durability=durability,
        urls=tuple(url or ()),
    )
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("attempts", total=clients)
        rows, broken = play(scene, lambda done: bar.update(task, completed=done))
    if as_json:
        show(rows | {"broken": broken})
    else:
        table = Table("", "rush", title=f"{clients:,} attempts at {coupons:,} coupons")
        for name, value in rows.items():
            table.add_row(name, str(value))
        table.add_row("rules broken", "\n".join(broken) or "none")
        Console().print(table)
    if broken:
        raise Exit(1)
