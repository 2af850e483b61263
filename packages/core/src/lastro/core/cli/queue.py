"""``lastro queue``: what waits, what is dead, and what to do about it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec.structs
from typer import Argument, Option, Typer, echo

from lastro.core.errors import Invalid, NotFound
from lastro.core.keys import QUEUES
from lastro.core.queue import Queue, open_queue
from lastro.core.redis import Hub, connect
from lastro.core.settings import Settings
from lastro.core.streams.letters import LETTER_ID, PAGE_MAX, DeadLetter, line, shown

app = Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The queues: list them, and their dead letters.",
)
dead = Typer(no_args_is_help=True, help="What nobody could process: list, show, replay, discard.")
app.add_typer(dead, name="dead")
Answer = TypeVar("Answer")
Name = Annotated[str, Argument(help="as `lastro queue list` has it")]
LetterId = Annotated[str, Argument(help="as `lastro queue dead list` has it")]
LetterIds = Annotated[str, Argument(help="as `lastro queue dead list` has it, or all")]
AsJson = Annotated[bool, Option("--json", help="for scripts")]
Act: TypeAlias = Callable[[Queue], Callable[[Sequence[bytes]], Awaitable[int]]]


class UnknownQueue(NotFound):
    """No worker ever tended a queue {name!r} here; `lastro queue list` has those that are known."""

    code = "queue.unknown"


class UnknownLetter(NotFound):
    """The queue {queue} has no dead letter {letter_id}."""

    code = "queue.unknown_letter"


@app.command("list")
def list_queues(as_json: AsJson = False) -> None:  # noqa: FBT002  # a flag
    """Every queue that a worker tends, and how it is doing."""
    if as_json:
        echo(json.dumps({name: msgspec.structs.asdict(told) for name, told in _run(_measures)}))
        return
    echo(f"{'queue':40} {'lag':>9} {'pending':>9} {'delayed':>9} {'dead':>9} {'oldest':>9}")
    for name, told in _run(_measures):
        row = (told.lag, told.pending, told.delayed, told.dead)
        echo(f"{name:40} {' '.join(f'{count:9,}' for count in row)} {told.oldest_seconds:8.1f}s")


@dead.command("list")
def list_letters(
    name: Annotated[str | None, Argument(help="as `lastro queue list` has it; without it, of every queue")] = None,
    after: Annotated[str, Option(help="the last id of the page before; of one queue")] = "",
    count: Annotated[int, Option(help="of each queue", min=1, max=PAGE_MAX)] = 50,
    as_json: AsJson = False,  # noqa: FBT002  # a flag
) -> None:
    """Dead letters, oldest first: id, reason, deliveries, times, error, fields; of every queue after its name."""
    if after and not name:
        raise Invalid(field="--after", reason="of which queue? name it")
    if after and not LETTER_ID.fullmatch(after):
        raise Invalid(field="--after", reason="no id of a dead letter")

    async def look(hub: Hub) -> dict[str, list[DeadLetter]]:
        found = {}
        for each in [name] if name else sorted(await _known(hub)):
            async with await _queue(hub, each) as queue:
                found[each] = await queue.letters(count=count, after=after.encode())
        return found

    found = _run(look)
    if as_json:
        told = {each: [asdict(shown(letter)) for letter in letters] for each, letters in found.items()}
        echo(json.dumps(told[name] if name else told))
        return
    for each, letters in found.items():
        for letter in letters:
            echo(line(letter) if name else f"{each}  {line(letter)}")


@dead.command("show")
def show_letter(name: Name, letter_id: LetterId) -> None:
    """One dead letter with the fields it came with."""

    async def look(hub: Hub) -> DeadLetter:
        async with await _queue(hub, name) as queue:
            return await _letter(queue, letter_id)

    echo(json.dumps(asdict(shown(_run(look))), indent=2))


@dead.command()
def replay(name: Name, letter_id: LetterIds) -> None:
    """Publish dead letters anew, as they were, with no delivery counted."""
    echo(f"{_run(lambda hub: _settle(hub, name, letter_id, lambda queue: queue.replay))} replayed")


@dead.command()
def discard(name: Name, letter_id: LetterIds) -> None:
    """Delete dead letters for good."""
    echo(f"{_run(lambda hub: _settle(hub, name, letter_id, lambda queue: queue.discard))} discarded")


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


async def _letter(queue: Queue, letter_id: str) -> DeadLetter:
    found = await queue.letter(letter_id.encode())
    if found is None:
        raise UnknownLetter(queue=queue.name, letter_id=letter_id)
    return found


async def _settle(hub: Hub, name: str, letter_id: str, act: Act) -> int:
    """How many were there. All of them page by page: what dies meanwhile is not of this call."""
    async with await _queue(hub, name) as queue:
        settle = act(queue)
        if letter_id != "all":
            return await settle([(await _letter(queue, letter_id)).id])
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
