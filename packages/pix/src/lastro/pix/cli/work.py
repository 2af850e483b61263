"""``lastro pix work``: the workers alone, as a deployment runs them."""

import asyncio

from typer import Typer

from lastro.core.logging import configure
from lastro.core.redis import connect
from lastro.core.settings import Settings
from lastro.core.worker import Run, run, stop_on_signals
from lastro.pix.worker import bring_home, retain, settle


def add(app: Typer) -> None:
    """Put this command into a group."""
    app.command()(work)


def work() -> None:
    """Run Pix's workers until told to stop; what is in hand is finished first."""
    settings = Settings.read()
    configure(settings.log_format, settings.log_level)
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    async with await connect(settings) as hub:
        engine = Run(hub=hub, settings=settings)
        stop_on_signals(engine.stopping)
        await run({"pix.settle": settle, "pix.retain": retain, "pix.bring_home": bring_home}, engine)
