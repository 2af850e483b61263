"""One typed stub per ``.lua`` file in this folder; the file's header is its documentation."""

from collections.abc import Sequence
from typing import Any, Literal

from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script

Arg = str | bytes | int


@script
async def open_minute(
    redis: Client, *, records: Key, minutes: Key, minute: str, forget_at_ms: int, visit_at_ms: int
) -> Literal["open", "over"]: ...


@script
async def accept(
    redis: Client,
    *,
    payments: Key,
    accounts: Key,
    deadlines: Key,
    counters: Key,
    backends: Key,
    ks: Sequence[Key],
    group: str,
    minutes: int,
    items: Sequence[Arg],
) -> list[Any]: ...


@script
async def turn_away(
    redis: Client,
    *,
    payments: Key,
    accounts: Key,
    counters: Key,
    backends: Key,
    ks: Sequence[Key],
    group: str,
    items: Sequence[Arg],
) -> int: ...


@script
async def settle(
    redis: Client,
    *,
    answers: Key,
    accounts: Key,
    count: Key,
    cents: Key,
    amount: Key,
    counters: Key,
    latency: Key,
    answering: Key,
    backends: Key,
    ks: Sequence[Key],
    group: str,
    minutes: int,
    items: Sequence[Arg],
) -> list[Any]: ...


@script
async def confirm(
    redis: Client,
    *,
    payments: Key,
    count: Key,
    cents: Key,
    amount: Key,
    counters: Key,
    latency: Key,
    backends: Key,
    ks: Sequence[Key],
    group: str,
    minutes: int,
    timestamp: str,
    items: Sequence[Arg],
) -> list[Any]: ...


@script
async def expire(
    redis: Client,
    *,
    deadlines: Key,
    accounts: Key,
    counters: Key,
    latency: Key,
    backends: Key,
    ks: Sequence[Key],
    due: bytes,
    minutes: int,
    items: Sequence[Arg],
) -> int: ...


@script
async def refund(
    redis: Client,
    *,
    records: Key,
    originals: Key,
    returned: Key,
    accounts: Key,
    counters: Key,
    backends: Key,
    outbox_from: Key,
    outbox_to: Key,
    movements: Key,
    rtr_id: str,
    original: str,
    amount_cents: int,
    reason: str,
    giver: str,
    taker: str,
    archived_cents: str,
    settled_ms: int,
    age_ms_max: int,
    body: bytes,
    remember_seconds: int,
) -> Literal["repeat", "conflict", "unknown", "off", "late", "above", "short", "closed", "settled"]: ...


@script
async def fund(
    redis: Client,
    *,
    accounts: Key,
    funding: Key,
    movements: Key,
    ispb: str,
    amount_cents: int,
    cents_max: int,
    act: str,
) -> Literal["conflict", "repeat", "short", "full", "done"]: ...


@script
async def submit(
    redis: Client,
    *,
    messages: Key,
    tokens: Key,
    lag_max: int,
    capacity: int,
    per_second: int,
    field: str,
    price: int,
    bodies: Sequence[bytes],
) -> list[Any]: ...


@script
async def bury(
    redis: Client, *, source: Key, dead: Key, counters: Key, group: str, dead_max: int, items: Sequence[Arg]
) -> int: ...


@script
async def replay(
    redis: Client, *, dead: Key, source: Key, letter: str, fields: Sequence[Arg]
) -> Literal["replayed", "gone"]: ...


@script
async def replay_message(
    redis: Client, *, dead: Key, source: Key, letter: str, message: bytes
) -> Literal["replayed", "gone"]: ...


@script
async def archive(redis: Client, *, records: Key, archived: Key, items: Sequence[bytes]) -> int: ...


@script
async def forget(
    redis: Client,
    *,
    records: Key,
    minutes: Key,
    archived: Key,
    minute: str,
    forget_at_ms: int,
    fields: int,
    shortened: int,
    sums: Sequence[Arg],
) -> Literal["early", "changed", "forgotten"]: ...


@script
async def trim(redis: Client, *, outbox: Key, backends: Key, keep_ms: int, unread_ms: int) -> int: ...


@script
async def dismiss(redis: Client, *, source: Key, group: str, idle_ms: int) -> int: ...


@script
async def take_turn(redis: Client, *, turn: Key, worker: str, life_ms: int) -> Literal["mine", "another's"]: ...


@script
async def set_aside(
    redis: Client, *, wheel: Key, member: str | bytes, at_ms: int, parts: Sequence[Arg]
) -> Literal["gone", "set aside"]: ...


@script
async def open_group(redis: Client, *, source: Key, group: str, make: int) -> Literal["open", "none"]: ...


@script
async def start_reading(
    redis: Client, *, readers: Key, reader: str, readers_max: int, life_ms: int
) -> Literal["reading", "full"]: ...


@script
async def count_list(
    redis: Client,
    *,
    count: Key,
    cents: Key,
    amount: Key,
    counters: Key,
    dead: Key,
    ks: Sequence[Key],
    minutes: int,
    dead_max: int,
    source: str,
    items: Sequence[Arg],
) -> int: ...


@script
async def now(redis: Client, *, payments: Key) -> int: ...


@script
async def read_books(
    redis: Client, *, accounts: Key, counters: Key, archived: Key, count: Key, cents: Key, amount: Key
) -> list[Any]: ...


@script
async def send_away(
    redis: Client, *, accounts: Key, leaving: Key, movements: Key, ispb: str, to: int, amount_cents: int
) -> list[bytes]: ...


@script
async def take_in(
    redis: Client,
    *,
    accounts: Key,
    arrived: Key,
    movements: Key,
    ispb: str,
    origin: int,
    number: int,
    amount_cents: int,
) -> Literal["repeat", "done"]: ...


@script
async def has_arrived(
    redis: Client, *, leaving: Key, ispb: str, to: int, number: int, amount_cents: int
) -> Literal["past", "done"]: ...


@script
async def suspend(redis: Client, *, accounts: Key, ispb: str, active: int) -> Literal["unknown", "done"]: ...
