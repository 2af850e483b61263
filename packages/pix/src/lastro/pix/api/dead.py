"""Dead letters: list, show, replay, discard."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from lastro.core.docs import Replayed, refuses
from lastro.pix.engine import letters
from lastro.pix.errors import LetterCutOff, NoSuchLetter

from .request import Engine, reply

router = APIRouter(prefix="/dead")


@router.get("", response_model=list[letters.Letter])
async def list_letters(
    pix: Engine,
    after: Annotated[str, Query(pattern="^(-|[0-9]{1,15}-[0-9]{1,15})$")] = "-",
    count: Annotated[int, Query(ge=1, le=letters.PAGE_MAX)] = 100,
) -> Response:
    """A page, oldest first; ``after`` the last id of the page before."""
    return reply(await letters.letters(pix, after=after, count=count))


@router.get("/{letter_id}", response_model=letters.Letter, responses=refuses(NoSuchLetter))
async def show(letter_id: str, pix: Engine) -> Response:
    """One dead letter with the fields it came with."""
    return reply(await letters.letter(pix, letter_id))


@router.post("/{letter_id}/replay", response_model=Replayed, responses=refuses(NoSuchLetter, LetterCutOff))
async def replay(letter_id: str, pix: Engine) -> Response:
    """Put it back into its stream."""
    return reply({"replayed": await letters.replay(pix, letter_id)})


@router.delete("/{letter_id}", status_code=204, responses=refuses(NoSuchLetter))
async def discard(letter_id: str, pix: Engine) -> None:
    """Throw it away."""
    await letters.discard(pix, letter_id)
