"""Carry transfers from one shard to another: on both or on neither, whoever dies on the way.

What happened is decided in one place: the reservation at home is posted or voided, once, and everything else follows.
Every step has an id derived from the transfer's and may be taken again, so that who finds a crossing half way simply
goes its whole way, and two who do so at once come to the same end. Two transfers of one id that come from two shards
into a third have the same ids there: who reserves first has the place, and the other touches only what is its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from lastro.core.clock import now_ms
from lastro.core.errors import Busy, LastroError, OutcomeUnknown
from lastro.ledger import keys
from lastro.ledger.engine import Ledger
from lastro.ledger.model.codes import TransferCode as Code
from lastro.ledger.model.crossing import Crossing, crossing_of, transit_account
from lastro.ledger.model.records import Outcome, Transfer

RECOVER_MAX = 500
"""Crossings of one shard taken up at once."""
KNOWN_MAX = 100_000
TRIES = 3
"""Transit accounts that are not there although they were just opened, for instance by a failover, are opened again."""
LOST = "a transit account is gone again"
DONE = {Code.OK, Code.EXISTS}
BURNT = {Code.DEBIT_ACCOUNT_NOT_FOUND, Code.ID_ALREADY_FAILED}
VOIDED = {*DONE, Code.PENDING_TRANSFER_ALREADY_VOIDED}
Step = Callable[[Crossing], Transfer]
log = structlog.get_logger()


@dataclass(slots=True)
class Way:
    """A crossing on its way."""

    crossing: Crossing
    began: bool = False
    """Reserved at home by us, now."""
    held: bool = False
    """Reserved away, and this one's own."""
    turned_away: Outcome | None = None
    """Told before anything was reserved."""
    refusal: Outcome | None = None
    posted: Outcome | None = None
    stuck: str = ""
    """What a step was told that nobody's step brings about, but a hand in its reservations does; it stays noted."""
    done: bool = False
    """There is nothing left to do, and no note of it."""


