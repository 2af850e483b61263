"""Dead letters: list, show, replay, discard."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated

from typer import Argument, Option, Typer, echo

from lastro.pix.engine import letters
from lastro.pix.engine.letters import PAGE_MAX, Letter
from lastro.pix.engine.pix import Pix
from lastro.pix.errors import LetterCutOff, NoSuchLetter

from .act import act, show

LetterId = Annotated[str, Argument(help="id of the letter")]
LetterIds = Annotated[str, Argument(help="id of the letter, or all")]

app = Typer(no_args_is_help=True, help="What nobody could process: list, show, replay, discard.")


@app.command("list")
def list_letters(
    after: Annotated[str, Option(help="the last id of the page before")] = "-",
    count: Annotated[int, Option(min=1, max=PAGE_MAX)] = 50,
    as_json: Annotated[bool, Option("--json", help="for scripts")] = False,  # noqa: FBT002
) -> None:
    """Dead letters, oldest first."""
    found = act(lambda pix: letters.letters(pix, after=after, count=count))
    if as_json:
        show(found)
        return
    for letter in found:
        echo(_line(letter))


@app.command("show")
def show_letter(letter_id: LetterId) -> None:
    """One dead letter with the fields it came with."""
    show(act(lambda pix: letters.letter(pix, letter_id)))


@app.command()
def replay(letter_id: LetterIds) -> None:
    """Put dead letters back into their stream; a payment settled meanwhile is recognised, and not paid again."""
    echo(f"{act(lambda pix: _each(pix, letter_id, letters.replay))} replayed")


@app.command()
def discard(letter_id: LetterIds) -> None:
    """Throw dead letters away."""
    echo(f"{act(lambda pix: _each(pix, letter_id, letters.discard))} discarded")


async def _each(pix: Pix, letter_id: str, settle: Callable[[Pix, str], Awaitable[bool]]) -> int:
    """How many. Of all of them those that are there now: what dies meanwhile is not of this call."""
    if letter_id != "all":
        return int(await settle(pix, letter_id))
    ids: list[str] = []
    while page := await letters.letters(pix, after=ids[-1] if ids else "-", count=PAGE_MAX):
        ids += [letter.id for letter in page]
    done = 0
    for id_ in ids:
        with suppress(NoSuchLetter, LetterCutOff):  # somebody else was faster; or it has to be looked at by itself
            done += await settle(pix, id_)
    return done


def _line(letter: Letter) -> str:
    cut = " (cut off)" if letter.cut_off else ""
    return f"{letter.id}  {letter.code}  {letter.reason}  from {letter.source} {letter.entry_id}{cut}"
