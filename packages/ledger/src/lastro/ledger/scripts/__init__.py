"""One typed stub per ``.lua`` file of this folder."""

from typing import Literal

from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script


@script
async def create_account(redis: Client, *, account: Key, content: str) -> Literal["ok", "exists", "differs"]: ...
