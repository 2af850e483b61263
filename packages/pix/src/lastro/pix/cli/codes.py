"""BR Codes: make, read, draw."""

from pathlib import Path
from typing import Annotated

import segno
from typer import Argument, Option, Typer, echo

from lastro.core.errors import Invalid
from lastro.core.money import cents
from lastro.pix.model import brcode

from .act import show


def add(app: Typer) -> None:
    """Put these commands into a group."""
    group = Typer(no_args_is_help=True, help="BR Codes: what a Pix QR picture says.")
    group.command()(make)
    group.command("read")(read)
    app.add_typer(group, name="brcode")


def make(
    key: Annotated[str, Argument(help="the receiver's Pix key")],
    name: Annotated[str, Argument(help="the receiver's name, at most 25 characters")],
    city: Annotated[str, Argument(help="at most 15 characters")],
    amount: Annotated[str, Option(help="like 10.00; the payer decides without it")] = "",
    tx_id: Annotated[str, Option(help="at most 25 letters and digits")] = "",
    picture: Annotated[Path | None, Option(help="write the QR picture here (.png or .svg)")] = None,
) -> None:
    """Print a static BR Code and its QR picture."""
    code = brcode.BrCode(name=name, city=city, key=key, tx_id=tx_id, amount_cents=cents(amount) if amount else 0)
    try:
        text = brcode.encode(code)
    except brcode.BadBrCode as bad:
        raise Invalid(field=bad.field, reason=str(bad)) from None
    echo(text)
    qr = segno.make(text, error="m", micro=False)
    if picture:
        qr.save(str(picture), scale=8)
    else:
        qr.terminal(compact=True)


def read(text: Annotated[str, Argument(help="the text of the picture")]) -> None:
    """Read a BR Code; a wrong length or CRC is refused."""
    try:
        show(brcode.decode(text))
    except brcode.BadBrCode as bad:
        raise Invalid(field="text", reason=str(bad)) from None
