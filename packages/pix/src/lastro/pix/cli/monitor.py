"""``lastro pix monitor``: the engine at a glance, on a terminal; ``--json`` for scripts."""

import asyncio
import dataclasses
import os
from typing import Annotated, Any

from typer import Exit, Option, Typer, echo

from lastro.core.errors import Busy
from lastro.core.money import brl
from lastro.core.redis import connect
from lastro.core.settings import Settings
from lastro.pix.engine.figures import Figures, figures, quantile
from lastro.pix.engine.pix import Pix
from lastro.pix.settings import PixSettings

from .act import show


def add(app: Typer) -> None:
    """Put this command into a group."""
    app.command()(monitor)


def monitor(
    once: Annotated[bool, Option("--once", help="one look, then end; exit code 75 when the server is away")] = False,  # noqa: FBT002
    as_json: Annotated[bool, Option("--json", help="one look, for scripts")] = False,  # noqa: FBT002
) -> None:
    """Streams, workers, totals, rate, latency against the SPI's limits, refusals, one payment's timeline."""
    if once or as_json:
        asyncio.run(_once(as_json=as_json))
        return
    from .screen import Monitor

    Monitor(Settings.read(), PixSettings.read()).run()


async def _once(*, as_json: bool) -> None:
    try:
        async with await connect(Settings.read()) as hub:
            found = await figures(Pix.of(hub, PixSettings.read()))
    except Busy as busy:
        if as_json:
            show({"up": False, "reason": str(busy)})
        else:
            echo(f"Redis is down: {busy}")
        raise Exit(os.EX_TEMPFAIL) from None
    if as_json:
        show({"up": True, **_told(found)})
        return
    echo(f"{found.count} settled, {brl(found.cents)}, {found.dead} dead letters, {found.server}")
    for stream in found.streams:
        echo(f"  {stream.name}: {stream.length} waiting, {stream.pending} in hand, {len(stream.consumers)} workers")
    p50, p99 = quantile(found.latency, 0.5), quantile(found.latency, 0.99)
    echo(f"  settled after p50 {p50} ms, p99 {p99} ms")


def _told(found: Figures) -> dict[str, Any]:
    told = dataclasses.asdict(found)
    latency, answering = found.latency, found.answering
    told["latency_ms"] = {"p50": quantile(latency, 0.5), "p99": quantile(latency, 0.99)}
    told["answering_ms"] = {"p50": quantile(answering, 0.5), "p95": quantile(answering, 0.95)}
    return told
