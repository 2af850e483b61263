"""Coupons from a terminal: text in, engine, text out."""

from typer import Typer

from . import dead, events, issuances, operate

app = Typer(add_completion=False, no_args_is_help=True, help="A limited number of coupons.")


@app.callback()
def main() -> None:
    """A limited number of coupons."""


for part in (events, issuances, operate):
    app.registered_commands += part.app.registered_commands
app.add_typer(dead.app, name="dead")
