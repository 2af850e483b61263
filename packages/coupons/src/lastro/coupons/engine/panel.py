"""What the monitor shows of coupons: the events that are not settled, a few commands each."""

import asyncio
from dataclasses import dataclass

from lastro.core.panels import Panel
from lastro.core.redis import Hub
from lastro.core.streams import Measure
from lastro.coupons import keys, scripts
from lastro.coupons.model.event import Event

from .outbox import outbox
from .stored import event_of

SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class _Shown:
    event: Event
    measure: Measure


async def panel(hub: Hub) -> Panel:
    """At this moment."""
    live = sorted(event_id.decode() for event_id in await hub.read.hkeys(keys.LIVE))  # type: ignore[union-attr]  # bytes
    settled = int(await hub.read.get(keys.SETTLED) or 0)
    shown = [one for one in await asyncio.gather(*(_look(hub, event_id) for event_id in live)) if one is not None]
    problems = [f"{one.event.plan.event_id} does not add up" for one in shown if not _well(one.event)]
    problems += [f"{one.event.plan.event_id} is being recovered" for one in shown if one.event.stored == "recovering"]
    return Panel(
        done=settled + sum(one.event.issued for one in shown),
        unit="issued",
        backlog=sum(one.measure.lag + one.measure.pending + one.measure.delayed for one in shown),
        oldest_seconds=max((one.measure.oldest_seconds for one in shown), default=0.0),
        dead=sum(one.measure.dead for one in shown),
        rows=tuple((one.event.plan.event_id, _row(one.event)) for one in shown[:SHOWN_MAX]),
        problems=tuple(problems),
    )


async def _look(hub: Hub, event_id: str) -> _Shown | None:
    told = await scripts.look(
        hub.read,
        meta=keys.meta(event_id),
        stock=keys.stock(event_id),
        participants=keys.participants(event_id),
        returned=keys.returned(event_id),
    )
    if len(told) == 4:  # noqa: PLR2004  # nothing of meta came after
        return None
    return _Shown(event_of(event_id, told), await outbox(hub, event_id).members.measure())


def _well(event: Event) -> bool:
    return event.stored == "recovering" or event.adds_up


def _row(event: Event) -> str:
    return f"{event.state}, {max(0, event.stock):,} of {event.total:,} left"
