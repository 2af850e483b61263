"""Move a slot of a cluster to another of its servers, while the others go on.

Where the server can (Valkey ≥ 9) it moves the slot as a whole: its keys stay usable but for the moment of the change.
Elsewhere key by key, and all that time no script runs on the slot's keys (`clients`): callers hear Unreachable, come
again, and find nothing half moved.
"""

import asyncio
from typing import Any, Literal

from redis.asyncio.cluster import ClusterNode

from lastro.core.errors import Fault, LastroError, OutcomeUnknown, Unreachable

from .clients import ClusterClient
from .failures import translated

KEYS_AT_ONCE = 100
MIGRATE_MS = 10_000
LOOK_SECONDS = 0.05
LOOKS_MAX = 100
TRIES_MAX = 10
AGAIN_SECONDS = 0.5
VALKEY_MOVES_WHOLE = 9
ENDED = (b"success", b"failed", b"cancelled")
Way = Literal["whole", "by key"]


class NoSuchServer(LastroError):
    """The cluster has no primary {server}."""

    code = "lastro.no_such_server"
    status = 404


async def move_slot(client: ClusterClient, slot: int, to: str) -> Way | None:
    """Move it to the server named ``host:port``; None if it is there.

    Whoever does not answer is asked again, TRIES_MAX times; what such a move leaves undone, a second call finishes.
    """
    tries = 0
    while True:
        tries += 1
        try:
            with translated():
                return await _moved(client, slot, to, first=tries == 1)
        except (Unreachable, OutcomeUnknown):
            if tries == TRIES_MAX:
                raise
        await asyncio.sleep(AGAIN_SECONDS)


async def _moved(client: ClusterClient, slot: int, to: str, *, first: bool) -> Way | None:
    source, target = await _known(client, slot, to)
    way: Way = "whole" if _moves_whole(client) else "by key"
    if source is None or source.name == target.name:
        await _finish(client, slot, target)
        return None if first else way
    await (_move_whole if way == "whole" else _move_keys)(client, slot, source, target)
    for _ in range(LOOKS_MAX):  # whom we ask may not have heard of it
        await client.nodes_manager.initialize()
        if client.nodes_manager.get_node_from_slot(slot).name == target.name:
            break
        await asyncio.sleep(LOOK_SECONDS)
    return way


async def _known(client: ClusterClient, slot: int, to: str) -> tuple[ClusterNode | None, ClusterNode]:
    """Who has it and who gets it, once these two have heard of all moves before.

    Who takes a slot with an epoch that is not the newest loses it to a packet that its former owner sent before: then
    each of the two says that the other has it, for good, and nobody serves it.
    """
    for _ in range(LOOKS_MAX):
        await client.nodes_manager.initialize()
        source, target = client.nodes_manager.get_node_from_slot(slot), client.get_node(node_name=to)
        if target is None or target.server_type != "primary":
            raise NoSuchServer(server=to)
        newest = max([await _epoch(client, node) for node in client.get_primaries()])
        if source is None or (await _has(client, source, slot) and await _epoch(client, target) >= newest):
            return source, target
        await asyncio.sleep(LOOK_SECONDS)
    raise Unreachable(reason=f"not all servers have heard yet who has slot {slot}")


async def _has(client: ClusterClient, node: ClusterNode, slot: int) -> bool:
    """Whether it says of itself that it has it."""
    told = await _ask(client, node, "CLUSTER", "NODES")
    (own,) = (line.split() for line in told.decode().splitlines() if "myself" in line.split()[2])
    bounds = [part.partition("-") for part in own[8:] if not part.startswith("[")]
    return any(int(first) <= slot <= int(last or first) for first, _, last in bounds)


async def _epoch(client: ClusterClient, node: ClusterNode) -> int:
    """The newest that it knows of."""
    told = await _ask(client, node, "CLUSTER", "INFO")
    (epoch,) = (line for line in told.decode().splitlines() if line.startswith("cluster_current_epoch:"))
    return int(epoch.partition(":")[2])


async def _ask(client: ClusterClient, node: ClusterNode, *command: Any) -> Any:
    return await client.execute_command(*command, target_nodes=node)


async def _id(client: ClusterClient, node: ClusterNode) -> str:
    told = await _ask(client, node, "CLUSTER", "MYID")
    return str(told.decode())


def _moves_whole(client: ClusterClient) -> bool:
    server = client.capabilities
    return server.name == "valkey" and int(server.version.split(".")[0]) >= VALKEY_MOVES_WHOLE


async def _move_whole(client: ClusterClient, slot: int, source: ClusterNode, target: ClusterNode) -> None:
    to_id = await _id(client, target)
    if (await _job(client, slot, source, to_id)).get(b"state", ENDED[0]) in ENDED:
        await _ask(client, source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", to_id)
    while (job := await _job(client, slot, source, to_id))[b"state"] not in ENDED:  # noqa: ASYNC110  # it tells nobody
        await asyncio.sleep(LOOK_SECONDS)
    if job[b"state"] != b"success":
        raise Fault(reason=f"slot {slot} stays: {job[b'message'].decode()}")


async def _job(client: ClusterClient, slot: int, source: ClusterNode, to_id: str) -> dict[bytes, bytes]:
    """The newest that moves it there; empty if there was none."""
    for told in await _ask(client, source, "CLUSTER", "GETSLOTMIGRATIONS"):
        job = dict(zip(told[::2], told[1::2], strict=True))
        named = (job[b"operation"], job[b"slot_ranges"], job[b"target_node"])
        if named == (b"EXPORT", f"{slot}-{slot}".encode(), to_id.encode()):
            return job
    return {}


async def _move_keys(client: ClusterClient, slot: int, source: ClusterNode, target: ClusterNode) -> None:
    from_id, to_id = await _id(client, source), await _id(client, target)
    begun = await _is_moving(client, source, slot, to_id)
    if not begun and await _ask(client, target, "CLUSTER", "COUNTKEYSINSLOT", slot):
        raise Fault(reason=f"slot {slot} has keys at {target.name}, too, and {source.name} does not say it moves there")
    await _ask(client, target, "CLUSTER", "SETSLOT", slot, "IMPORTING", from_id)
    await _ask(client, source, "CLUSTER", "SETSLOT", slot, "MIGRATING", to_id)
    given = target.connection_kwargs
    login = ("AUTH2", given.get("username") or "default", given["password"]) if given.get("password") else ()
    again = ("REPLACE",) if begun else ()  # what MIGRATE left at both was changed at the source alone: it had it
    while keys := await _ask(client, source, "CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE):
        await _ask(
            client, source, "MIGRATE", target.host, target.port, "", 0, MIGRATE_MS, *again, *login, "KEYS", *keys
        )
    await _ask(client, target, "CLUSTER", "SETSLOT", slot, "NODE", to_id)  # first: the new owner makes it known
    for node in client.get_primaries():
        await _ask(client, node, "CLUSTER", "SETSLOT", slot, "NODE", to_id)


async def _finish(client: ClusterClient, slot: int, target: ClusterNode) -> None:
    """Tell who was not told that it is there by now."""
    to_id = await _id(client, target)
    for node in client.get_primaries():
        if await _is_moving(client, node, slot, to_id):
            await _ask(client, node, "CLUSTER", "SETSLOT", slot, "NODE", to_id)


async def _is_moving(client: ClusterClient, node: ClusterNode, slot: int, to_id: str) -> bool:
    """Whether it says of itself that it moves it there, key by key."""
    told = await _ask(client, node, "CLUSTER", "NODES")
    return f"[{slot}->-{to_id}]" in told.decode()
