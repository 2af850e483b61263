"""The ``lastro`` command: core's commands, and one group per installed domain.

A command is imported when it is called; ``lastro --help`` imports none of them, and no web framework.
"""

import os
import sys
from importlib import import_module
from importlib.metadata import EntryPoint, version
from typing import Annotated, Any, NoReturn

from typer import Exit, Option, Typer, echo, secho
from typer.core import TyperGroup
from typer.main import get_command

from lastro.core.errors import Busy, LastroError, Misconfigured
from lastro.core.plugins import installed, plugs

# name → module under lastro.core.cli, one sentence
COMMANDS = {
    "bench": "The benchmarks, each beside its floor in the same run.",
    "chaos": "Faults by a seed against a running engine with traffic; then everything is added up.",
    "check": "Does it add up? Records, streams, counters and books of every domain.",
    "demo": "A fixed job through all domains, with kills on the way; then it is added up.",
    "keys": "API keys: create, list, rotate, revoke.",
    "metrics": "Every metric: name, kind, labels, meaning, what to do.",
    "monitor": "Every domain on one screen, live; --json for scripts.",
    "queue": "The queues: list them, and their dead letters: list, show, replay, discard.",
    "relay": "Pass logs on to Kafka or SQS, each entry at least once, in order.",
    "scripts": "The Lua scripts: list, show, check.",
    "server": "The embedded server: up, status, down.",
    "settings": "Every setting: variable, default, meaning, value.",
    "up": "The engine: server, services, workers, simulators.",
}


class Lazy(TyperGroup):
    """A group whose commands are known by name and imported on use."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Core's by name, then the domains'."""
        return sorted(COMMANDS) + list(plugs("lastro.commands"))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import this one."""
        if cmd_name in COMMANDS:
            return get_command(import_module(f"lastro.core.cli.{cmd_name}").app)
        plug = plugs("lastro.commands").get(cmd_name)
        return get_command(plug.load()) if plug else None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """What is known without importing any command."""
        formatter.write_usage("lastro", "COMMAND …")
        formatter.write_paragraph()
        formatter.write_text(self.help or "")
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))
        domains = plugs("lastro.commands")
        if domains:
            with formatter.section("Domains"):
                formatter.write_dl([(name, _summary(plug)) for name, plug in domains.items()])


def _summary(plug: EntryPoint) -> str:
    return str(plug.dist.metadata["Summary"]) if plug.dist else ""


root = Typer(cls=Lazy, no_args_is_help=True, add_completion=False, help="Lastro: instant money on Redis.")


def _version(asked: bool) -> None:  # noqa: FBT001  # typer's way
    if asked:
        echo(f"lastro {version('lastro-core')}")
        raise Exit


@root.callback()
def _root(
    told: Annotated[bool, Option("--version", callback=_version, is_eager=True, help="tell it and end")] = False,  # noqa: FBT002
) -> None:
    """Lastro: instant money on Redis."""
    from lastro.core.settings import Settings, refuse_unknown  # takes longer to import than --help to answer

    refuse_unknown([Settings, *installed("lastro.settings").values()])  # a misspelt one starts an empty server


def main(args: list[str] | None = None) -> Any:
    """Run a command. Exit codes: 0 done, 1 a rule said no or something does not add up, 2 usage, 75 away, 78 setting.

    The sentence is on standard error. 75 is EX_TEMPFAIL of sysexits.h, a store or a database is away: the same command
    may be tried again. 78 is EX_CONFIG, a setting is wrong: it may not.
    """
    try:
        return get_command(root).main(args, prog_name="lastro", standalone_mode=args is None)
    except UnicodeEncodeError:
        secho("an argument is not UTF-8", fg="red", err=True)
        sys.exit(2)
    except LastroError as error:
        _end(error)
    except ExceptionGroup as group:  # workers of one process failed
        ours, others = group.split(LastroError)
        if ours is None or others is not None:
            raise
        first: LastroError | ExceptionGroup[LastroError] = ours
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        _end(first)


def _end(error: LastroError) -> NoReturn:
    secho(f"{error}", fg="red", err=True)
    secho(f"  {error.code}", dim=True, err=True)
    match error:
        case Busy():
            code = os.EX_TEMPFAIL
        case Misconfigured():
            code = os.EX_CONFIG
        case _:
            code = 1
    sys.exit(code)
