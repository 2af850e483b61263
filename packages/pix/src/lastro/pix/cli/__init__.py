"""Pix from a terminal: ``lastro pix …``."""

from typer import Typer

from . import accounts, codes, dead, monitor, payments, simulate, work

app = Typer(add_completion=False, no_args_is_help=True, help="Brazil's instant payments, each settled exactly once.")
for module in (payments, accounts, codes, simulate, monitor, work):
    module.add(app)
app.add_typer(dead.app, name="dead")
