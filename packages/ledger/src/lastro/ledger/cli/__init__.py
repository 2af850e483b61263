"""Ledger from a terminal: text in, engine, text out."""

import asyncio
import json
from typing import Annotated, Literal

from typer import Argument, Exit, Option, Typer, echo

from lastro.core.errors import Invalid
from lastro.core.logging import mask_url
from lastro.ledger.settings import LedgerSettings

from . import accounts, shards, transfers
from .run import on_hub, run, run_one, show

AsJson = Annotated[bool, Option("--json", help="for scripts")]

app = Typer(add_completion=False, no_args_is_help=True, help="Double-entry accounts and transfers, exact to 128 bits.")
app.add_typer(accounts.app, name="account")
app.add_typer(transfers.app, name="transfer")
app.add_typer(shards.app, name="shards")


@app.command()
def query(
    what: Annotated[Literal["accounts", "transfers"], Argument(help="accounts or transfers")] = "transfers",
    *,
    ledger: int = 0,
    code: int = 0,
    user_data_128: int = 0,
    user_data_64: int = 0,
    user_data_32: int = 0,
    timestamp_min: int = 0,
    timestamp_max: int = 0,
    limit: int = 10,
    newest_first: Annotated[bool, Option("--newest-first")] = False,
) -> None:
    """Accounts or transfers by timestamp; 0 means any."""
    from lastro.ledger.model.records import QueryFilter

    wanted = QueryFilter(
        ledger=ledger,
        code=code,
        user_data_128=user_data_128,
        user_data_64=user_data_64,
        user_data_32=user_data_32,
        timestamp_min=timestamp_min,
        timestamp_max=timestamp_max,
        limit=limit,
        flags=int(newest_first),
    )
    if what == "accounts":
        show(run(lambda engine: engine.query_accounts(wanted)))
    else:
        show(run(lambda engine: engine.query_transfers(wanted)))


@app.command()
def tail(after: Annotated[str, Option(help='a position, "0" from the oldest kept, "$" from now on')] = "$") -> None:
    """Every change as it happens, a JSON object a line; Ctrl-C ends it."""
    from lastro.ledger.engine import Ledger
    from lastro.ledger.model.json import change_json

    async def follow(engine: Ledger) -> None:
        async for change in engine.changes(after):
            if change is not None:
                echo(json.dumps({"position": change.position, **change_json(change)}))

    try:
        run_one(follow)
    except KeyboardInterrupt:
        raise Exit from None


@app.command()
def check(as_json: AsJson = False) -> None:  # noqa: FBT002
    """Recompute everything from the transfers; names what differs, and then ends with 1."""
    from lastro.ledger.engine.shards import check_all

    from .bar import bar

    with bar("transfers replayed") as told:
        findings = on_hub(lambda hub: check_all(hub, LedgerSettings.read(), told))
    if as_json:
        echo(json.dumps(findings))
    for finding in [] if as_json else findings:
        echo(finding, err=True)
    if findings:
        raise Exit(1)
    if not as_json:
        echo("every balance, index and history is what its transfers make")


@app.command()
def unarchive() -> None:
    """Bring archived transfers back for good, and empty the archive. Stop the workers before, or they go again."""
    from lastro.ledger.engine.shards import unarchive_all

    echo(f"{on_hub(lambda hub: unarchive_all(hub, LedgerSettings.read()))} segments are back")


@app.command()
def stress(
    *,
    accounts: Annotated[int, Option(help="accounts to spread over")] = 1000,
    workers: Annotated[int, Option(help="requests in flight")] = 4,
    seconds: Annotated[float, Option(help="how long")] = 10,
    batch: Annotated[int, Option(help="events in a request; 1 pipelines single ones")] = 100,
    workload: Annotated[str, Option(help="transfer, two-phase, lookup or mixed")] = "transfer",
    hot: Annotated[int, Option(help="percent of the transfers that debit one of ten hot accounts")] = 0,
    url: Annotated[
        str | None, Option(help="any Redis-compatible server without a login; else LASTRO_REDIS_URL, or …_URL_FILE")
    ] = None,
    tigerbeetle: Annotated[str | None, Option(help="address of a TigerBeetle server: the same load there, too")] = None,
    tigerbeetle_cluster: Annotated[int, Option(help="number of its cluster")] = 0,
    as_json: AsJson = False,
) -> None:
    """Load with a check at the end: throughput, latency, server CPU per transfer, and whether it all adds up."""
    from .bar import bar
    from .rival import stress_rival
    from .stress import Plan, stress_ledger

    if url and mask_url(url) != url:
        reason = "a login on the command line is for all to read: LASTRO_REDIS_URL, or LASTRO_REDIS_URL_FILE, takes it"
        raise Invalid(field="--url", reason=reason)
    plan = Plan(accounts=accounts, workers=workers, seconds=seconds, batch=batch, workload=workload, hot_percent=hot)
    reports = {}
    with bar("seconds of load") as told:
        reports["lastro"] = run_one(lambda engine: stress_ledger(engine, plan, told), url=url)
    if tigerbeetle is not None:
        with bar("seconds of load on TigerBeetle") as told:
            reports["tigerbeetle"] = asyncio.run(stress_rival(tigerbeetle, tigerbeetle_cluster, plan, told))
    if as_json:
        echo(json.dumps({name: report.told() for name, report in reports.items()}))
    for name, report in [] if as_json else reports.items():
        for line in [f"{name}:"] * (len(reports) > 1) + report.lines():
            echo(line)
    if any(report.findings for report in reports.values()):
        raise Exit(1)
