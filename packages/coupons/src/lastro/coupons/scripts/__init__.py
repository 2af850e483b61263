"""One typed stub per ``.lua`` file of this folder."""

from collections.abc import Sequence
from typing import Any, Literal

from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script


@script
async def issue(
    redis: Client,
    *,
    participants: Key,
    stock: Key,
    meta: Key,
    events: Key,
    eligible: Key,
    attempts: Sequence[str | bytes],
) -> list[Any]: ...


@script
async def create(
    redis: Client, *, meta: Key, stock: Key, events: Key, group: str, total: int, plan: Sequence[str | int]
) -> Literal["exists", "ok"]: ...


@script
async def change_state(
    redis: Client,
    *,
    meta: Key,
    events: Key,
    state: str,
    starts_ms: str,
    ends_ms: str,
    version: str,
    before: Sequence[str],
) -> str: ...


@script
async def resize(
    redis: Client, *, meta: Key, stock: Key, events: Key, once: Key, delta: int, total_max: int, life_ms: int
) -> Literal["conflict", "ok", "unknown", "settled", "large", "short"]: ...


@script
async def give_back(
    redis: Client, *, meta: Key, stock: Key, returned: Key, issuance_id: str, coupon_id: str
) -> Literal["again", "kept", "ok"]: ...


@script
async def look(redis: Client, *, meta: Key, stock: Key, participants: Key, returned: Key) -> list[Any]: ...


@script
async def restore(redis: Client, *, participants: Key, meta: Key, seq: int, winners: Sequence[str]) -> int: ...


@script
async def renumber(redis: Client, *, participants: Key, meta: Key, winners: Sequence[str]) -> list[bytes]: ...


@script
async def restock(redis: Client, *, stock: Key, meta: Key, participants: Key, returned: Key) -> int: ...


@script
async def begin_recovery(
    redis: Client, *, meta: Key, stock: Key, events: Key, group: str, epoch: int, plan: Sequence[str | int]
) -> int: ...


@script
async def end_recovery(
    redis: Client, *, meta: Key, stock: Key, participants: Key, returned: Key, events: Key, eligible: Key, epoch: int
) -> Literal["other", "nobody", "ok"]: ...


@script
async def join(redis: Client, *, room: Key, stock: Key, meta: Key, user_id: str, room_max: int) -> list[int]: ...


@script
async def register(redis: Client, *, live: Key, event_id: str, events_max: int) -> Literal["ok", "full"]: ...


@script
async def unregister(redis: Client, *, live: Key, settled: Key, event_id: str, issued: int) -> int: ...


@script
async def settle(
    redis: Client, *, meta: Key, others: Sequence[Key], version: int, life_ms: int
) -> Literal["changed", "ok"]: ...
