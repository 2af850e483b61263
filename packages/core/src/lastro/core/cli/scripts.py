"""``lastro scripts``: what runs inside the server."""

import asyncio
import json
from importlib import import_module
from typing import Annotated

from typer import Argument, Exit, Option, Typer, echo

from lastro.core.errors import Invalid
from lastro.core.plugins import plugs
from lastro.core.redis import connect
from lastro.core.scripts import REGISTRY, Script
from lastro.core.settings import Settings

app = Typer(add_completion=False, no_args_is_help=True, help="The Lua scripts: list, show, check.")


def registered() -> dict[str, Script[..., object]]:
    """Every script of core and of every installed domain, by name."""
    for part in ("streams", "queue", "limits"):
        import_module(f"lastro.core.{part}.scripts")
    for domain in plugs("lastro.commands"):
        import_module(f"lastro.{domain}.scripts")
    return dict(sorted(REGISTRY.items()))


@app.command("list")
def list_(as_json: Annotated[bool, Option("--json", help="for scripts")] = False) -> None:  # noqa: FBT002
    """Name, SHA, keys and arguments of each."""
    if as_json:
        sources = {name: script.source for name, script in registered().items()}
        told = {name: {"sha": one.sha, "keys": one.keys, "args": one.args} for name, one in sources.items()}
        echo(json.dumps(told, indent=2))
        return
    for name, script in registered().items():
        echo(f"{name:32} {script.source.sha}  {' '.join(script.source.keys)} | {' '.join(script.source.args)}")


@app.command()
def show(
    name: Annotated[str, Argument(help="as `lastro scripts list` has it")],
    legacy: Annotated[  # noqa: FBT002
        bool, Option("--legacy", help="for DragonflyDB and Redis 6.2: no #!lua, DragonflyDB's flags first")
    ] = False,
) -> None:
    """The whole text as the server gets it, fragments included: ready for SCRIPT LOAD on Redis 7, Valkey and newer."""
    scripts = registered()
    if name not in scripts:
        raise Invalid(field="name", reason=f"no script {name!r}; `lastro scripts list` has them")
    source = scripts[name].source
    echo(source.text_6 if legacy else source.text)


@app.command()
def check() -> None:
    """Compile every script on the server; exit code 1 when one does not or has another SHA there."""
    wrong = asyncio.run(_check())
    for line in wrong:
        echo(line, err=True)
    if wrong:
        raise Exit(1)
    echo(f"{len(REGISTRY)} scripts compile")


async def _check() -> list[str]:
    wrong = []
    async with await connect(Settings.read()) as hub:
        shebang = hub.capabilities.shebang
        for name, script in registered().items():
            source = script.source
            sha = await hub.write.execute_command("SCRIPT LOAD", source.text if shebang else source.text_6)
            if (sha.decode() if isinstance(sha, bytes) else sha) != (source.sha if shebang else source.sha_6):
                wrong.append(f"{name}: the server computes {sha!r}")
    return wrong
