"""One typed stub per ``.lua`` file of this folder."""

from typing import Literal

from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script


@script
async def accept(
    redis: Client, *, payment: Key, queue: Key, correlation_id: str, amount_cents: int, remember_seconds: int
) -> Literal["ok", "again", "differs"]: ...
