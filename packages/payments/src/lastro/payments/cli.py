"""Payments from a terminal: text in, engine, text out."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import uvicorn
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from typer import Argument, Exit, Option, Typer, confirm, echo

from lastro.core.access.client import own_key
from lastro.core.acts import free_ports
from lastro.core.clock import iso, parse_iso
from lastro.core.errors import Invalid
from lastro.core.money import brl, cents
from lastro.core.redis import connect
from lastro.core.settings import Settings

from .engine import PAGE_MAX, Payments, letters
from .engine.republish import republish as append_anew
from .errors import NotDead
from .model import PROCESSORS, Health, Payment, Processor
from .settings import PaymentsSettings

if TYPE_CHECKING:  # what plays the load is imported when it is played
    from .simulator.rinha import Play, Result

app = Typer(add_completion=False, no_args_is_help=True, help="Payments through two processors.")
Answer = TypeVar("Answer")
AsJson = Annotated[bool, Option("--json", help="for scripts")]


dead = Typer(no_args_is_help=True, help="What a processor refused for what it is: list, show, replay, discard.")
app.add_typer(dead, name="dead")
Id = Annotated[UUID, Argument(help="of the payment")]
Ids = Annotated[str, Argument(help="of the payment, or all")]


@app.callback()
def main() -> None:
    """Payments through two processors."""


@app.command()
def accept(
    correlation_id: Annotated[UUID, Argument()],
    amount: Annotated[str, Argument(help="like 19.90")],
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Accept a payment, once."""
    new = _run(lambda payments: payments.accept(str(correlation_id), cents(amount)))
    echo(json.dumps({"new": new}) if as_json else "accepted" if new else "accepted before")


@app.command()
def show(correlation_id: Annotated[UUID, Argument()], as_json: AsJson = False) -> None:  # noqa: FBT002
    """Show one payment: its state, its processor, its attempts."""
    payment = _run(lambda payments: payments.payment(str(correlation_id)))
    echo(json.dumps(asdict(payment)) if as_json else _line(payment))


