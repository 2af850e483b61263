"""One typed stub per ``.lua`` file of this folder."""

from typing import Literal

from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script


@script
async def put(
    redis: Client, *, api_keys: Key, key_id: str, before: bytes, after: bytes, keys_max: int
) -> Literal["changed", "full", "ok"]: ...
