"""Coupons from a terminal: text in, engine, text out."""

from typer import Typer

app = Typer(no_args_is_help=True, help="A limited number of coupons.")


@app.callback()
def main() -> None:
    """A limited number of coupons."""