@dataclass(slots=True)
class Coordinator:
    """Takes crossings their way, many at once: one call per shard and step."""

    ledgers: Sequence[Ledger]
    _known: set[tuple[int, int, int]] = field(default_factory=set)
    """Pairs of shards, and the ledger number, whose transit accounts are there: at most KNOWN_MAX remembered."""

    async def carry(self, crossings: Sequence[Crossing]) -> list[Outcome]:
        """The outcome of each: reserve at home, reserve away, decide at home, follow away."""
        return [_outcome(way) for way in await self._take(crossings)]

    async def recover(self, *, older_ms: int) -> int:
        """Take up what others left half way for longer than that; how many came to their end.

        What cannot stays noted, for ``check`` to name it, and keeps nothing else from its end.
        """
        finished, before_ms = 0, now_ms() - older_ms
        for home in range(len(self.ledgers)):
            try:
                finished += await self._recover(home, before_ms)
            except Busy:
                raise
            except LastroError as error:
                log.error("cross.failed", shard=home, reason=str(error))  # noqa: TRY400  # the store's, not ours
        return finished

    async def _recover(self, home: int, before_ms: int) -> int:
        """All that one shard has noted: page after page, behind what stays."""
        finished, stuck = 0, list[str]()
        while found := await self._left(home, before_ms, len(stuck)):
            ways = await self._finish([each for each in found if each is not None])
            finished += sum(way.done for way in ways)
            stuck += [
                f"{way.crossing.hold_home.id}: {way.stuck or 'of another content'}" for way in ways if not way.done
            ]
            stuck += ["a reservation, and nothing says for whom" for each in found if each is None]
        if stuck:
            log.error("cross.stuck", shard=home, crossings=len(stuck), first=stuck[0])
        return finished

    async def _finish(self, crossings: Sequence[Crossing]) -> list[Way]:
        """Take them their way: one by one, if the store refuses something to all of them together."""
        try:
            return await self._take(crossings)
        except Busy:
            raise
        except LastroError as error:
            if len(crossings) == 1:
                return [Way(crossings[0], stuck=str(error))]
            return [way for each in crossings for way in await self._finish([each])]

    async def _left(self, home: int, before_ms: int, behind: int) -> list[Crossing | None]:
        ledger = self.ledgers[home]
        client: Any = ledger.hub.read
        found = await client.zrangebyscore(keys.crossings(ledger.name), 0, before_ms, start=behind, num=RECOVER_MAX)
        ids = [int.from_bytes(each, "little") for each in found]
        held = {each.id: each for each in await ledger.lookup_transfers(ids)}
        notes = dict(zip(ids, await ledger.metadata(ids), strict=True)) if ids else {}
        whose = [crossing_of(held[each], notes[each], home) if each in held else None for each in ids]
        return [each if each and each.away < len(self.ledgers) else None for each in whose]

    async def _take(self, crossings: Sequence[Crossing]) -> list[Way]:
        ways = [Way(each) for each in crossings]
        await self._enter(ways)
        going = [way for way in ways if way.turned_away is None]
        await self._hold_home(going)
        going = [way for way in going if way.turned_away is None]
        for way in await self._strangers(going):
            way.turned_away = _told(Code.EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT_ID)
        going = [way for way in going if way.turned_away is None]
        await self._hold_away(going)
        await self._decide(going)
        await self._follow([way for way in going if not way.stuck])
        await self._forget([way for way in going if not way.stuck])
        return ways

    async def _enter(self, ways: Sequence[Way]) -> None:
        """Open transit accounts where a payer of that ledger needs them: they are for good, and for nobody else."""
        new: dict[int, list[Way]] = {}
        for way in ways:
            if way.crossing.pair not in self._known:
                new.setdefault(way.crossing.home, []).append(way)
        pairs = set()
        for home, some in new.items():
            payers = list({way.crossing.transfer.debit_account_id for way in some})
            ledgers = {each.id: each.ledger for each in await self.ledgers[home].lookup_accounts(payers)}
            for way in some:
                transfer = way.crossing.transfer
                own = ledgers.get(transfer.debit_account_id)
                if own == transfer.ledger:
                    pairs.add(way.crossing.pair)
                elif own and transfer.ledger:  # as it is told where the transit account is there already
                    way.turned_away = _told(Code.ACCOUNTS_MUST_HAVE_THE_SAME_LEDGER)
        await self._open(pairs)

    async def _open(self, pairs: set[tuple[int, int, int]]) -> None:
        """Make sure there are transit accounts: a reservation without them would be refused for ever."""
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
        for home, away, ledger in pairs - self._known:
            for here, there in ((home, away), (away, home)):
                await self.ledgers[here].create_accounts([transit_account(ledger, there)])
            self._known |= {(home, away, ledger), (away, home, ledger)}

    def _unlearn(self, ways: Sequence[Way]) -> None:
        """Their transit accounts are not there."""
        for home, away, ledger in (way.crossing.pair for way in ways):
            self._known -= {(home, away, ledger), (away, home, ledger)}

    async def _hold_home(self, ways: Sequence[Way]) -> None:
        lost = ways
        for _ in range(TRIES):
            told = await self._step(lost, "home", lambda each: each.hold_home, crossing=True, noted=True)
            for way, each in zip(lost, told, strict=True):
                way.began = each.result == Code.OK
                way.turned_away = None if each.result in DONE else each
            # the transit account: a failover took it back, or the payer came after the look at him
            lost = [way for way, each in zip(lost, told, strict=True) if each.result == Code.CREDIT_ACCOUNT_NOT_FOUND]
            if not lost:
                return
            self._unlearn(lost)
            for way in lost:
                way.turned_away = None
            await self._enter(lost)
            lost = [way for way in lost if way.turned_away is None]
        if lost:
            raise OutcomeUnknown(reason=LOST)

    async def _hold_away(self, ways: Sequence[Way]) -> None:
        lost = ways
        for _ in range(TRIES):
            told = await self._step(lost, "away", lambda each: each.hold_away, crossing=True)
            for way, each in zip(lost, told, strict=True):
                way.held = each.result in DONE
                way.refusal = None if way.held else each
            lost = [way for way, each in zip(lost, told, strict=True) if each.result == Code.DEBIT_ACCOUNT_NOT_FOUND]
            if not lost:
                return
            self._unlearn(lost)
            await self._open({way.crossing.pair for way in lost})
        raise OutcomeUnknown(reason=LOST)

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
            elif told.result not in VOIDED:
                way.stuck = f"not voided at home, {told.status}"

    async def _follow(self, ways: Sequence[Way]) -> None:
        posted = [way for way in ways if way.posted is not None]
        settled = await self._step(posted, "away", lambda each: each.settle_away, crossing=True)
        for way, told in zip(posted, settled, strict=True):
            if told.result not in DONE:
                way.stuck = f"posted at home, away {told.status}"
        await self._undo([way for way in ways if way.posted is None])

    async def _undo(self, ways: Sequence[Way]) -> None:
        """Burn the place away, or void what is reserved there; what another transfer of this id has there stays."""
        free = [way for way in ways if not way.held]
        burnt = await self._step(free, "away", lambda each: each.burn_away)
        taken = [way for way, told in zip(free, burnt, strict=True) if told.result not in BURNT]
        for way, told in zip(taken, await self._step(taken, "away", lambda each: each.hold_away), strict=True):
            way.held = told.result in DONE  # by a slower one on the same way
        held = [way for way in ways if way.held]
        for way, told in zip(held, await self._step(held, "away", lambda each: each.release_away), strict=True):
            if told.result not in VOIDED:
                way.stuck = f"voided at home, away {told.status}"

    async def _forget(self, ways: Sequence[Way]) -> None:
        by_home: dict[int, list[bytes]] = {}
        for way in ways:
            way.done = True
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


def _told(code: Code) -> Outcome:
    return Outcome(result=code, status=code.name.lower(), timestamp=0)


def _outcome(way: Way) -> Outcome:
    if way.turned_away is not None:
        return way.turned_away
    if way.posted is not None:
        code = Code.OK if way.began else Code(way.posted.result)
        return replace(way.posted, result=code, status=code.name.lower())
    refusal = way.refusal
    assert refusal is not None
    if refusal.result == Code.PENDING_TRANSFER_ALREADY_VOIDED or not way.began:  # it failed before
        return replace(refusal, result=Code.ID_ALREADY_FAILED, status="id_already_failed")
    return refusal
