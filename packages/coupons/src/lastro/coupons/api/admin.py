"""For operators: reconciliation, recovery, dead letters."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from lastro.core.clock import iso
from lastro.core.docs import refuses
from lastro.core.errors import NotFound
from lastro.core.streams.letters import PAGE_MAX
from lastro.coupons.engine import letters
from lastro.coupons.engine.reconcile import reconcile
from lastro.coupons.engine.recover import recover

from .engine import Body, Engine
from .events import UNKNOWN, EventId, EventPath, shown

router = APIRouter(prefix="/admin")
LETTER_ID = letters.LETTER_ID.pattern
LetterPath = Annotated[str, Path(pattern=f"^{LETTER_ID}$")]


class Wanted(Body):
    """What to reconcile."""

    event_id: EventId
    apply: bool = Field(False, description="repair; without it nothing is changed")


class Which(Body):
    """What to recover."""

    event_id: EventId


@router.post("/reconciliations", responses=UNKNOWN)
async def reconciliation(body: Wanted, coupons: Engine) -> dict[str, Any]:
    """Compare Redis and the database, both ways; with ``apply`` repair."""
    report = await reconcile(coupons, body.event_id, apply=body.apply)
    return {
        "event_id": report.event_id,
        "findings": [str(finding) for finding in report.findings],
        "actions": report.actions,
        "applied": report.applied,
        "left": [str(finding) for finding in report.left],
    }


@router.post("/recoveries", responses=UNKNOWN)
async def recovery(body: Which, coupons: Engine) -> dict[str, Any]:
    """After a failover or a loss: Redis learns every winner that the database knows, in a new epoch."""
    return shown(await recover(coupons, body.event_id))


@router.get("/dead-letters/{event_id}", responses=UNKNOWN)
async def dead(
    event_id: EventPath,
    coupons: Engine,
    after: Annotated[str, Query(pattern=f"^({LETTER_ID})?$")] = "",
    count: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
) -> list[dict[str, Any]]:
    """What could not be written, oldest first."""
    return [
        {
            "letter_id": letter.id.decode(),
            "reason": letter.reason,
            "error": letter.error,
            "deliveries": letter.deliveries,
            "first_at": iso(letter.first_ms),
            "payload": letters.payload(letter),
        }
        for letter in await letters.letters(coupons, event_id, count=count, after=after)
    ]


@router.post("/dead-letters/{event_id}/{letter_id}:replay", responses=refuses(NotFound))
async def replay(event_id: EventPath, letter_id: LetterPath, coupons: Engine) -> dict[str, int]:
    """Try it again."""
    return {"replayed": _some(await letters.replay(coupons, event_id, [letter_id]))}


@router.post("/dead-letters/{event_id}/{letter_id}:discard", responses=refuses(NotFound))
async def discard(event_id: EventPath, letter_id: LetterPath, coupons: Engine) -> dict[str, int]:
    """Throw it away; the database keeps a note."""
    return {"discarded": _some(await letters.discard(coupons, event_id, [letter_id]))}


def _some(count: int) -> int:
    if not count:
        raise NotFound
    return count
