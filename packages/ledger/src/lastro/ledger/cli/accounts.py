"""`lastro ledger account …`."""

from typing import Annotated

from typer import Argument, Option, Typer

from lastro.ledger.model.codes import AccountFilterFlag
from lastro.ledger.model.records import Account, AccountFilter

from .run import number, run, show, tell

app = Typer(no_args_is_help=True, help="Create and read accounts.")
Id = Annotated[str, Argument(help="decimal, up to 128 bits, or a name: pix:99990001")]


@app.command()
def create(
    account_id: Id,
    *,
    ledger: Annotated[int, Option(help="number of its currency")],
    code: Annotated[int, Option(help="number of its kind")],
    flags: Annotated[int, Option(help="bits, see TigerBeetle's account flags")] = 0,
) -> None:
    """Create an account, once."""
    account = Account(id=number("account_id", account_id), ledger=ledger, code=code, flags=flags)
    tell(run(lambda engine: engine.create_accounts([account]), decide=True)[0])


@app.command("show")
def show_account(account_id: Id) -> None:
    """One account with its balances."""
    show([run(lambda engine: engine.account(number("account_id", account_id)))])


@app.command()
def transfers(
    account_id: Id, *, limit: int = 10, newest_first: Annotated[bool, Option("--newest-first")] = False
) -> None:
    """An account's transfers by timestamp."""
    wanted = _filter(account_id, limit, newest_first=newest_first)
    show(run(lambda engine: engine.get_account_transfers(wanted)))


@app.command()
def balances(
    account_id: Id, *, limit: int = 10, newest_first: Annotated[bool, Option("--newest-first")] = False
) -> None:
    """Its balances right after each transfer, if it keeps history (flag 8)."""
    wanted = _filter(account_id, limit, newest_first=newest_first)
    show(run(lambda engine: engine.get_account_balances(wanted)))


def _filter(account_id: str, limit: int, *, newest_first: bool) -> AccountFilter:
    sides = AccountFilterFlag.DEBITS | AccountFilterFlag.CREDITS
    flags = sides | (AccountFilterFlag.REVERSED if newest_first else 0)
    return AccountFilter(account_id=number("account_id", account_id), limit=limit, flags=int(flags))
