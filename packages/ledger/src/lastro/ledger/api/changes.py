"""The change stream as server-sent events."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from lastro.core.docs import media, refuses
from lastro.ledger.engine import Ledger
from lastro.ledger.errors import ChangesGone, TooManyReaders
from lastro.ledger.model.json import change_json

from .engine import Engine

router = APIRouter()


@router.get(
    "/changes",
    response_class=StreamingResponse,
    responses=media("text/event-stream") | refuses(ChangesGone, TooManyReaders),
)
async def changes(
    request: Request, ledger: Engine, after: str = "$", last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """Every change after a position ("0" from the oldest kept, "$" from now on), as it happens.

    A browser that reconnects sends the last position it saw by itself (Last-Event-ID). 410: what followed it may have
    been trimmed; so a reader that is too slow hears, too, whose stream ends.
    """
    position = last_event_id or after
    ledger.readers.require_room()
    await ledger.kept(position)
    return StreamingResponse(_events(ledger, position, request), media_type="text/event-stream")


async def _events(ledger: Ledger, after: str, request: Request) -> AsyncIterator[str]:
    with suppress(ChangesGone, TooManyReaders):  # it will come back with the last position it saw, and be told
        async with aclosing(ledger.changes(after)) as found:
            async for change in found:
                if request.app.state.stopping.is_set():
                    return
                if change is None:
                    yield ": still here\n\n"
                else:
                    text = json.dumps(change_json(change), separators=(",", ":"))
                    yield f"id: {change.position}\nevent: {change.kind}\ndata: {text}\n\n"
