"""One typed stub per ``.lua`` file of this folder."""

from typing import Literal

from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script


@script
async def submit(
    redis: Client, *, payment: Key, stream: Key, end_to_end_id: str, amount_cents: int, remember_seconds: int
) -> Literal["ok", "again", "differs"]: ...
