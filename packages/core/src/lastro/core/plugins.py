"""How core finds the domains installed beside it.

Each domain names its faces in its own ``pyproject.toml``; a face is imported only by the program that shows it, so the
command line never pays for FastAPI.
"""

from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any, Literal

from lastro.core.errors import LastroError

Face = Literal[
    "lastro.routers",  # APIRouter, mounted under /<domain>
    "lastro.roots",  # APIRouter, mounted at the root: a contract that somebody else fixed
    "lastro.fronts",  # (app) → app: a path in front of the documented routes
    "lastro.access",  # access.routes.Access: what an API key may do at which route
    "lastro.commands",  # typer.Typer, mounted as `lastro <domain>`
    "lastro.settings",  # the domain's Environment class
    "lastro.workers",  # async (Run) → None, named <domain>.<verb>
    "lastro.checks",  # async (Hub, told: Callable[[done, total], None]) → findings
    "lastro.totals",  # async (Hub) → what several domains must say alike: see cli/check.py
    "lastro.simulators",  # async (Run) → None: the outside world
    "lastro.demos",  # acts.Act: what the domain's clients do in the demo
    "lastro.panels",  # async (Hub) → Panel: what the status line, the monitor and the dashboard show
    "lastro.screens",  # (Settings) → textual Screen: a domain's own page in the monitor
]
FACES_THAT_MEASURE: tuple[Face, ...] = ("lastro.routers", "lastro.roots", "lastro.fronts", "lastro.workers")
"""Whose modules, together, declare every metric."""


class NotInstalled(LastroError):
    """There is no {name} here; installed are: {installed}."""

    code = "lastro.not_installed"
    status = 404


def plugs(face: Face) -> dict[str, EntryPoint]:
    """Name → entry point, by name, none of them imported."""
    return {plug.name: plug for plug in sorted(_of(face), key=lambda plug: plug.name)}


@cache
def _of(face: Face) -> EntryPoints:
    """It is the same for the life of a process, and each look opens a file of every distribution."""
    return entry_points(group=face)


def installed(face: Face, name: str | None = None) -> dict[str, Any]:
    """Every plug of one face, by name; with ``name`` only that one, or a domain's (``pix`` finds ``pix.settle``)."""
    found = plugs(face)
    if name is not None:
        chosen = {key: plug for key, plug in found.items() if key == name or key.startswith(f"{name}.")}
        if not chosen:
            raise NotInstalled(name=name, installed=", ".join(found))
        found = chosen
    return {key: plug.load() for key, plug in found.items()}
