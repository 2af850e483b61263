"""One typed stub per ``.lua`` file of this folder."""

from typing import Literal

from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script


@script
async def open_event(redis: Client, *, stock: Key, total: int) -> Literal["ok", "exists"]: ...


@script
async def issue(redis: Client, *, stock: Key, participants: Key, events: Key, user_id: str) -> int: ...
