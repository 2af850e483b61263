"""Answers for one backend: pulled as the SPI's interface has it (start, next, delete), or as server-sent events.

The address in ``PI-Pull-Next`` ends in the reader and the page it came with: who asks there has that page. Asked twice,
because the reply was lost, it gives the same messages again. Who accepts ``multipart/mixed`` has each message as the
SPI's own envelope.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from lastro.core.docs import Described, Responses, media, refuses
from lastro.core.errors import Busy, Invalid
from lastro.pix.engine import outbox
from lastro.pix.engine.intake import backend
from lastro.pix.engine.pix import Pix
from lastro.pix.errors import NoSuchReader, TooManyReaders
from lastro.pix.model import iso20022

from .request import WAIT_SECONDS_MAX, Engine, reply

router = APIRouter(prefix="/out")

Wait = Annotated[float, Query(ge=0, le=WAIT_SECONDS_MAX, description="seconds to wait for the first message")]
EVENT_WAIT_SECONDS = 1.0
FOLLOWERS_MAX = 100
"""Event streams in one process: each looks at its outbox twenty times a second. One more hears 503."""
PARTS = "multipart/mixed"
ADDRESS = {"PI-Pull-Next": {"description": "acknowledges these, and has the next", "schema": {"type": "string"}}}
MESSAGES: Described = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"resource_id": {"type": "string", "description": "stable: a repeat is known by it"}},
        "required": ["resource_id"],
        "additionalProperties": {"type": "string"},
    },
}
PULLED: Responses = {
    200: {
        "description": "At most ten messages; as the SPI's envelopes, pacs.008, pacs.002 and pacs.004, where "
        f"`Accept` names `{PARTS}`.",
        "headers": ADDRESS,
        "content": {"application/json": {"schema": MESSAGES}, PARTS: {"schema": {"type": "string"}}},
    },
    204: {"description": "None came in time.", "headers": ADDRESS},
}
EVENT_ID = re.compile(r"\d{1,15}(-\d{1,15})?", re.ASCII)


@router.get("/{backend_id}/start", response_class=Response, responses=PULLED | refuses(TooManyReaders))
async def start(request: Request, backend_id: str, pix: Engine, wait: Wait = 5) -> Response:
    """Begin to read: the first messages, and in ``PI-Pull-Next`` where the next ones are."""
    backend(backend_id)
    reader = uuid4().hex
    await outbox.start(pix, backend_id, reader)
    return await _pulled(request, pix, backend_id, (reader, ""), wait)


@dataclass(slots=True)
class Followers:
    """Of this process."""

    now: int = 0


@router.get(
    "/{backend_id}/events",
    response_class=StreamingResponse,
    responses=media("text/event-stream") | refuses(Busy),
)
async def events(
    request: Request, backend_id: str, pix: Engine, last_event_id: Annotated[str, Header()] = "$"
) -> StreamingResponse:
    """Every answer as an event, from ``Last-Event-ID`` on, or from now."""
    backend(backend_id)
    if last_event_id != "$" and not EVENT_ID.fullmatch(last_event_id):
        raise Invalid(field="Last-Event-ID", reason="not the id of an event")
    if pix.hub.one(Followers, Followers).now >= FOLLOWERS_MAX:
        raise Busy
    return StreamingResponse(_followed(request, pix, backend_id, last_event_id), media_type="text/event-stream")


@router.get("/{backend_id}/{place}", response_class=Response, responses=PULLED | refuses(NoSuchReader, TooManyReaders))
async def pull(request: Request, backend_id: str, place: str, pix: Engine, wait: Wait = 5) -> Response:
    """Acknowledge the messages that came with this address, and the next ones; 204 when none came in time."""
    backend(backend_id)
    return await _pulled(request, pix, backend_id, _reader_and_page(place), wait)


@router.delete("/{backend_id}/{place}", status_code=204)
async def stop(backend_id: str, place: str, pix: Engine) -> None:
    """Acknowledge the messages that came with this address, and leave."""
    backend(backend_id)
    reader, got = _reader_and_page(place)
    await outbox.stop(pix, backend_id, reader, got=got)


def _reader_and_page(place: str) -> tuple[str, str]:
    reader, _, got = place.partition(".")
    return reader, got


async def _pulled(request: Request, pix: Pix, backend_id: str, place: tuple[str, str], wait: float) -> Response:
    reader, got = place
    page = await outbox.pull(pix, backend_id, reader, got=got, wait_seconds=wait)
    path = request.url.path.rpartition("/")[0]
    headers = {"PI-Pull-Next": f"{path}/{reader}.{page.name}"}
    if not page.messages:
        return Response(status_code=204, headers=headers)
    if PARTS in request.headers.get("accept", ""):
        mark = f"lastro-{page.name}"
        return Response(_parts(page, backend_id, mark), headers=headers, media_type=f'{PARTS}; boundary="{mark}"')
    return reply([{"resource_id": message.id, **message.fields} for message in page.messages], headers=headers)


def _parts(page: outbox.Page, backend_id: str, mark: str) -> bytes:
    """Each message as an envelope; as JSON if it is of the original system, which had none."""
    parts = []
    for message in page.messages:
        xml = iso20022.render(message.fields, to=backend_id, entry_id=message.id)
        kind, body = ("xml", xml) if xml else ("json", msgspec.json.encode(message.fields))
        head = f"--{mark}\r\nContent-Type: application/{kind}\r\nPI-ResourceId: {message.id}\r\n\r\n"
        parts.append(head.encode() + body)
    return b"\r\n".join([*parts, f"--{mark}--\r\n".encode()])


async def _followed(request: Request, pix: Pix, backend_id: str, after: str) -> AsyncIterator[bytes]:
    followers = pix.hub.one(Followers, Followers)
    followers.now += 1
    try:
        async for event in _events(request, pix, backend_id, after):
            yield event
    finally:
        followers.now -= 1


async def _events(request: Request, pix: Pix, backend_id: str, after: str) -> AsyncIterator[bytes]:
    if after == "$":
        after = await outbox.last_id(pix, backend_id)
    while not (request.app.state.stopping.is_set() or await request.is_disconnected()):
        try:
            messages = await outbox.read(pix, backend_id, after, wait_seconds=EVENT_WAIT_SECONDS)
        except Busy:
            yield b"event: busy\ndata: {}\n\n"
            return
        for message in messages:
            after = message.id
            yield b"id: %b\ndata: %b\n\n" % (after.encode(), msgspec.json.encode(message.fields))
        if not messages:
            yield b": nothing new\n\n"
