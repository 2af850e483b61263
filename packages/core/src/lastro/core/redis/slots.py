"""Move a slot of a cluster to another of its servers, while the others go on.

Where the server can (Valkey ≥ 9) it moves the slot as a whole: its keys stay usable but for the moment of the change.
Elsewhere key by key, and all that time no script runs on the slot's keys (`clients`): callers hear Unreachable, come
again, and find nothing half moved.
"""

import asyncio
from typing import Any, Literal

from redis.asyncio.cluster import ClusterNode

from lastro.core.errors import Fault, LastroError

from .clients import ClusterClient
from .failures import translated

KEYS_AT_ONCE = 100
MIGRATE_MS = 10_000
LOOK_SECONDS = 0.05
VALKEY_MOVES_WHOLE = 9
Way = Literal["whole", "by key"]


class NoSuchServer(LastroError):
    """The cluster has no primary {server}."""

    code = "lastro.no_such_server"
    status = 404


async def move_slot(client: ClusterClient, slot: int, to: str) -> Way | None:
    """Move it to the server named ``host:port``; None if it is there. Interrupted, it is finished by a second call."""
    with translated():
        await client.nodes_manager.initialize()
        source, target = client.nodes_manager.get_node_from_slot(slot), client.get_node(node_name=to)
        if target is None or target.server_type != "primary":
            raise NoSuchServer(server=to)
        if source is None or source.name == target.name:
            return None
        whole = await _moved_whole(client, slot, source, target)
        if not whole:
            await _move_keys(client, slot, source, target)
        await client.nodes_manager.initialize()
        return "whole" if whole else "by key"


async def _ask(client: ClusterClient, node: ClusterNode, *command: Any) -> Any:
    return await client.execute_command(*command, target_nodes=node)


async def _id(client: ClusterClient, node: ClusterNode) -> str:
    told = await _ask(client, node, "CLUSTER", "MYID")
    return str(told.decode())


async def _moved_whole(client: ClusterClient, slot: int, source: ClusterNode, target: ClusterNode) -> bool:
    """False if the server knows no such thing."""
    if client.capabilities.name != "valkey" or int(client.capabilities.version.split(".")[0]) < VALKEY_MOVES_WHOLE:
        return False
    await _ask(client, source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", await _id(client, target))
    while True:
        (newest, *_) = await _ask(client, source, "CLUSTER", "GETSLOTMIGRATIONS")
        told = dict(zip(newest[::2], newest[1::2], strict=True))
        match told[b"state"]:
            case b"success":
                return True
            case b"failed" | b"cancelled":
                raise Fault(reason=f"slot {slot} stays: {told[b'message'].decode()}")
        await asyncio.sleep(LOOK_SECONDS)


async def _move_keys(client: ClusterClient, slot: int, source: ClusterNode, target: ClusterNode) -> None:
    from_id, to_id = await _id(client, source), await _id(client, target)
    await _ask(client, target, "CLUSTER", "SETSLOT", slot, "IMPORTING", from_id)
    await _ask(client, source, "CLUSTER", "SETSLOT", slot, "MIGRATING", to_id)
    given = target.connection_kwargs
    login = ("AUTH2", given.get("username") or "default", given["password"]) if given.get("password") else ()
    while keys := await _ask(client, source, "CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE):
        await _ask(client, source, "MIGRATE", target.host, target.port, "", 0, MIGRATE_MS, *login, "KEYS", *keys)
    others = [node for node in client.get_primaries() if node.name not in {source.name, target.name}]
    for node in (target, source, *others):
        await _ask(client, node, "CLUSTER", "SETSLOT", slot, "NODE", to_id)
