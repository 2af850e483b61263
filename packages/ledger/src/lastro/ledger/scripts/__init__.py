"""One typed stub per ``.lua`` file of this folder.

``keyspace`` has one prefix, or none for the bare one. ``options`` are bits and, if there is any, metadata: a JSON
object from an event's number (from 1) to its text.
"""

from collections.abc import Sequence
from typing import Literal

from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script

BALANCES, IMPORTS, NO_IMPORTS, CROSSING, STRICT = 1, 2, 4, 8, 16
"""Bits of ``options``: balances in the answer; a request's earlier part began with an import, or did not; these are
one side of transfers between shards (what leaves is noted, an account that closed is no hindrance to settling, and a
missing transit account burns no id); the metadata is strict JSON, its sender has looked, and the script need not."""


@script
async def create_account(
    redis: Client, *, keyspace: Sequence[Key], events: bytes | str, options: Sequence[int | bytes]
) -> bytes: ...


@script
async def create_transfer(
    redis: Client, *, keyspace: Sequence[Key], events: bytes | str, options: Sequence[int | bytes]
) -> bytes: ...


@script
async def create_chained_accounts(
    redis: Client, *, keyspace: Sequence[Key], events: bytes | str, options: Sequence[int | bytes]
) -> bytes: ...


@script
async def create_chained_transfers(
    redis: Client, *, keyspace: Sequence[Key], events: bytes | str, options: Sequence[int | bytes]
) -> bytes: ...


@script
async def lookup_account(redis: Client, *, keyspace: Sequence[Key], ids: bytes | str) -> bytes: ...


@script
async def lookup_transfer(redis: Client, *, keyspace: Sequence[Key], ids: bytes | str) -> bytes: ...


@script
async def lookup_accounts(redis: Client, *, keyspace: Sequence[Key], ids: bytes | str) -> bytes: ...


@script
async def lookup_transfers(redis: Client, *, keyspace: Sequence[Key], ids: bytes | str) -> bytes: ...


@script
async def get_account_transfers(redis: Client, *, keyspace: Sequence[Key], wanted: bytes | str) -> list[bytes]: ...


@script
async def get_account_balances(redis: Client, *, keyspace: Sequence[Key], wanted: bytes | str) -> list[bytes]: ...


@script
async def query_accounts(redis: Client, *, keyspace: Sequence[Key], wanted: bytes | str) -> list[bytes]: ...


@script
async def query_transfers(redis: Client, *, keyspace: Sequence[Key], wanted: bytes | str) -> list[bytes]: ...


@script
async def expire_transfers(redis: Client, *, keyspace: Sequence[Key]) -> int: ...


@script
async def retain_changes(redis: Client, *, keyspace: Sequence[Key], keep: int, keep_max: int, trim_max: int) -> int: ...


@script
async def drop_segment(
    redis: Client, *, keyspace: Sequence[Key], segment: int, sha1: str, restored: bytes
) -> Literal["gone", "restored", "other", "ok"]: ...


@script
async def restore_segment(
    redis: Client, *, keyspace: Sequence[Key], segment: int, records: bytes
) -> Literal["other", "ok"]: ...


@script
async def release_segment(redis: Client, *, keyspace: Sequence[Key], segment: int) -> Literal["stays", "ok"]: ...
