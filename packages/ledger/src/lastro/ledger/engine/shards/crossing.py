"""Carry transfers from one shard to another: on both or on neither, whoever dies on the way.

What happened is decided in one place: the reservation at home is posted or voided, once, and everything else follows.
Every step has an id derived from the transfer's and may be taken again, so that who finds a crossing half way simply
goes its whole way, and two who do so at once come to the same end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lastro.core.clock import now_ms
from lastro.ledger import keys
from lastro.ledger.engine import Ledger
from lastro.ledger.model.codes import TransferCode as Code
from lastro.ledger.model.crossing import Crossing, crossing_of, transit_account
from lastro.ledger.model.records import Outcome, Transfer

RECOVER_MAX = 500
"""Crossings of one shard taken up at once."""
DONE = {Code.OK, Code.EXISTS}
Step = Callable[[Crossing], Transfer]


@dataclass(slots=True)
class Way:
    """A crossing on its way."""

    crossing: Crossing
    began: bool = False
    """Reserved at home by us, now."""
    refusal: Outcome | None = None
    posted: Outcome | None = None


@dataclass(slots=True)
class Coordinator:
    """Takes crossings their way, many at once: one call per shard and step."""

    ledgers: Sequence[Ledger]
    _known: set[tuple[int, int, int]] = field(default_factory=set)
    """Pairs of shards, and the ledger number, whose transit accounts are there."""

    async def carry(self, crossings: Sequence[Crossing]) -> list[Outcome]:
        """The outcome of each: reserve at home, reserve away, decide at home, follow away."""
        await self._open({(each.home, each.away, each.transfer.ledger) for each in crossings})
        ways = [Way(each) for each in crossings]
        outcomes: dict[int, Outcome] = {}
        going = []
        for way, told in zip(ways, await self._hold_home(ways), strict=True):
            way.began = told.result == Code.OK
            if told.result in DONE:
                going.append(way)
            else:
                outcomes[id(way)] = told
        for way in await self._strangers(going):
            going.remove(way)
            code = Code.EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID
            outcomes[id(way)] = Outcome(result=code, status=code.name.lower(), timestamp=0)
        for way, told in zip(going, await self._step(going, "away", lambda each: each.hold_away), strict=True):
            way.refusal = None if told.result in DONE else told
        await self._decide(going)
        await self._follow(going)
        await self._forget(going)
        outcomes |= {id(way): _outcome(way) for way in going}
        return [outcomes[id(way)] for way in ways]

    async def recover(self, *, older_ms: int) -> int:
        """Take up what others left half way for longer than that; how many they were."""
        found = [await self._left(home, now_ms() - older_ms) for home in range(len(self.ledgers))]
        crossings = [each for some in found for each in some]
        if crossings:
            await self.carry(crossings)
        return len(crossings)

    async def _left(self, home: int, before_ms: int) -> list[Crossing]:
        ledger = self.ledgers[home]
        client: Any = ledger.hub.read
        found = await client.zrangebyscore(keys.crossings(ledger.name), 0, before_ms, start=0, num=RECOVER_MAX)
        held = await ledger.lookup_transfers([int.from_bytes(each, "little") for each in found])
        notes = await ledger.metadata([each.id for each in held]) if held else []
        return [crossing_of(each, note, home) for each, note in zip(held, notes, strict=True)]

    async def _open(self, pairs: set[tuple[int, int, int]]) -> None:
        """Make sure there are transit accounts: a reservation without them would be refused for ever."""
        for home, away, ledger in pairs - self._known:
            for here, there in ((home, away), (away, home)):
                await self.ledgers[here].create_accounts([transit_account(ledger, there)])
            self._known |= {(home, away, ledger), (away, home, ledger)}

    async def _hold_home(self, ways: Sequence[Way]) -> list[Outcome]:
        return await self._step(ways, "home", lambda each: each.hold_home, crossing=True, noted=True)

    async def _strangers(self, ways: Sequence[Way]) -> list[Way]:
        """Those whose reservation at home is for another receiver; only what was there already can be."""
        again: dict[int, list[Way]] = {}
        for way in ways:
            if not way.began:
                again.setdefault(way.crossing.home, []).append(way)
        found = []
        for home, some in again.items():
            notes = await self.ledgers[home].metadata([way.crossing.hold_home.id for way in some])
            found += [way for way, note in zip(some, notes, strict=True) if note != way.crossing.note]
        return found

    async def _decide(self, ways: Sequence[Way]) -> None:
        willing = [way for way in ways if way.refusal is None]
        for way, told in zip(
            willing, await self._step(willing, "home", lambda each: each.decide, crossing=True), strict=True
        ):
            if told.result in DONE:
                way.posted = told
            else:
                way.refusal = told
        unwilling = [way for way in ways if way.posted is None]
        for way, told in zip(
            unwilling, await self._step(unwilling, "home", lambda each: each.release_home), strict=True
        ):
            if told.result == Code.PENDING_TRANSFER_ALREADY_POSTED:  # by another who found the place free
                way.posted = replace(told, result=Code.EXISTS, status="exists")
            else:
                assert told.result in DONE | {Code.PENDING_TRANSFER_ALREADY_VOIDED}, told

    async def _follow(self, ways: Sequence[Way]) -> None:
        posted = [way for way in ways if way.posted is not None]
        for told in await self._step(posted, "away", lambda each: each.settle_away, crossing=True):
            assert told.result in DONE, told
        never = [way for way in ways if way.posted is None]
        burnt = await self._step(never, "away", lambda each: each.burn_away)
        held = [
            way
            for way, told in zip(never, burnt, strict=True)
            if told.result not in {Code.DEBIT_ACCOUNT_NOT_FOUND, Code.ID_ALREADY_FAILED}
        ]
        for told in await self._step(held, "away", lambda each: each.release_away):
            assert told.result in DONE | {Code.PENDING_TRANSFER_ALREADY_VOIDED}, told

    async def _forget(self, ways: Sequence[Way]) -> None:
        by_home: dict[int, list[bytes]] = {}
        for way in ways:
            by_home.setdefault(way.crossing.home, []).append(way.crossing.hold_home.id.to_bytes(16, "little"))
        client: Any = self.ledgers[0].hub.write
        await _all([client.zrem(keys.crossings(self.ledgers[home].name), *each) for home, each in by_home.items()])

    async def _step(
        self, ways: Sequence[Way], side: str, step: Step, *, crossing: bool = False, noted: bool = False
    ) -> list[Outcome]:
        """One step of all of them, in one request for each shard."""
        by_shard: dict[int, list[int]] = {}
        for at, way in enumerate(ways):
            by_shard.setdefault(getattr(way.crossing, side), []).append(at)

        async def one(shard: int, places: Sequence[int]) -> list[Outcome]:
            transfers = [step(ways[at].crossing) for at in places]
            notes: Mapping[int, object] | None = None
            if noted:
                notes = {number: ways[at].crossing.note for number, at in enumerate(places)}
            return await self.ledgers[shard].create_transfers(transfers, metadata=notes, crossing=crossing)

        told: dict[int, Outcome] = {}
        answers = await _all([one(shard, places) for shard, places in by_shard.items()])
        for places, some in zip(by_shard.values(), answers, strict=True):
            told.update(zip(places, some, strict=True))
        return [told[at] for at in range(len(ways))]


async def _all(acts: Sequence[Awaitable[Any]]) -> list[Any]:
    """All of them at once; the first failure, when all have come to their end."""
    if len(acts) == 1:  # most often, and a task costs more than it saves
        return [await acts[0]]
    told = await asyncio.gather(*acts, return_exceptions=True)
    for each in told:
        if isinstance(each, BaseException):
            raise each
    return told


def _outcome(way: Way) -> Outcome:
    if way.posted is not None:
        code = Code.OK if way.began else Code(way.posted.result)
        return replace(way.posted, result=code, status=code.name.lower())
    refusal = way.refusal
    assert refusal is not None
    if refusal.result == Code.PENDING_TRANSFER_ALREADY_VOIDED or not way.began:  # it failed before
        return replace(refusal, result=Code.ID_ALREADY_FAILED, status="id_already_failed")
    return refusal
