"""``lastro ledger shards``: where the parts of a ledger are, and another place for one."""

import json
from typing import Annotated

from typer import Argument, Option, Typer, echo

from lastro.core.errors import Invalid, Refused
from lastro.core.keys import slot
from lastro.core.redis import Hub
from lastro.core.redis.clients import ClusterClient
from lastro.core.redis.slots import move_slot
from lastro.ledger import keys
from lastro.ledger.settings import LedgerSettings

from .run import on_hub

app = Typer(no_args_is_help=True, help="The ledger's shards: list, move.")


class NoCluster(Refused):
    """There is one server only, and nowhere to move a shard to."""

    code = "ledger.no_cluster"


def _names(settings: LedgerSettings) -> list[str]:
    return [keys.shard(settings.name, number, settings.shards) for number in range(settings.shards)]


@app.command("list")
def list_shards(as_json: Annotated[bool, Option("--json", help="for scripts")] = False) -> None:  # noqa: FBT002
    """Each shard with its slot and its server."""
    settings = LedgerSettings.read()

    async def act(hub: Hub) -> list[dict[str, object]]:
        spaces = [keys.keyspace(name) for name in _names(settings)]
        return [
            {"number": number, "slot": slot(space), "server": str(hub.place(space) or "the only server")}
            for number, space in enumerate(spaces)
        ]

    found = on_hub(act)
    if as_json:
        echo(json.dumps(found))
        return
    for shard in found:
        echo("{number:>4}  slot {slot:>5}  {server}".format_map(shard))


@app.command()
def move(
    number: Annotated[int, Argument(min=0, help="the shard")],
    to: Annotated[str, Argument(help="host:port of a primary")],
) -> None:
    """Move a shard to another server of the cluster, under traffic; callers of that shard wait, of the others not."""
    names = _names(LedgerSettings.read())
    if number >= len(names):
        raise Invalid(field="number", reason=f"there are {len(names)} shards, the first is 0 (LASTRO_LEDGER_SHARDS)")
    name = names[number]

    async def act(hub: Hub) -> str | None:
        if not isinstance(hub.write, ClusterClient):
            raise NoCluster
        return await move_slot(hub.write, slot(keys.keyspace(name)), to)

    way = on_hub(act)
    echo("is there already" if way is None else f"moved ({way})")
