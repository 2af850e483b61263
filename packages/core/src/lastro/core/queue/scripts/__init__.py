"""One typed stub per ``.lua`` file of this folder."""

from collections.abc import Sequence
from typing import Any, Literal

from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script


@script
async def publish(redis: Client, *, stream: Key, delayed: Key, len_max: int, items: Sequence[Any]) -> list[bytes]: ...


@script
async def publish_once(
    redis: Client,
    *,
    stream: Key,
    delayed: Key,
    once: Key,
    len_max: int,
    delay_ms: int,
    remember_ms: int,
    token: str,
    fields: Sequence[Any],
) -> list[bytes]: ...


@script
async def push(
    redis: Client,
    *,
    queue: Key,
    delayed: Key,
    once: Key,
    len_max: int,
    delay_ms: int,
    remember_ms: int,
    items: Sequence[Any],
) -> list[bytes]: ...


@script
async def take(
    redis: Client,
    *,
    queue: Key,
    taken: Key,
    consumers: Key,
    consumer: str,
    lease_ms: int,
    count_max: int,
    moved: Sequence[bytes],
) -> list[Any]: ...


@script
async def look(
    redis: Client, *, queue: Key, delayed: Key, consumers: Key, consumer: str, lease_ms: int, due_max: int
) -> Any: ...


@script
async def recover(redis: Client, *, queue: Key, taken: Key, consumers: Key, consumer: str, own: int) -> int: ...


@script
async def start(redis: Client, *, taken: Key, member: bytes) -> bytes: ...


@script
async def finish(redis: Client, *, taken: Key, members: Sequence[bytes]) -> int: ...


@script
async def put_off(
    redis: Client, *, taken: Key, delayed: Key, member: bytes, deliveries: int, delay_ms: int
) -> Literal["ok", "lost"]: ...


@script
async def give_up(
    redis: Client,
    *,
    taken: Key,
    dead: Key,
    delayed: Key,
    member: bytes,
    deliveries: int,
    reason: str,
    error: str,
    dead_max: int,
    delay_ms: int,
) -> Literal["ok", "lost", "full"]: ...


@script
async def revive(redis: Client, *, queue: Key, dead: Key, ids: Sequence[bytes]) -> int: ...


@script
async def hold(
    redis: Client, *, taken: Key, consumers: Key, consumer: str, lease_ms: int, members: Sequence[bytes]
) -> list[bytes]: ...


@script
async def weigh(
    redis: Client, *, queue: Key, delayed: Key, dead: Key, consumers: Key, taken: Sequence[Key]
) -> list[Any]: ...


@script
async def append(redis: Client, *, queue: Key, len_max: int, bodies: Sequence[Any]) -> int: ...
