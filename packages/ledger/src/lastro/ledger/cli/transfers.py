"""`lastro ledger transfer …`."""

from typing import Annotated

from typer import Argument, Option, Typer

from lastro.ledger.model.codes import TransferFlag
from lastro.ledger.model.ids import new_id
from lastro.ledger.model.records import Transfer

from .run import run, show, tell

app = Typer(no_args_is_help=True, help="Create, settle and read transfers.")
Id = Annotated[str, Argument(help="decimal, up to 128 bits")]
NewId = Annotated[str | None, Option("--id", help="its own id, to send it again; else a new one")]


@app.command()
def create(
    debit_account_id: Id,
    credit_account_id: Id,
    amount: Annotated[str, Argument(help="a whole number")],
    *,
    ledger: Annotated[int, Option(help="number of the currency")],
    code: Annotated[int, Option(help="number of its kind")],
    number: NewId = None,
    flags: Annotated[int, Option(help="bits, see TigerBeetle's transfer flags")] = 0,
    pending: Annotated[bool, Option("--pending", help="reserve only")] = False,
    timeout_seconds: Annotated[int, Option(help="a pending one expires by itself after so long; 0 never")] = 0,
) -> None:
    """Move money from one account to another, once."""
    transfer = Transfer(
        id=_id(number),
        debit_account_id=int(debit_account_id),
        credit_account_id=int(credit_account_id),
        amount=int(amount),
        ledger=ledger,
        code=code,
        timeout=timeout_seconds,
        flags=flags | (TransferFlag.PENDING if pending else 0),
    )
    tell(run(lambda engine: engine.create_transfer(transfer)))


@app.command()
def post(
    pending_id: Id, *, amount: Annotated[str | None, Option(help="else all of it")] = None, number: NewId = None
) -> None:
    """Post a pending transfer."""
    wanted = None if amount is None else int(amount)
    tell(run(lambda engine: engine.create_transfer(engine.posting(int(pending_id), _id(number), wanted))))


@app.command()
def void(pending_id: Id, *, number: NewId = None) -> None:
    """Void a pending transfer."""
    tell(run(lambda engine: engine.create_transfer(engine.voiding(int(pending_id), _id(number)))))


@app.command("show")
def show_transfer(transfer_id: Id) -> None:
    """One transfer."""
    show([run(lambda engine: engine.transfer(int(transfer_id)))])


def _id(number: str | None) -> int:
    return new_id() if number is None else int(number)
