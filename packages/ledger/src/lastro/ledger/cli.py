"""Ledger from a terminal: text in, engine, text out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from typer import Argument, Typer, echo

from lastro.core.redis import connect
from lastro.core.settings import Settings

from .engine import Ledger
from .model import Account
from .settings import LedgerSettings

app = Typer(no_args_is_help=True, help="Accounts and transfers.")
Answer = TypeVar("Answer")


@app.callback()
def main() -> None:
    """Accounts and transfers."""


@app.command()
def create_account(id: Annotated[int, Argument()], ledger: int, code: int) -> None:  # noqa: A002  # the field's name
    """Create an account, once."""
    account = _run(lambda engine: engine.create_account(Account(id=id, ledger=ledger, code=code)))
    echo(f"created {account.id}")


def _run(act: Callable[[Ledger], Awaitable[Answer]]) -> Answer:
    async def connected() -> Answer:
        async with await connect(Settings.read()) as hub:
            return await act(Ledger(hub, LedgerSettings.read()))

    return asyncio.run(connected())
