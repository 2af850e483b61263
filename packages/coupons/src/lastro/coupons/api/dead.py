"""Dead letters of an event: list, show, replay, discard."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from lastro.core.docs import Replayed, refuses
from lastro.core.streams.letters import LETTER_ID, PAGE_MAX, ShownLetter, shown
from lastro.coupons.engine import letters
from lastro.coupons.errors import UnknownEvent, UnknownLetter

from .engine import Engine
from .events import UNKNOWN, Named

router = APIRouter(prefix="/events/{event_id}/dead")
FOUND = refuses(UnknownEvent, UnknownLetter)
LetterPath = Annotated[str, Path(pattern=f"^{LETTER_ID.pattern}$")]


@router.get("", responses=UNKNOWN)
async def list_letters(
    event_id: Named,
    coupons: Engine,
    after: Annotated[str, Query(pattern=f"^({LETTER_ID.pattern})?$")] = "",
    count: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 100,
) -> list[ShownLetter]:
    """A page, oldest first; ``after`` the last id of the page before."""
    return [shown(letter) for letter in await letters.letters(coupons, event_id, count=count, after=after)]


@router.get("/{letter_id}", responses=FOUND)
async def show(event_id: Named, letter_id: LetterPath, coupons: Engine) -> ShownLetter:
    """One dead letter with the fields it came with."""
    return shown(await letters.letter(coupons, event_id, letter_id))


@router.post("/{letter_id}/replay", responses=FOUND)
async def replay(event_id: Named, letter_id: LetterPath, coupons: Engine) -> Replayed:
    """Put it back, to be written into the database."""
    await letters.letter(coupons, event_id, letter_id)
    return Replayed(replayed=bool(await letters.replay(coupons, event_id, [letter_id])))


@router.delete("/{letter_id}", status_code=204, responses=FOUND)
async def discard(event_id: Named, letter_id: LetterPath, coupons: Engine) -> None:
    """Throw it away; the database keeps a note."""
    await letters.letter(coupons, event_id, letter_id)
    await letters.discard(coupons, event_id, [letter_id])
