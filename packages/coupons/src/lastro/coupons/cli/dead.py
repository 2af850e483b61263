"""Dead letters: list, show, replay, discard."""

from typing import Annotated

from typer import Argument, Option, Typer, echo

from lastro.core.errors import NotFound
from lastro.core.streams.letters import DeadLetter
from lastro.coupons.engine import Coupons, letters

from .act import EventId, act, show

app = Typer(no_args_is_help=True, help="What the database refuses: list, show, replay, discard.")
LetterId = Annotated[str, Argument(help="id of the letter")]


@app.command("list")
def list_letters(event_id: EventId, after: Annotated[str, Option(help="last id of the page before")] = "") -> None:
    """Dead letters of an event, oldest first."""
    for letter in act(lambda coupons: letters.letters(coupons, event_id, after=after), database=False):
        echo(f"{letter.id.decode()}  {letter.reason}  {letter.error}")


@app.command("show")
def show_letter(event_id: EventId, letter_id: LetterId) -> None:
    """One dead letter with what it holds."""
    found = act(lambda coupons: _all(coupons, event_id))
    letter = next((one for one in found if one.id.decode() == letter_id), None)
    if letter is None:
        raise NotFound
    show(
        {
            "letter_id": letter_id,
            "reason": letter.reason,
            "error": letter.error,
            "deliveries": letter.deliveries,
            "payload": letters.payload(letter),
        }
    )


@app.command()
def replay(event_id: EventId, letter_id: Annotated[str, Argument(help="id of the letter, or all")]) -> None:
    """Try it again."""
    echo(f"{act(lambda coupons: _replay(coupons, event_id, letter_id))} replayed")


@app.command()
def discard(event_id: EventId, letter_id: LetterId) -> None:
    """Throw a dead letter away; the database keeps a note."""
    echo(f"{act(lambda coupons: letters.discard(coupons, event_id, [letter_id]))} discarded")


async def _all(coupons: Coupons, event_id: str) -> list[DeadLetter]:
    return [letter async for page in letters.pages(coupons, event_id) for letter in page]


async def _replay(coupons: Coupons, event_id: str, letter_id: str) -> int:
    ids = [letter_id] if letter_id != "all" else [one.id.decode() for one in await _all(coupons, event_id)]
    return await letters.replay(coupons, event_id, ids)
