"""Coupons in the demo: 100,000 clients at 1,000 coupons; every rule is checked by what they saw and what is stored."""

from lastro.core.acts import Act, Result, Stage
from lastro.coupons.engine import Coupons
from lastro.coupons.settings import CouponsSettings

from .load import Crowd
from .rush import rush

EVENT = "demo"
CLIENTS = 100_000
COUPONS = 1_000


async def play(stage: Stage) -> Result:
    """One rush."""
    coupons = Coupons(stage.hub, CouponsSettings.read())
    crowd = Crowd(event_id=EVENT, targets=(stage.url,), attempts=CLIENTS, users=CLIENTS)
    try:
        report = await rush(coupons, crowd, COUPONS, alone=False, told=stage.told)
    finally:
        await coupons.aclose()
    won = report.statuses.get(201, 0) + report.statuses.get(200, 0)
    return Result(
        done=CLIENTS,
        unit="clients",
        notes=f"{won:,} of {COUPONS:,} coupons, p99 {report.p99_ms:.1f} ms",
        wrong=tuple(report.broken),
    )


ACT = Act(what="coupons: a crowd at a thousand coupons", steps=CLIENTS, play=play)
