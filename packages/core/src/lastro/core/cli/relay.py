"""``lastro relay``: pass logs on to brokers, in a process of its own."""

import asyncio

from typer import Typer

from lastro.core.errors import Misconfigured
from lastro.core.logging import configure
from lastro.core.redis import connect
from lastro.core.settings import Settings

app = Typer(add_completion=False, help="Pass logs on to Kafka or SQS.")


@app.command()
def relay() -> None:
    """Pass on what LASTRO_RELAYS says, until Ctrl-C; as many processes as you like, one of them leads."""
    settings = Settings.read()
    configure(settings.log_format, settings.log_level)
    if not settings.relays:
        raise Misconfigured(setting="LASTRO_RELAYS", reason="it names no stream to pass on")
    asyncio.run(_relay(settings))


async def _relay(settings: Settings) -> None:
    from lastro.core.worker import Run, run, stop_on_signals
    from lastro.core.worker.relay import relay as passing_on

    async with await connect(settings) as hub:
        engine = Run(hub=hub, settings=settings)
        stop_on_signals(engine.stopping)
        await run({"core.relay": passing_on}, engine)
