"""Reservations that end by time: whether each is where the worker looks for it, and nothing else is there."""

from struct import Struct

from lastro.ledger import keys
from lastro.ledger.engine.replay import Id, decimal
from lastro.ledger.model.stored import PENDING, PLACE_BYTES, place_and_status

from .look import KEYS, Look

_MEMBER = Struct(">Q6s")
"""Of the sorted set: when it expires, in nanoseconds, and its place in the log; so they are in order."""


async def compare_expiries(look: Look) -> None:
    """What waits for its time by the log, with the sorted set and the next expiry; also while traffic runs.

    A reservation is in the set from its creation until it is settled, and the next expiry is never later than it. So
    whatever is pending by its key, read last, was in the set before that, and the state's expiry was not after it.
    """
    waiting = {
        _MEMBER.pack(held.due, held.place.to_bytes(PLACE_BYTES, "big")): each
        for each, held in look.replay.pending.items()
        if held.due
    }
    await _strangers(look, waiting)
    members = list(waiting)
    for start in range(0, len(members), KEYS):
        await _missing(look, {member: waiting[member] for member in members[start : start + KEYS]})


async def _missing(look: Look, waiting: dict[bytes, Id]) -> None:
    """Those that are pending and would never expire."""
    state = await look.state()
    scores = await look.client.zmscore(keys.expiries(look.name), list(waiting))
    said = await look.said(list(waiting.values()))
    for (member, each), score, value in zip(waiting.items(), scores, said, strict=True):
        due, _ = _MEMBER.unpack(member)
        if place_and_status(value)[1] != PENDING:
            continue
        if score is None:
            look.find(f"transfer {decimal(each)} is pending until {due}, and not among the expiries")
        elif score != float(due):
            look.find(f"transfer {decimal(each)} is pending until {due}, and among the expiries at {score:.0f}")
        if state is None or not 0 < state.due <= due:
            next_due = 0 if state is None else state.due
            look.find(f"transfer {decimal(each)} is pending until {due}, and the state's next expiry is {next_due}")


async def _strangers(look: Look, waiting: dict[bytes, Id]) -> None:
    """What the worker would release although nothing is reserved, among what the replay has come by."""
    replayed, cursor = look.replay.place, 0
    while True:
        cursor, page = await look.client.zscan(keys.expiries(look.name), cursor, count=KEYS)
        for member, _ in page:
            place = int.from_bytes(member[8:], "big")
            if len(member) != _MEMBER.size or (place < replayed and member not in waiting):
                look.find(f"place {place} of the log is among the expiries, and nothing there is pending until then")
        if cursor == 0:
            return
