"""A wait that can be ended from outside."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

Answer = TypeVar("Answer")


async def unless(interrupted: asyncio.Event, asked: Coroutine[Any, Any, Answer]) -> Answer | None:
    """What it answers; None, and it is cancelled, when the event comes first."""
    asking, stop = asyncio.create_task(asked), asyncio.create_task(interrupted.wait())
    try:
        await asyncio.wait({asking, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
        asking.cancel()  # unless it is done
    with suppress(asyncio.CancelledError):
        return await asking
    return None
