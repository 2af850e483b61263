"""Dead letters: list, show, replay, drop."""

from typing import Annotated

from typer import Argument, Option, Typer, echo

from lastro.pix.engine import letters
from lastro.pix.engine.letters import PAGE_MAX, Letter
from lastro.pix.engine.pix import Pix

from .act import act, show

app = Typer(no_args_is_help=True, help="What nobody could process: list, show, replay, drop.")


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
def show_letter(letter_id: str) -> None:
    """One dead letter with the fields it came with."""
    show(act(lambda pix: letters.letter(pix, letter_id)))


@app.command("replay")
def replay(
    letter_id: Annotated[str, Argument(help="id of the letter, or all")],
) -> None:
    """Put a dead letter back into its stream; a payment that was settled meanwhile is recognised and not paid again."""

    async def put_back(pix: Pix) -> int:
        if letter_id != "all":
            return int(await letters.replay(pix, letter_id))
        done, after = 0, "-"
        while page := await letters.letters(pix, after=after, count=PAGE_MAX):
            for letter in page:
                done += not letter.cut_off and await letters.replay(pix, letter.id)
            after = page[-1].id
        return done

    echo(f"{act(put_back)} replayed")


@app.command("drop")
def drop(letter_id: str) -> None:
    """Throw a dead letter away."""
    act(lambda pix: letters.drop(pix, letter_id))
    echo("dropped")


def _line(letter: Letter) -> str:
    cut = " (cut off)" if letter.cut_off else ""
    return f"{letter.id}  {letter.code}  {letter.reason}  from {letter.source} {letter.entry_id}{cut}"
