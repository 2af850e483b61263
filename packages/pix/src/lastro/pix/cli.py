"""Pix from a terminal: text in, engine, text out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from typer import Argument, Typer, echo

from lastro.core.redis import connect
from lastro.core.settings import Settings

from .engine import Pix
from .model import Payment
from .settings import PixSettings

app = Typer(no_args_is_help=True, help="Brazil's instant payments.")
Answer = TypeVar("Answer")


@app.callback()
def main() -> None:
    """Brazil's instant payments."""


@app.command()
def submit(end_to_end_id: Annotated[str, Argument()], amount_cents: int) -> None:
    """Take a payment in, once."""
    payment = _run(lambda pix: pix.submit(Payment(end_to_end_id=end_to_end_id, amount_cents=amount_cents)))
    echo(f"submitted {payment.end_to_end_id}")


def _run(act: Callable[[Pix], Awaitable[Answer]]) -> Answer:
    async def connected() -> Answer:
        async with await connect(Settings.read()) as hub:
            return await act(Pix(hub, PixSettings.read()))

    return asyncio.run(connected())
