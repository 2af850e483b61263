"""The twelve rules of an event, checked from outside: by what the crowd saw, by Redis, and by the database."""

from collections import Counter
from dataclasses import dataclass

from lastro.core.streams import AGAIN
from lastro.coupons.engine import Coupons
from lastro.coupons.engine.outbox import entries, outbox
from lastro.coupons.engine.reconcile import reconcile, stored, winners
from lastro.coupons.model.event import Event
from lastro.coupons.model.issuance import Issuance
from lastro.coupons.simulator.load import Crowd, Seen, issuance_ids

PER_WINNER_BYTES = 600  # hash and stream, Redis 7 and Valkey 9; the reference measured 187 for both
FIXED_BYTES = 1_000_000  # connections, buffers, scripts
NAMED_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What there is to look at."""

    coupons: Coupons
    crowd: Crowd
    seen: Seen
    samples: list[str]
    redis_bytes: int


async def broken(evidence: Evidence) -> list[str]:
    """A sentence for each rule that did not hold."""
    coupons, event_id = evidence.coupons, evidence.crowd.event_id
    event = await coupons.event(event_id)
    rows = [row.issuance for row in await stored(coupons, event_id)]
    won = await winners(coupons, event_id)
    found = _by_the_crowd(evidence, event)
    found += _by_the_database(evidence, event, rows)
    found += [f"I6 another coupon after the fact: {name}" for name in _changed(evidence.seen, won)]
    told = [fields async for _, fields in entries(outbox(coupons.hub, event_id))]
    produced = sum(b"winner" in fields and AGAIN not in fields for fields in told)  # a failed try is told again
    dead = (await outbox(coupons.hub, event_id).members.measure()).dead
    if produced != len(rows):  # a dead letter is no longer among the entries
        found.append(f"I9 {produced + dead} entries, {len(rows)} rows and {dead} dead letters")
    await reconcile(coupons, event_id, apply=True)
    second = await reconcile(coupons, event_id, apply=True)
    if second.actions or second.findings:
        found.append(f"I11 the second reconciliation found {len(second.findings)} and did {second.actions}")
    return found


def _by_the_crowd(evidence: Evidence, event: Event) -> list[str]:
    seen, found = evidence.seen, []
    if seen.new > event.total or len(seen.won) > event.total:
        found.append(f"I1 {len(seen.won)} winners, {seen.new} times 201, of {event.total}")
    enough = min(event.total, evidence.crowd.users)
    if event.issued != enough and not seen.unknown:
        found.append(f"I1 {event.issued} issued, not {enough}")
    if not seen.again and seen.new != enough:
        found.append(f"I1 {seen.new} times 201, not {enough}, and nothing was ever repeated")
    if seen.differing:
        found.append(f"I2, I6 another coupon for {_some(seen.differing)}")
    if evidence.samples:
        found.append(f"I5 {len(evidence.samples)} times: {_some(evidence.samples)}")
    if seen.last_win_started > seen.first_sold_out:
        found.append(f"I10 won {seen.last_win_started - seen.first_sold_out:.4f} s after somebody heard sold out")
    bound = FIXED_BYTES + PER_WINNER_BYTES * event.issued
    if evidence.redis_bytes > bound:
        found.append(f"I12 Redis grew by {evidence.redis_bytes} bytes, more than {bound}")
    return found


def _by_the_database(evidence: Evidence, event: Event, rows: list[Issuance]) -> list[str]:
    acknowledged = issuance_ids(evidence.seen)
    ids = {one.issuance_id for one in rows}
    found = []
    if lost := [user for user, id_ in acknowledged.items() if id_ not in ids]:
        found.append(f"I3 acknowledged and not in the database: {_some(lost)}")
    known = set(acknowledged.values())
    unknown = set(evidence.seen.unknown)
    if strange := [one.user_id for one in rows if one.issuance_id not in known and one.user_id not in unknown]:
        found.append(f"I4 in the database and told to nobody: {_some(strange)}")
    per_user = Counter(one.user_id for one in rows)
    if many := [user for user, count in per_user.items() if count > event.plan.per_user_limit]:
        found.append(f"I2 too many coupons: {_some(many)}")
    distinct = {len(rows), len(ids), len({one.code for one in rows}), len({one.seq for one in rows})}
    if len(distinct) != 1 or (event.epoch == 1 and {one.seq for one in rows} != set(range(1, len(rows) + 1))):
        found.append(f"I7 {len(rows)} rows, not as many ids, codes and numbers, or a gap among them")
    ends_ms = event.plan.ends_ms or float("inf")
    if outside := [one.user_id for one in rows if not event.plan.starts_ms <= one.issued_ms < ends_ms]:
        found.append(f"I8 outside the window: {_some(outside)}")
    return found


def _changed(seen: Seen, won: dict[str, Issuance]) -> list[str]:
    told = issuance_ids(seen)
    return [user for user, id_ in told.items() if id_ not in won or won[id_].user_id != user][:NAMED_MAX]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return f"{', '.join(names[:NAMED_MAX])}{more}"
