"""Payments from a terminal: text in, engine, text out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar
from uuid import UUID

from typer import Argument, Typer, echo

from lastro.core.redis import connect
from lastro.core.settings import Settings

from .engine import Payments
from .model import Payment
from .settings import PaymentsSettings

app = Typer(no_args_is_help=True, help="Payments through two processors.")
Answer = TypeVar("Answer")


@app.callback()
def main() -> None:
    """Payments through two processors."""


@app.command()
def accept(correlation_id: Annotated[UUID, Argument()], amount_cents: int) -> None:
    """Accept a payment, once."""
    payment = _run(lambda engine: engine.accept(Payment(correlation_id=correlation_id, amount_cents=amount_cents)))
    echo(f"accepted {payment.correlation_id}")


def _run(act: Callable[[Payments], Awaitable[Answer]]) -> Answer:
    async def connected() -> Answer:
        async with await connect(Settings.read()) as hub:
            return await act(Payments(hub, PaymentsSettings.read()))

    return asyncio.run(connected())
