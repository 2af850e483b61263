"""``lastro bench``: the benchmarks of a checkout, each beside its floor."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option, Typer

from lastro.core.errors import LastroError

app = Typer(add_completion=False, help="The benchmarks, each beside its floor in the same run.")


class NoCheckout(LastroError):
    """There are no benchmarks in {folder}: they come with the checkout, not with the packages; go there first."""

    code = "lastro.no_checkout"
    status = 404


@app.command()
def bench(
    names: Annotated[list[str] | None, Argument(help="core or a domain; all without it")] = None,
    quick: Annotated[bool, Option("--quick", help="a second a row: that it works, not how fast it is")] = False,  # noqa: FBT002
) -> None:
    """Run them in the folder that has them; the exit code is theirs."""
    folder = Path("benchmarks")
    if not (folder / "__main__.py").exists():
        raise NoCheckout(folder=Path.cwd())
    command = [sys.executable, str(folder), *(names or []), *(["--quick"] if quick else [])]
    raise Exit(subprocess.call(command))  # noqa: S603  # our own
