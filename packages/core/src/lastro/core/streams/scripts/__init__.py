"""One typed stub per ``.lua`` file of this folder."""

from collections.abc import Sequence
from typing import Any, Literal

from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script


@script
async def turn(
    redis: Client,
    *,
    stream: Key,
    delayed: Key,
    group: str,
    consumer: str,
    lease_ms: int,
    cursor: bytes,
    count_max: int,
    due_max: int,
) -> list[Any]: ...


@script
async def begin(
    redis: Client, *, stream: Key, group: str, consumer: str, entry: bytes, deliveries: int
) -> Literal["ok", "lost"]: ...


@script
async def renew(redis: Client, *, stream: Key, group: str, consumer: str, ids: Sequence[bytes]) -> list[bytes]: ...


@script
async def settle(redis: Client, *, stream: Key, group: str, keep: int, ids: Sequence[bytes]) -> int: ...


@script
async def retry(
    redis: Client,
    *,
    stream: Key,
    delayed: Key,
    group: str,
    consumer: str,
    entry: bytes,
    deliveries: int,
    delay_ms: int,
    keep: int,
) -> Literal["ok", "lost"]: ...


@script
async def bury(
    redis: Client,
    *,
    stream: Key,
    dead: Key,
    group: str,
    consumer: str,
    entry: bytes,
    deliveries: int,
    reason: str,
    error: str,
    dead_max: int,
    keep: int,
) -> Literal["ok", "lost", "full"]: ...


@script
async def discard(redis: Client, *, dead: Key, ids: Sequence[bytes]) -> int: ...


@script
async def replay(redis: Client, *, stream: Key, dead: Key, ids: Sequence[bytes]) -> int: ...


@script
async def release(redis: Client, *, stream: Key, group: str, consumer: str, nobody: str) -> int: ...


@script
async def sweep(redis: Client, *, stream: Key, group: str, idle_ms: int) -> int: ...


@script
async def trim(redis: Client, *, stream: Key) -> int: ...


@script
async def measure(redis: Client, *, stream: Key, delayed: Key, dead: Key, group: str, keep: int) -> list[int]: ...


@script
async def list_delayed(redis: Client, *, delayed: Key, after: int, count_max: int, group: str) -> list[list[bytes]]: ...


@script
async def pass_on(
    redis: Client,
    *,
    stream: Key,
    leader: Key,
    group: str,
    token: str,
    lead_ms: int,
    done: bytes,
    number: int,
    count_max: int,
) -> list[Any] | None: ...
