"""``lastro metrics``: the catalogue of what `/metrics` serves, as a list or as dashboards."""

import json
from pathlib import Path
from typing import Annotated

from typer import Option, Typer, echo

from lastro.core.errors import Invalid
from lastro.core.grafana import dashboards
from lastro.core.measures import catalogue
from lastro.core.plugins import plugs

from . import table

app = Typer(add_completion=False, help="Every metric: name, kind, labels, meaning, what to do.")


@app.command()
def metrics(
    as_json: Annotated[bool, Option("--json", help="for scripts")] = False,  # noqa: FBT002
    grafana: Annotated[Path | None, Option(help="write Grafana's dashboards into this folder instead")] = None,
) -> None:
    """Print the catalogue of everything that is installed, or draw it."""
    metrics = catalogue()
    if grafana:
        try:
            grafana.mkdir(parents=True, exist_ok=True)
            for name, dashboard in dashboards(metrics, list(plugs("lastro.routers"))).items():
                (grafana / name).write_text(json.dumps(dashboard, indent=1))
                echo(str(grafana / name))
        except OSError as error:
            raise Invalid(field="--grafana", reason=str(error)) from None
        return
    rows = list(metrics.values())
    if as_json:
        told = [
            {"name": m.name, "kind": m.kind, "labels": list(m.labels), "meaning": m.meaning, "do": m.do} for m in rows
        ]
        echo(json.dumps(told, indent=2))
        return
    listed = [(metric.name, metric.kind, ", ".join(metric.labels), metric.meaning, metric.do) for metric in rows]
    table.show("Metrics", ("metric", "kind", "labels", "meaning", "what to do"), listed)
