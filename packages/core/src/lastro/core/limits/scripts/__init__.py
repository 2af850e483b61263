"""One typed stub per ``.lua`` file of this folder."""

from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script


@script
async def take(redis: Client, *, limit: Key, interval_us: int, burst: int, cost: int) -> list[int]: ...
