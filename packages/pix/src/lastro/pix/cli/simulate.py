"""The outside world from a terminal: traffic, the original simulators, the capacity test."""

import asyncio
import random
from typing import Annotated

from typer import Exit, Option, Typer, echo

from lastro.core.money import brl, cents
from lastro.pix.engine.pix import Pix
from lastro.pix.simulator import original
from lastro.pix.simulator.homologate import Verdict
from lastro.pix.simulator.homologate import homologate as run_homologation
from lastro.pix.simulator.world import Manners, World, banks, percentile

from .act import act

END_SECONDS = 60.0


def add(app: Typer) -> None:
    """Put these commands into a group."""
    group = Typer(no_args_is_help=True, help="Traffic: virtual participants, and the original system's simulators.")
    group.command()(world)
    group.command()(one)
    group.command()(many)
    app.add_typer(group, name="simulate")
    app.command()(homologate)


def world(
    count: Annotated[int, Option(min=1, help="payments")] = 1_000,
    rate: Annotated[float, Option(min=0, help="payments a second; 0 is as fast as possible")] = 67,
    participants: Annotated[int, Option(min=2, max=999)] = 10,
    refuse: Annotated[float, Option(min=0, max=1, help="share refused by receivers (AC03)")] = 0.02,
    silent: Annotated[float, Option(min=0, max=1, help="share never answered (AB03)")] = 0.0,
    repeat: Annotated[float, Option(min=0, max=1, help="share sent twice")] = 0.0,
    crash_every: Annotated[float, Option(min=0, help="seconds between receivers' crashes; 0 is never")] = 0.0,
) -> None:
    """Virtual participants pay each other, and answer; prints what their customers saw."""
    manners = Manners(rejects={"AC03": refuse}, silence=silent, duplicates=repeat, crash_every_s=crash_every)

    async def go(pix: Pix) -> World:
        made = World(pix, banks(participants), manners)
        await made.open()
        receiving = asyncio.create_task(made.receive())
        await made.pay(count, rate)
        await made.heard_of_all(END_SECONDS)
        made.stopping.set()
        await receiving
        return made

    seen = act(go).seen
    echo(f"{seen.sent} sent, {seen.repeated} of them twice")
    for outcome, times in seen.outcomes.most_common():
        echo(f"  {outcome}  {times}")
    echo(f"  not heard of  {seen.sent - seen.outcomes.total()}")
    echo(f"payer heard after p50 {percentile(seen.latency_s, 0.5):.3f} s, p99 {percentile(seen.latency_s, 0.99):.3f} s")


def one(amount: Annotated[str, Option(help="like 10.00; by chance without it")] = "") -> None:
    """The original single backend: one payment as BACKEND_ID, then its confirmation."""
    size = cents(amount) if amount else random.randint(100, 100_000)
    told = act(lambda pix: original.send_one(pix, original.backend(pix), size))
    echo(" ".join(f"{name}={value}" for name, value in told.items()))


def many() -> None:
    """The original bulk backend: NUM_REQUESTS payments, BATCH_SIZE in one write, NUM_THREADS at work."""

    async def send(pix: Pix) -> original.Injected:
        return await (original.push_many(pix) if pix.settings.mode == "list" else original.send_many(pix))

    done = act(send)
    echo(f"{done.payments} payments, {brl(done.cents)}, in {done.seconds:.2f} s: {done.payments / done.seconds:,.0f}/s")


def homologate(
    tier: Annotated[str, Option(help="small, medium or large: 10, 20 or 40 thousand payments in 10 minutes")] = "small",
    speed: Annotated[float, Option(min=0.1, help="10 sends the same payments in one minute")] = 1.0,
) -> None:
    """The published capacity test of a direct participant, both roles; exits 1 when a limit is missed.

    The engine's workers must be running: lastro up pix.
    """
    verdict: Verdict = act(lambda pix: run_homologation(pix, tier, speed))
    for limit in verdict.limits:
        echo(f"{'pass' if limit.passed else 'FAIL'}  {limit.name:<42} {limit.measured:.4g} (limit {limit.limit:g})")
    result = "PASS" if verdict.passed else "FAIL"
    echo(f"{result}: {verdict.settled} of {verdict.payments} settled in {verdict.seconds:.1f} s")
    if not verdict.passed:
        raise Exit(1)
