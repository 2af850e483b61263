"""A list of things with names: a table on a terminal, a line each in a pipe."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Column, Table
from typer import echo


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print them. No name, which stands first, is broken; in a pipe tabs are between, and nothing is."""
    console = Console()
    if not console.is_terminal:
        for row in (columns, *rows):
            echo("\t".join(row))
        return
    name, *others = columns
    table = Table(Column(name, no_wrap=True), *(Column(each, overflow="fold") for each in others), title=title)
    for row in rows:
        table.add_row(*row)
    console.print(table)
