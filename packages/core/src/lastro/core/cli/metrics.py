"""``lastro metrics``: the catalogue of what `/metrics` serves."""

import json
from typing import Annotated

from rich.console import Console
from rich.table import Table
from typer import Option, Typer, echo

from lastro.core.measures import catalogue

app = Typer(help="Every metric: name, kind, labels, meaning, what to do.")


@app.command()
def metrics(as_json: Annotated[bool, Option("--json", help="for scripts")] = False) -> None:  # noqa: FBT002
    """Print the catalogue of everything that is installed."""
    rows = list(catalogue().values())
    if as_json:
        told = [
            {"name": m.name, "kind": m.kind, "labels": list(m.labels), "meaning": m.meaning, "do": m.do} for m in rows
        ]
        echo(json.dumps(told, indent=2))
        return
    table = Table("metric", "kind", "labels", "meaning", "what to do", title="Metrics")
    for metric in rows:
        table.add_row(metric.name, metric.kind, ", ".join(metric.labels), metric.meaning, metric.do)
    Console().print(table)
