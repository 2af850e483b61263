"""Dead letters: list, show, replay, discard."""

from typing import Annotated

from typer import Argument, Option, Typer, echo

from lastro.core.streams.letters import PAGE_MAX, line, shown
from lastro.coupons.engine import Coupons, letters

from .act import AsJson, EventId, act, show

app = Typer(no_args_is_help=True, help="What the database refuses: list, show, replay, discard.")
LetterId = Annotated[str, Argument(help="id of the letter")]
LetterIds = Annotated[str, Argument(help="id of the letter, or all")]


@app.command("list")
def list_letters(
    event_id: EventId,
    after: Annotated[str, Option(help="the last id of the page before")] = "",
    count: Annotated[int, Option(min=1, max=PAGE_MAX)] = 50,
    as_json: AsJson = False,  # noqa: FBT002
) -> None:
    """Dead letters of an event, oldest first."""
    found = act(lambda coupons: letters.letters(coupons, event_id, after=after, count=count), database=False)
    if as_json:
        show([shown(letter) for letter in found])
        return
    for letter in found:
        echo(line(letter))


@app.command("show")
def show_letter(event_id: EventId, letter_id: LetterId) -> None:
    """One dead letter with the fields it came with."""
    show(shown(act(lambda coupons: letters.letter(coupons, event_id, letter_id), database=False)))


@app.command()
def replay(event_id: EventId, letter_id: LetterIds) -> None:
    """Put dead letters back, to be written into the database."""

    async def put_back(coupons: Coupons) -> int:
        return await letters.replay(coupons, event_id, await _chosen(coupons, event_id, letter_id))

    echo(f"{act(put_back)} replayed")


@app.command()
def discard(event_id: EventId, letter_id: LetterIds) -> None:
    """Throw dead letters away; the database keeps a note."""

    async def throw_away(coupons: Coupons) -> int:
        return await letters.discard(coupons, event_id, await _chosen(coupons, event_id, letter_id))

    echo(f"{act(throw_away)} discarded")


async def _chosen(coupons: Coupons, event_id: str, letter_id: str) -> list[str]:
    """Of all those that are there now. Raises UnknownEvent, UnknownLetter."""
    if letter_id != "all":
        return [(await letters.letter(coupons, event_id, letter_id)).id.decode()]
    await letters.letters(coupons, event_id, count=1)
    return [letter.id.decode() async for page in letters.pages(coupons, event_id) for letter in page]
