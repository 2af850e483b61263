"""`lastro ledger transfer …`."""

from typing import Annotated

from typer import Argument, Option, Typer

from lastro.ledger.model.codes import TransferFlag
from lastro.ledger.model.ids import new_id
from lastro.ledger.model.json import whole
from lastro.ledger.model.records import Transfer

from .run import number, run, run_one, show, tell

app = Typer(no_args_is_help=True, help="Create, settle and read transfers.")
Id = Annotated[str, Argument(help="decimal, up to 128 bits, or a name: pix:held:E…")]
NewId = Annotated[str | None, Option("--id", help="its own id, to send it again; else a new one")]


@app.command()
def create(
    debit_account_id: Id,
    credit_account_id: Id,
    amount: Annotated[str, Argument(help="a whole number")],
    *,
    ledger: Annotated[int, Option(help="number of the currency")],
    code: Annotated[int, Option(help="number of its kind")],
    own_id: NewId = None,
    flags: Annotated[int, Option(help="bits, see TigerBeetle's transfer flags")] = 0,
    pending: Annotated[bool, Option("--pending", help="reserve only")] = False,
    timeout_seconds: Annotated[int, Option(help="a pending one expires by itself after so long; 0 never")] = 0,
) -> None:
    """Move money from one account to another, once."""
    transfer = Transfer(
        id=_id(own_id),
        debit_account_id=number("debit_account_id", debit_account_id),
        credit_account_id=number("credit_account_id", credit_account_id),
        amount=whole("amount", amount),
        ledger=ledger,
        code=code,
        timeout=timeout_seconds,
        flags=flags | (TransferFlag.PENDING if pending else 0),
    )
    tell(run(lambda engine: engine.create_transfer(transfer), decide=True))


@app.command()
def post(
    pending_id: Id, *, amount: Annotated[str | None, Option(help="else all of it")] = None, own_id: NewId = None
) -> None:
    """Post a pending transfer."""
    wanted = None if amount is None else whole("amount", amount)
    tell(
        run_one(
            lambda engine: engine.create_transfer(engine.posting(number("pending_id", pending_id), _id(own_id), wanted))
        )
    )


@app.command()
def void(pending_id: Id, *, own_id: NewId = None) -> None:
    """Void a pending transfer."""
    tell(run_one(lambda engine: engine.create_transfer(engine.voiding(number("pending_id", pending_id), _id(own_id)))))


@app.command("show")
def show_transfer(transfer_id: Id) -> None:
    """One transfer."""
    show([run(lambda engine: engine.transfer(number("transfer_id", transfer_id)))])


def _id(given: str | None) -> int:
    return new_id() if given is None else number("id", given)
