"""``lastro queue``: what waits, what is dead, and what to do about it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Any, TypeVar

import msgspec.structs
from typer import Argument, Option, Typer, echo

from lastro.core.clock import iso
from lastro.core.errors import Invalid, NotFound
from lastro.core.keys import QUEUES
from lastro.core.queue import Queue, open_queue
from lastro.core.redis import Hub, connect
from lastro.core.settings import Settings
from lastro.core.streams.letters import PAGE_MAX, DeadLetter

app = Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The queues: list them, look at dead letters, replay or drop those.",
)
Answer = TypeVar("Answer")
Name = Annotated[str, Argument(help="as `lastro queue ls` has it")]
Ids = Annotated[list[str] | None, Argument(help="dead letters, as `lastro queue dead` has them")]
AsJson = Annotated[bool, Option("--json", help="for scripts")]
All = Annotated[bool, Option("--all", help="every dead letter of this queue")]


class UnknownQueue(NotFound):
    """No worker ever tended a queue {name!r} here; `lastro queue ls` has those that are known."""

    code = "queue.unknown"


@app.command()
def ls(as_json: AsJson = False) -> None:  # noqa: FBT002  # a flag
    """Every queue that a worker tends, and how it is doing."""
    if as_json:
        echo(json.dumps({name: msgspec.structs.asdict(told) for name, told in _run(_measures)}))
        return
    echo(f"{'queue':40} {'lag':>9} {'pending':>9} {'delayed':>9} {'dead':>9} {'oldest':>9}")
    for name, told in _run(_measures):
        row = (told.lag, told.pending, told.delayed, told.dead)
        echo(f"{name:40} {' '.join(f'{count:9,}' for count in row)} {told.oldest_seconds:8.1f}s")


@app.command()
def dead(
    name: Annotated[str | None, Argument(help="as `lastro queue ls` has it; without it, of every queue")] = None,
    count: Annotated[int, Option(help="the oldest so many", min=1)] = 50,
    as_json: AsJson = False,  # noqa: FBT002  # a flag
) -> None:
    """Dead letters: id, reason, deliveries, first and last seen, error, fields; of every queue after its name."""

    async def look(hub: Hub) -> dict[str, list[DeadLetter]]:
        found = {}
        for each in [name] if name else sorted(await _known(hub)):
            async with await _queue(hub, each) as queue:
                found[each] = await queue.letters(count=count)
        return found

    found = _run(look)
    if as_json:
        told = {each: [_told(letter) for letter in letters] for each, letters in found.items()}
        echo(json.dumps(told[name] if name else told))
        return
    for each, letters in found.items():
        for letter in letters:
            echo(_line(letter) if name else f"{each} {_line(letter)}")


def _line(letter: DeadLetter) -> str:
    """One for people."""
    fields = " ".join(
        f"{key.decode(errors='replace')}={value.decode(errors='replace')}" for key, value in letter.fields.items()
    )
    seen = f"{iso(letter.first_ms)} … {iso(letter.last_ms)}"
    return f"{letter.id.decode()} {letter.reason} after {letter.deliveries}, {seen}: {letter.error} | {fields}"


@app.command()
def replay(name: Name, ids: Ids = None, every: All = False) -> None:  # noqa: FBT002  # a flag
    """Publish dead letters anew, as they were, with no delivery counted."""
    echo(f"{_run(lambda hub: _each(hub, name, ids, every=every, act='replay'))} replayed")


@app.command()
def drop(name: Name, ids: Ids = None, every: All = False) -> None:  # noqa: FBT002  # a flag
    """Delete dead letters for good."""
    echo(f"{_run(lambda hub: _each(hub, name, ids, every=every, act='drop'))} dropped")


def _told(letter: DeadLetter) -> dict[str, Any]:
    """As JSON has it; bytes that are no text are escaped."""
    fields = {
        key.decode(errors="backslashreplace"): value.decode(errors="backslashreplace")
        for key, value in letter.fields.items()
    }
    return {
        "id": letter.id.decode(),
        "reason": letter.reason,
        "deliveries": letter.deliveries,
        "first": iso(letter.first_ms),
        "last": iso(letter.last_ms),
        "error": letter.error,
        "fields": fields,
    }


async def _known(hub: Hub) -> dict[str, str]:
    """Name → URL."""
    known: dict[bytes, bytes] = await hub.read.hgetall(QUEUES)  # type: ignore[assignment]  # bytes, as asked
    return {name.decode(): url.decode() for name, url in known.items()}


async def _measures(hub: Hub) -> list[tuple[str, Any]]:
    told = []
    for name, url in sorted((await _known(hub)).items()):
        async with aclosing(open_queue(url, hub)) as queue:
            told.append((name, await queue.measure()))
    return told


async def _queue(hub: Hub, name: str) -> "aclosing[Queue]":
    url: Any = await hub.read.hget(QUEUES, name)
    if url is None:
        raise UnknownQueue(name=name)
    return aclosing(open_queue(url.decode(), hub))


async def _each(hub: Hub, name: str, ids: list[str] | None, *, every: bool, act: str) -> int:
    """Page by page; what dies meanwhile is not of this call."""
    if bool(ids) == every:
        raise Invalid(field="ids", reason="name dead letters, or --all")
    async with await _queue(hub, name) as queue:
        return await _settle(queue, ids, act)


async def _settle(queue: Queue, ids: list[str] | None, act: str) -> int:
    settle: Callable[[list[bytes]], Awaitable[int]] = queue.replay if act == "replay" else queue.drop
    if ids:
        return await settle([id_.encode() for id_ in ids])
    left, done = (await queue.measure()).dead, 0
    while left > 0 and (page := await queue.letters(count=min(left, PAGE_MAX))):
        done += await settle([letter.id for letter in page])
        left -= len(page)
    return done


def _run(act: Callable[[Hub], Awaitable[Answer]]) -> Answer:
    async def connected() -> Answer:
        async with await connect(Settings.read()) as hub:
            return await act(hub)

    return asyncio.run(connected())
