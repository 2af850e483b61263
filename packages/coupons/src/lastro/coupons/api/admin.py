"""For operators: reconciliation, recovery."""

from fastapi import APIRouter
from pydantic import Field

from lastro.core.docs import refuses
from lastro.coupons.engine.reconcile import reconcile
from lastro.coupons.engine.recover import recover
from lastro.coupons.errors import EventOver, TooManyEvents, UnknownEvent

from .answers import CouponEvent, Reconciled
from .engine import Body, Engine
from .events import UNKNOWN, EventId, shown

router = APIRouter(prefix="/admin")


class Wanted(Body):
    """What to reconcile."""

    event_id: EventId
    apply: bool = Field(False, description="repair; without it nothing is changed")


class Which(Body):
    """What to recover."""

    event_id: EventId


@router.post("/reconciliations", responses=UNKNOWN)
async def reconciliation(body: Wanted, coupons: Engine) -> Reconciled:
    """Compare Redis and the database, both ways; with ``apply`` repair."""
    report = await reconcile(coupons, body.event_id, apply=body.apply)
    return Reconciled(
        event_id=report.event_id,
        findings=[str(finding) for finding in report.findings],
        actions=report.actions,
        applied=report.applied,
        left=[str(finding) for finding in report.left],
    )


@router.post("/recoveries", responses=refuses(UnknownEvent, EventOver, TooManyEvents))
async def recovery(body: Which, coupons: Engine) -> CouponEvent:
    """After a failover or a loss: Redis learns every winner that the database knows, in a new epoch."""
    return shown(await recover(coupons, body.event_id))
