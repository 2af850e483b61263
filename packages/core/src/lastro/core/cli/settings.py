"""``lastro settings``: what an operator may turn."""

import json
from typing import Annotated, Any

from pydantic import SecretStr
from typer import Option, Typer, echo

from lastro.core.logging import mask_url
from lastro.core.plugins import installed
from lastro.core.settings import Environment, Settings, variables

from . import table

app = Typer(add_completion=False, help="Every setting: variable, default, meaning, value.")


def classes() -> dict[str, type[Environment]]:
    """Core's settings class and that of every installed domain."""
    return {"core": Settings, **installed("lastro.settings")}


@app.callback(invoke_without_command=True)
def show(as_json: Annotated[bool, Option("--json", help="for scripts")] = False) -> None:  # noqa: FBT002
    """Print them all."""
    rows = [row for name, cls in classes().items() for row in _rows(name, cls)]
    if as_json:
        echo(json.dumps(rows, indent=2))
        return
    told = [(" / ".join(row["variables"]), row["value"], row["default"], row["meaning"]) for row in rows]
    table.show("Settings", ("variable", "value", "default", "meaning"), told)


def _rows(owner: str, cls: type[Environment]) -> list[dict[str, Any]]:
    now = cls.read()
    return [
        {
            "owner": owner,
            "variables": list(names),
            "value": _shown(getattr(now, field)),
            "default": _shown(cls.model_fields[field].default),
            "meaning": cls.model_fields[field].description or "",
        }
        for field, names in variables(cls).items()
    ]


def _shown(value: object) -> str:
    return "•••" if isinstance(value, SecretStr) else "" if value is None else mask_url(str(value))
