"""One typed stub per ``.lua`` file of this folder."""

from collections.abc import Sequence
from typing import Any, Literal

from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script


@script
async def accept(
    redis: Client,
    *,
    known: Key,
    queue: Key,
    in_flight: Key,
    owners: Key,
    correlation_id: str,
    amount_cents: int,
    reference: str,
    owner: str,
    processor: str,
) -> str: ...


@script
async def claim(
    redis: Client, *, queue: Key, known: Key, in_flight: Key, owners: Key, owner: str, processor: str, count: int
) -> list[Any]: ...


@script
async def commit(
    redis: Client,
    *,
    known: Key,
    in_flight: Key,
    by_date: Key,
    final: Key,
    totals_default: Key,
    totals_fallback: Key,
    dead: Key,
    doubled: Key,
    final_max: int,
    items: Sequence[str | int],
) -> int: ...


@script
async def release(
    redis: Client,
    *,
    known: Key,
    in_flight: Key,
    queue: Key,
    correlation_id: str,
    owner: str,
    processor: str,
    requested_at_ms: int,
) -> Literal["ok", "not_ours"]: ...


@script
async def bury(
    redis: Client,
    *,
    known: Key,
    in_flight: Key,
    final: Key,
    dead: Key,
    correlation_id: str,
    owner: str,
    processor: str,
    requested_at_ms: int,
    reason: str,
    final_max: int,
) -> Literal["ok", "not_ours"]: ...


@script
async def republish(redis: Client, *, known: Key, final: Key, final_max: int, ids: Sequence[str]) -> int: ...


@script
async def discard(redis: Client, *, known: Key, dead: Key, correlation_id: str) -> str: ...


@script
async def replay(redis: Client, *, known: Key, queue: Key, dead: Key, correlation_id: str) -> str: ...


@script
async def renew(redis: Client, *, owners: Key, owner: str, lease_ms: int) -> list[Any]: ...


@script
async def recover(
    redis: Client, *, owners: Key, known: Key, theirs: Key, mine: Key, dead: str, owner: str, lease_ms: int, count: int
) -> list[Any]: ...


@script
async def recall(redis: Client, *, known: Key, in_flight: Key, owner: str) -> list[Any]: ...


@script
async def purge(
    redis: Client, *, purged: Key, totals_default: Key, totals_fallback: Key, forgotten: Sequence[Key]
) -> None: ...


@script
async def take_poll(redis: Client, *, health: Key, processor: str, every_ms: int) -> int: ...


@script
async def summarize(
    redis: Client, *, by_date: Key, totals: Sequence[Key], from_ms: int | str, to_ms: int | str
) -> list[Any]: ...
