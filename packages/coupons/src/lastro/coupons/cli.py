"""Coupons from a terminal: text in, engine, text out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from typer import Argument, Typer, echo

from lastro.core.redis import connect
from lastro.core.settings import Settings

from .engine import Coupons
from .settings import CouponsSettings

app = Typer(no_args_is_help=True, help="A limited number of coupons.")
Answer = TypeVar("Answer")


@app.callback()
def main() -> None:
    """A limited number of coupons."""


@app.command()
def open_event(event_id: Annotated[str, Argument()], total: int) -> None:
    """Open an event with so many coupons, once."""
    _run(lambda coupons: coupons.open_event(event_id, total))
    echo(f"open {event_id}")


@app.command()
def issue(event_id: Annotated[str, Argument()], user_id: str) -> None:
    """Give a user one coupon, once."""
    issuance = _run(lambda coupons: coupons.issue(event_id, user_id))
    echo(f"issued {issuance.seq} to {issuance.user_id}")


def _run(act: Callable[[Coupons], Awaitable[Answer]]) -> Answer:
    async def connected() -> Answer:
        async with await connect(Settings.read()) as hub:
            return await act(Coupons(hub, CouponsSettings.read()))

    return asyncio.run(connected())
