"""Answers that are long, page by page: while one page is looked at, the next is on its way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from lastro.core.redis import Line
from lastro.core.redis.connections import Command


async def pages(line: Line, first: Command, following: Callable[[Any], Command | None]) -> AsyncIterator[Any]:
    """The reply to ``first``, and to what ``following`` a reply is to be asked, until it says None."""
    asked = asyncio.create_task(line.send([first]))
    try:
        while True:
            (page,) = await asked
            if isinstance(page, Exception):
                raise page
            command = following(page)
            if command is not None:
                asked = asyncio.create_task(line.send([command]))
                await asyncio.sleep(0)  # it leaves before the page is looked at, and the server works meanwhile
            yield page
            if command is None:
                return
    finally:
        await asyncio.wait([asked])
