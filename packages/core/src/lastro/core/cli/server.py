"""``lastro server``: the embedded server of this machine's data folder."""

import json
from typing import Annotated

from typer import Exit, Option, Typer, echo

from lastro.core import local
from lastro.core.cli.acl import acl
from lastro.core.settings import Settings

app = Typer(
    add_completion=False, no_args_is_help=True, help="The embedded server: up, status, down; acl: rules for any server."
)
app.command()(acl)


@app.command()
def up() -> None:
    """Start it, or find it running; it stays until `lastro server down`."""
    settings = Settings.read()
    server = local.start(settings.data_dir, binary=settings.server, durability=settings.durability, detached=True)
    echo(f"{server.url}  (pid {server.pid}, {'started' if server.process else 'was running'})")


@app.command()
def status(as_json: Annotated[bool, Option("--json", help="for scripts")] = False) -> None:  # noqa: FBT002
    """Say whether it runs and where; exit code 1 when it does not."""
    server = local.adopt(Settings.read().data_dir)
    if as_json:
        echo(json.dumps({"running": server is not None, "url": server and server.url, "pid": server and server.pid}))
    else:
        echo(f"{server.url}  (pid {server.pid})" if server else "not running")
    if server is None:
        raise Exit(1)


@app.command()
def down() -> None:
    """Stop it; its data stays."""
    echo("stopped" if local.down(Settings.read().data_dir) else "was not running")
