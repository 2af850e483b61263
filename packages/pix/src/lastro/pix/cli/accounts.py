"""Participants: fund, suspend, accounts, statement."""

from typing import Annotated
from uuid import uuid4

from typer import Argument, Option, Typer, echo

from lastro.core.clock import iso
from lastro.core.money import brl, cents
from lastro.pix.engine import accounts, statements
from lastro.pix.engine.accounts import Account
from lastro.pix.engine.pix import Pix

from .act import act, show


def add(app: Typer) -> None:
    """Put these commands into a group."""
    for command in (fund, suspend, resume, statement):
        app.command()(command)
    app.command("accounts")(list_accounts)


def fund(
    ispb: Annotated[str, Argument(help="of the participant; a new one begins here")],
    amount: Annotated[str, Argument(help="like 1000.00")],
    out: Annotated[bool, Option("--out", help="take it out instead")] = False,  # noqa: FBT002
    act_id: Annotated[str, Option("--id", help="of an act to repeat; a new one without it")] = "",
) -> None:
    """Put money into a participant's Conta PI, or take it out."""
    size = -cents(amount) if out else cents(amount)
    name = act_id or uuid4().hex
    echo(_line(act(lambda pix: accounts.fund(pix, ispb, size, name))))


def suspend(ispb: str) -> None:
    """Let a participant neither pay nor receive (DS27)."""
    echo(_line(act(lambda pix: accounts.suspend(pix, ispb, active=False))))


def resume(ispb: str) -> None:
    """Let a suspended participant pay and receive again."""
    echo(_line(act(lambda pix: accounts.suspend(pix, ispb, active=True))))


def list_accounts(
    as_json: Annotated[bool, Option("--json", help="for scripts")] = False,  # noqa: FBT002
) -> None:
    """Every participant's Conta PI."""
    found = act(accounts.accounts)
    if as_json:
        show(found)
        return
    for account in found:
        echo(_line(account))


def statement(
    ispb: str,
    count: Annotated[int, Option(min=1, max=statements.COUNT_MAX, help="entries, the newest last")] = 20,
    as_json: Annotated[bool, Option("--json", help="for scripts")] = False,  # noqa: FBT002
) -> None:
    """A participant's balance and its latest movements."""

    async def look(pix: Pix) -> tuple[Account, list[statements.Movement]]:
        return await accounts.account(pix, ispb), await statements.movements(pix, ispb, count=count)

    account, moved = act(look)
    if as_json:
        show({"account": account, "movements": moved})
        return
    for movement in moved:
        echo(f"{iso(movement.at_ms)}  {movement.id}  {brl(movement.cents):>20}  {movement.what}")
    echo(_line(account))


def _line(account: Account) -> str:
    state = "" if account.active else "  suspended"
    return f"{account.ispb}  free {brl(account.free_cents)}  held {brl(account.held_cents)}{state}"
