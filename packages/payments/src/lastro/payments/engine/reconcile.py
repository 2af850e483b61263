"""Whether the records, the books and the totals of payments say the same.

Safe while traffic runs: what is found is looked at again, and only what stays wrong is told.
"""

from collections import defaultdict
from typing import Any

from lastro.payments.model import PROCESSORS

from . import PAGE_MAX, Payments

LOOKS = 3


async def reconcile(payments: Payments) -> list[str]:
    """A sentence for each payment or total that is wrong; the same in each of LOOKS looks."""
    found = set(await _look(payments))
    for _ in range(LOOKS - 1):
        if not found:
            break
        found &= set(await _look(payments))
    return sorted(found)


async def _look(payments: Payments) -> list[str]:
    keys, read = payments.keys, payments.hub.read
    waiting: list[Any] = await read.lrange(keys.queue, 0, -1)
    queued = {id_.decode() for id_ in waiting}
    flying: set[str] = set()
    owners: list[Any] = await read.hkeys(keys.owners)
    for owner in owners:
        members: set[Any] = await read.smembers(keys.in_flight(owner.decode()))
        flying |= {id_.decode() for id_ in members}
    booked: dict[str, str] = {}
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    async for member, at in read.zscan_iter(keys.by_date, count=PAGE_MAX):
        processor, id_, cents = member.decode().split("|")
        booked[id_] = f"done|{cents}|{processor}|{int(at)}"
        sums[processor][0] += 1
        sums[processor][1] += int(cents)
    found = []
    async for raw_id, record in read.hscan_iter(keys.known, count=PAGE_MAX):
        id_ = raw_id.decode()
        found += _wrong(id_, record.decode(), booked.pop(id_, None), queued=id_ in queued, flying=id_ in flying)
    found += [f"{id_}: in the books of a processor, but not among the records" for id_ in booked]
    totals = await payments.summary()
    for processor in PROCESSORS:
        told = [totals[processor].requests, totals[processor].amount_cents]
        if told != sums[processor]:
            found.append(f"totals of {processor}: {told[0]} payments, {told[1]} cents; its books say {sums[processor]}")
    return found


def _wrong(id_: str, record: str, booked: str | None, *, queued: bool, flying: bool) -> list[str]:
    """What of one payment contradicts itself."""
    state = record.split("|", 1)[0]
    if state == "done":
        if booked is None:
            return [f"{id_}: done, but in nobody's books"]
        return [] if record.startswith(f"{booked}|") else [f"{id_}: its record says {record}, the books say {booked}"]
    if booked is not None:
        return [f"{id_}: {state}, but in the books as {booked}"]
    if state == "queued" and not queued:
        return [f"{id_}: queued, but not in the queue"]
    if state == "in_flight" and not flying:
        return [f"{id_}: in flight, but with no owner"]
    return []