@app.command()
def summary(
    since: Annotated[str | None, Option("--from", help="ISO 8601, included")] = None,
    until: Annotated[str | None, Option("--to", help="ISO 8601, included")] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Show what each processor charged."""
    from_ms = None if since is None else parse_iso(since, field="--from", up=True)
    to_ms = None if until is None else parse_iso(until, field="--to")
    totals = _run(lambda payments: payments.summary(from_ms, to_ms))
    if as_json:
        echo(json.dumps({name: asdict(totals[name]) for name in PROCESSORS}))
        return
    table = Table("processor", "payments", "amount", title="Charged")
    for name in PROCESSORS:
        table.add_row(name, f"{totals[name].requests:,}", brl(totals[name].amount_cents))
    Console().print(table)


@app.command()
def health(as_json: AsJson = False) -> None:  # noqa: FBT002
    """Show what the processors last said of themselves, and how much waits."""

    async def look(payments: Payments) -> tuple[dict[Processor, Health], int, int]:
        return await payments.health(), await payments.waiting(), await payments.flying()

    told, waiting, flying = _run(look)
    if as_json:
        processors = {name: asdict(told[name]) for name in PROCESSORS}
        echo(json.dumps({"processors": processors, "waiting": waiting, "in_flight": flying}))
        return
    for name in PROCESSORS:
        echo(f"{name:9} {'failing' if told[name].failing else 'well':8} {told[name].delay_ms:,} ms")
    echo(f"{waiting:,} waiting, {flying:,} in flight")


@app.command()
def pending(as_json: AsJson = False) -> None:  # noqa: FBT002
    """List the oldest payments that wait, and those in flight."""
    _list(_run(lambda payments: payments.pending()), as_json=as_json)


@dead.command("list")
def list_letters(
    after: Annotated[UUID | None, Option(help="the last id of the page before")] = None,
    count: Annotated[int, Option(min=1, max=PAGE_MAX)] = 50,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Dead payments, oldest first, each with its reason."""
    _list(_run(lambda payments: letters.letters(payments, after=str(after or ""), count=count)), as_json=as_json)


@dead.command("show")
def show_letter(correlation_id: Id) -> None:
    """One dead payment, with its reason."""
    echo(json.dumps(asdict(_run(lambda payments: letters.letter(payments, str(correlation_id)))), indent=2))


@dead.command()
def replay(correlation_id: Ids) -> None:
    """Queue dead payments again."""
    echo(f"{_run(lambda payments: _each(payments, correlation_id, letters.replay))} replayed")


@dead.command()
def discard(correlation_id: Ids) -> None:
    """Let go of dead payments: they are listed no more, and their ids stay taken."""
    echo(f"{_run(lambda payments: _each(payments, correlation_id, letters.discard))} discarded")


async def _each(payments: Payments, which: str, settle: Callable[[Payments, str], Awaitable[None]]) -> int:
    """How many. Of all of them those that are there now: what dies meanwhile is not of this call."""
    if which != "all":
        await settle(payments, which.lower())
        return 1
    left, done = await letters.count(payments), 0
    while left > 0 and (page := await letters.letters(payments, count=min(left, PAGE_MAX))):
        left -= len(page)
        for payment in page:
            with suppress(NotDead):  # somebody else was faster
                await settle(payments, payment.correlation_id)
                done += 1
    return done


@app.command()
def republish(
    since: Annotated[str, Option("--from", help="ISO 8601, included")],
    until: Annotated[str, Option("--to", help="ISO 8601, included")],
) -> None:
    """Append what is in the books to the stream of final payments anew: for a follower that came late."""
    from_ms, to_ms = parse_iso(since, field="--from", up=True), parse_iso(until, field="--to")
    echo(f"{_run(lambda payments: append_anew(payments, from_ms, to_ms))} appended")


@app.command()
def purge(yes: Annotated[bool, Option("--yes", help="do not ask")] = False) -> None:  # noqa: FBT002
    """Forget every payment, known ids included: a repeated one is charged again."""
    if not yes:
        confirm("Forget every payment, and every id?", abort=True)
    _run(lambda payments: payments.purge())
    echo("purged")


@app.command()
def processor(
    port: Annotated[int, Option(min=0, max=65_535, help="0 takes a free one")] = 8001,
    fee: Annotated[float, Option(help="share it keeps", min=0, max=1)] = 0.05,
) -> None:
    """Play a payment processor: the stand-in of the challenge's two, with its admin endpoints."""
    from .simulator import Book, processor_app
    from .simulator.world import listen

    # uvicorn's own 5 s would end connections at the very moment that a stage of the load begins
    config = uvicorn.Config(processor_app(Book(fee=Decimal(str(fee)))), access_log=False, timeout_keep_alive=75)
    with listen(f"http://127.0.0.1:{port}") as at:
        echo("a processor on http://{}:{}".format(*at.getsockname()))
        uvicorn.Server(config).run([at])


@app.command()
def rinha(
    profile: Annotated[str, Option(help="preview (60 s) or final (300 s)")] = "preview",
    url: Annotated[str, Option(help="the running service; asked with LASTRO_API_KEY")] = "http://127.0.0.1:9999",
    scale: Annotated[float, Option(min=0.001, help="share of the official number of users")] = 1.0,
    speed: Annotated[float, Option(min=0.1, help="how much faster the stages pass")] = 1.0,
    generator: Annotated[
        str | None, Option("--with", help="k6 or built-in; by itself k6 where it is installed")
    ] = None,
    runs: Annotated[int, Option(min=1, help="one after another; the first that is not clean is the last")] = 1,
    behind: Annotated[
        Path | None,
        Option(
            exists=True,
            dir_okay=False,
            help="start what is played against, instead of --url: HAProxy with this configuration "
            "(ops/haproxy/payments.cfg), two processes, a store that writes always, both processors",
        ),
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Play the official load against a running system, audit it against the processors, print the score."""
    from .simulator.rinha import SCRIPTS, Play

    if profile not in SCRIPTS:
        raise Invalid(field="--profile", reason="preview or final")
    if url.startswith("https:"):
        raise Invalid(field="--url", reason="the load speaks plain HTTP: name what listens behind TLS")
    program = _k6(generator)
    key = own_key(Settings.read())
    with _system(url, behind) as (edge, processors):
        for run in range(1, runs + 1):
            result = _played(Play(profile, edge, processors, scale=scale, speed=speed, key=key, program=program))
            rows = {"with": "built-in" if program is None else "k6", **_rows(result)}
            if scale == speed == 1:
                rows["of the best routing"] = f"{result.share:.2%}"
            if as_json:
                echo(json.dumps(rows))
            else:
                table = Table("", profile, title=f"Rinha de Backend 2025, run {run} of {runs}")
                for name, value in rows.items():
                    table.add_row(name, str(value))
                Console().print(table)
            if not result.clean:
                raise Exit(1)


def _played(play: "Play") -> "Result":
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("playing", total=1.0)
        return asyncio.run(play.run(lambda share: bar.update(task, completed=share)))


@contextmanager
def _system(url: str, config: Path | None) -> Iterator[tuple[str, tuple[str, str]]]:
    """What is played against, and its two processors: what runs, or with a configuration of HAProxy one of its own."""
    from .simulator.stack import Stack, deployed, haproxy

    if config is None:
        settings = PaymentsSettings.read()
        yield url, (settings.processor_default_url, settings.processor_fallback_url)
        return
    if haproxy() is None:
        raise Invalid(field="--behind", reason="HAProxy is not installed")
    edge, default, fallback = free_ports(3)
    with (
        TemporaryDirectory(prefix="lastro-") as folder,
        deployed(Stack(Path(folder), config.resolve(), (edge, default, fallback))) as stack,
    ):
        yield stack.url, stack.processors


def _rows(result: "Result") -> dict[str, object]:
    return {
        "accepted": result.accepted,
        "failed": result.failed,
        "default / fallback": f"{result.processed['default']} / {result.processed['fallback']}",
        "lag": result.lag,
        "doubled": result.doubled,
        "inconsistent": f"{result.inconsistent} in {result.checks} checks",
        "differing": result.differing,
        "p50 / p99 ms": f"{result.p50_ms} / {result.p99_ms}",
        "liquid": str(round(result.liquid, 2)),
        "score": str(round(result.score, 2)),
    }


def _k6(generator: str | None) -> str | None:
    """Where the k6 is that plays; nowhere when the load is our own."""
    from .simulator import k6

    if generator not in ("k6", "built-in", None):
        raise Invalid(field="--with", reason="k6 or built-in")
    program = None if generator == "built-in" else k6.binary()
    if generator == "k6" and program is None:
        raise Invalid(field="--with", reason="there is no k6 beside the interpreter or in the PATH")
    return program


def _list(payments: list[Payment], *, as_json: bool) -> None:
    if as_json:
        echo(json.dumps([asdict(payment) for payment in payments]))
        return
    for payment in payments:
        echo(_line(payment) + (f"  {payment.reason}" if payment.reason else ""))


def _line(payment: Payment) -> str:
    at = iso(payment.requested_at_ms) if payment.requested_at_ms else "-"
    amount = brl(payment.amount_cents)
    tries = f"{payment.attempts} tries"
    return f"{payment.correlation_id}  {amount:>16}  {payment.state:9}  {payment.processor or '-':8}  {at}  {tries}"


def _run(act: Callable[[Payments], Awaitable[Answer]]) -> Answer:
    async def connected() -> Answer:
        async with await connect(Settings.read()) as hub:
            return await act(Payments(hub, PaymentsSettings.read()))

    return asyncio.run(connected())
