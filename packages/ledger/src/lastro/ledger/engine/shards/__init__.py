"""One ledger in several shards, each in a slot of its own: as many Redis cores as a cluster has servers.

An account lives where its id says, for good. What stays inside a shard is what it always was: one script call. What
goes from one to another is two reservations and a decision (`crossing`), about four times the work.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias, TypeVar

from lastro.core.clock import now_ms
from lastro.core.errors import Busy, Invalid, Misconfigured
from lastro.core.redis import Hub
from lastro.ledger import keys
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.check import check as recompute
from lastro.ledger.engine.requests import ACCOUNTS, TRANSFERS, cut
from lastro.ledger.errors import CannotCross, UnknownAccount, UnknownTransfer
from lastro.ledger.model.codes import QueryFilterFlag, TransferFlag
from lastro.ledger.model.crossing import TRANSIT, TRANSIT_CODE, Crossing, shard_of, stands_for, transit
from lastro.ledger.model.records import (
    LIMIT_MAX,
    U128_MAX,
    Account,
    AccountFilter,
    Balance,
    Outcome,
    QueryFilter,
    Transfer,
)
from lastro.ledger.settings import LedgerSettings

from .crossing import Coordinator

SHARDS_MAX = 1_024
WAITING_MAX = 20_000
TRIES = 3
"""The two sides are not read at once: a difference is looked at again before it is a finding."""
STUCK_MS = 600_000
"""Whoever carries a crossing, or takes it up after another's death, is done long before."""
PAGE = 1_000
Stored = TypeVar("Stored", Account, Transfer)
Event = TypeVar("Event", Account, Transfer)
Told: TypeAlias = Callable[[int, int], None]
"""Hears how many transfers a check has looked at, and how many there are."""


def nobody(done: int, total: int) -> None:
    """Hears how far a check is."""


def all_of(hub: Hub, settings: LedgerSettings) -> list[Ledger]:
    """The ledger of that name, which HTTP serves and posting writes to, and its shards if it has any."""
    names = [keys.shard(settings.name, number, settings.shards) for number in range(settings.shards)]
    return [Ledger(hub, settings), *(Ledger(hub, settings, name=name) for name in names if settings.shards > 1)]


async def check_all(hub: Hub, settings: LedgerSettings, told: Told = nobody) -> list[str]:
    """What does not add up in any of them, nor between two shards. Raises Misconfigured."""
    findings = await recompute(Ledger(hub, settings), told)
    if settings.shards > 1:
        findings += await (await Shards.open(hub, settings, settings.shards, decide=False)).check(told)
    return findings


async def unarchive_all(hub: Hub, settings: LedgerSettings) -> int:
    """Bring back for good what any of them has in the archive; how many segments. Raises Misconfigured."""
    if settings.shards > 1:
        await Shards.open(hub, settings, settings.shards, decide=False)
    return sum([await ledger.archive.unarchive() for ledger in all_of(hub, settings)])


@dataclass(slots=True)
class Shards:
    """A ledger whose accounts are spread. Make one per process with ``Shards.open``."""

    hub: Hub
    ledgers: Sequence[Ledger]
    coordinator: Coordinator
    _waiting: list[tuple[Transfer, "asyncio.Future[Outcome]"]] = field(default_factory=list)
    _carrying: "asyncio.Task[None] | None" = None

    @classmethod
    async def open(
        cls, hub: Hub, settings: LedgerSettings, shards: int, name: str = "", *, decide: bool = True
    ) -> Self:
        """Open it. Raises Misconfigured for another number of shards than it has.

        The first one decides how many those are, for good; whoever only looks at it does not ``decide``.
        """
        if not 1 <= shards <= SHARDS_MAX:
            raise Misconfigured(setting="LASTRO_LEDGER_SHARDS", reason=f"1 to {SHARDS_MAX}")
        names = [keys.shard(name or settings.name, number, shards) for number in range(shards)]
        count = keys.shards(keys.shard(name or settings.name, 0, 1))
        client: Any = hub.write
        if not (decide and await client.set(count, shards, nx=True)):
            decided = int(await client.get(count) or shards)
            if decided != shards:
                raise Misconfigured(setting="LASTRO_LEDGER_SHARDS", reason=f"it has {decided} for good")
        ledgers = [Ledger(hub, settings, name=each) for each in names]
        return cls(hub, ledgers, Coordinator(ledgers))

    def home(self, account_id: int) -> int:
        """The shard of an account."""
        return shard_of(account_id, len(self.ledgers))

    async def create_accounts(self, accounts: Sequence[Account]) -> list[Outcome]:
        """Create accounts, each where it belongs, one outcome each; linked ones must share a shard."""
        cut(accounts, ACCOUNTS.linked, LIMIT_MAX)
        for account in accounts:
            if account.id >= TRANSIT:
                raise Invalid(field="id", reason="ids from 2^128 - 2^64 on are the shards' own")
        places = self._places(accounts, [{self.home(account.id)} for account in accounts])
        told = await self._each(accounts, places, lambda shard, some: self.ledgers[shard].create_accounts(some))
        return [told[at] for at in range(len(accounts))]

    async def create_transfers(self, transfers: Sequence[Transfer]) -> list[Outcome]:
        """Create transfers, one outcome each; linked ones must share a shard.

        Those inside one shard keep their order, and so do those from one to the same other. What crosses and what does
        not runs side by side: send what spends money from another shard when that has come.

        Raises CannotCross for one between shards that is more than plain, Invalid for a chain that leaves its shard and
        for what does not fit its record; then nothing was sent.
        """
        cut(transfers, TRANSFERS.linked, LIMIT_MAX)
        sides = [self._sides(transfer) for transfer in transfers]
        places = self._places(transfers, sides)
        crossing = [at for at, some in enumerate(sides) if len(some) > 1]
        inside, across = await asyncio.gather(
            self._each(transfers, places, lambda shard, some: self.ledgers[shard].create_transfers(some)),
            self.coordinator.carry([self._crossing(transfers[at]) for at in crossing]),
            return_exceptions=True,
        )
        if isinstance(inside, BaseException):
            raise inside
        if isinstance(across, BaseException):
            raise across
        told = inside | dict(zip(crossing, across, strict=True))
        return [told[at] for at in range(len(transfers))]

    async def create_transfer(self, transfer: Transfer) -> Outcome:
        """Create one transfer, once. Many tasks at once share the writes, and none affects another."""
        transfer.encode()
        sides = self._sides(transfer)
        if len(sides) == 1:
            return await self.ledgers[min(sides)].create_transfer(transfer)
        self._crossing(transfer)
        if len(self._waiting) >= WAITING_MAX:
            raise Busy
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((transfer, future))
        if self._carrying is None or self._carrying.done():
            self._carrying = asyncio.create_task(self._carry())
        return await future

    async def recover(self, *, older_ms: int) -> int:
        """Finish the transfers between shards that were left half way for longer than that; how many they were."""
        return await self.coordinator.recover(older_ms=older_ms)

    async def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """The accounts of these ids, in that order; unknown ones are left out."""
        some = await asyncio.gather(
            *(
                ledger.lookup_accounts([each for each in ids if self.home(each) == number])
                for number, ledger in self._numbered
            )
        )
        found = {account.id: account for accounts in some for account in accounts}
        return [found[each] for each in ids if each in found]

    async def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        """The transfers of these ids, in that order; every shard is asked.

        One between shards is told as it was asked for.
        """
        some = await asyncio.gather(*(self._looked_up(number, ids) for number in range(len(self.ledgers))))
        found = {transfer.id: transfer for transfers in some for transfer in transfers}
        return [found[each] for each in ids if each in found]

    async def account(self, account_id: int) -> Account:
        """One account. Raises UnknownAccount."""
        if found := await self.lookup_accounts([account_id]):
            return found[0]
        raise UnknownAccount(account_id=account_id)

    async def transfer(self, transfer_id: int) -> Transfer:
        """One transfer. Raises UnknownTransfer."""
        if found := await self.lookup_transfers([transfer_id]):
            return found[0]
        raise UnknownTransfer(transfer_id=transfer_id)

    async def get_account_transfers(self, wanted: AccountFilter) -> list[Transfer]:
        """The transfers of an account as its shard has them: those to others are reservations and their ends."""
        return await self.ledgers[self.home(wanted.account_id)].get_account_transfers(wanted)

    async def get_account_balances(self, wanted: AccountFilter) -> list[Balance]:
        """The balances of an account with history."""
        return await self.ledgers[self.home(wanted.account_id)].get_account_balances(wanted)

    async def query_accounts(self, wanted: QueryFilter) -> list[Account]:
        """The accounts which the filter picks, by timestamp; transit accounts are among them."""
        return self._merged(await asyncio.gather(*(ledger.query_accounts(wanted) for ledger in self.ledgers)), wanted)

    async def query_transfers(self, wanted: QueryFilter) -> list[Transfer]:
        """The transfers which the filter picks, by timestamp, as the shards have them."""
        return self._merged(await asyncio.gather(*(ledger.query_transfers(wanted) for ledger in self.ledgers)), wanted)

    async def check(self, told: Told = nobody) -> list[str]:
        """What does not add up, in each shard and between any two; ``told`` hears how far it is in each."""
        findings = [finding for ledger in self.ledgers for finding in await recompute(ledger, told)]
        async for finding in self._between():
            findings.append(finding)  # noqa: PERF401  # no asynchronous extend
        return findings

    async def aclose(self) -> None:
        """Carry what waits to its end."""
        while self._carrying is not None and not self._carrying.done():
            await asyncio.wait([self._carrying])

    @property
    def _numbered(self) -> list[tuple[int, Ledger]]:
        return list(enumerate(self.ledgers))

    def _sides(self, transfer: Transfer) -> set[int]:
        """The shards that a transfer has to do with. One that settles another says by its accounts where that is."""
        named = {each for each in (transfer.debit_account_id, transfer.credit_account_id) if each}
        if any(TRANSIT <= each < U128_MAX for each in named):
            raise CannotCross(id=transfer.id, reason="an account of it is the shards' own")
        if not named:
            raise CannotCross(id=transfer.id, reason="name one of its accounts, or no shard can be found")
        sides = {self.home(each) for each in named}
        if len(sides) > 1 and transfer.flags:
            raise CannotCross(id=transfer.id, reason="its accounts are in two shards, and it has flags")
        if len(sides) > 1 and (transfer.pending_id or transfer.timeout or transfer.timestamp):
            raise CannotCross(id=transfer.id, reason="its accounts are in two shards, and it is not plain")
        return sides

    def _crossing(self, transfer: Transfer) -> Crossing:
        return Crossing(transfer, self.home(transfer.debit_account_id), self.home(transfer.credit_account_id))

    @staticmethod
    def _places(events: Sequence[Account | Transfer], sides: Sequence[set[int]]) -> dict[int, list[int]]:
        """Shard → the events inside it, by number. Raises Invalid for a chain that is not all inside one."""
        places: dict[int, list[int]] = {}
        before: int | None = None
        for at, (event, some) in enumerate(zip(events, sides, strict=True)):
            shard = min(some) if len(some) == 1 else None
            if before is not None and before != shard:
                reason = " of another shard" if shard is not None else ", and goes to another shard"
                raise Invalid(field=f"event {at}", reason=f"linked to one{reason}")
            if shard is not None:
                places.setdefault(shard, []).append(at)
            before = shard if event.flags & TransferFlag.LINKED else None  # the same bit for accounts
        return places

    @staticmethod
    async def _each(
        events: Sequence[Event],
        places: Mapping[int, Sequence[int]],
        act: Callable[[int, Sequence[Event]], Awaitable[list[Outcome]]],
    ) -> dict[int, Outcome]:
        """The outcomes by the numbers of their events."""
        answers = await asyncio.gather(*(act(shard, [events[at] for at in some]) for shard, some in places.items()))
        told: dict[int, Outcome] = {}
        for some, outcomes in zip(places.values(), answers, strict=True):
            told.update(zip(some, outcomes, strict=True))
        return told

    async def _carry(self) -> None:
        """Take what waits, all of it at once; meanwhile more waits."""
        while self._waiting:
            some, self._waiting = self._waiting, []
            try:
                outcomes = await self.coordinator.carry([self._crossing(transfer) for transfer, _ in some])
            except Exception as error:  # noqa: BLE001  # the callers' to handle: each gets it
                for _, future in some:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), outcome in zip(some, outcomes, strict=True):
                    if not future.done():
                        future.set_result(outcome)

    async def _looked_up(self, number: int, ids: Sequence[int]) -> list[Transfer]:
        ledger = self.ledgers[number]
        found = await ledger.lookup_transfers(ids)
        away = [each for each in found if each.credit_account_id >= TRANSIT and each.pending_id]
        notes = await ledger.metadata([each.pending_id for each in away]) if away else []
        whole = {
            each.id: replace(each, credit_account_id=int(note["credit_account_id"]), pending_id=0, flags=0)
            for each, note in zip(away, notes, strict=True)
        }
        return [whole.get(each.id, each) for each in found]

    @staticmethod
    def _merged(some: Sequence[list[Stored]], wanted: QueryFilter) -> list[Stored]:
        reverse = bool(wanted.flags & QueryFilterFlag.REVERSED)
        return list(heapq.merge(*some, key=lambda each: each.timestamp, reverse=reverse))[: wanted.limit]

    async def _between(self) -> AsyncIterator[str]:
        """Compare what left each shard for another with what came in there, but for what is on its way."""
        for home, ledger in self._numbered:
            async for number, away in self._stand_ins(ledger):
                for _ in range(TRIES):
                    under_way = await self._under_way(home)
                    left, came = await self._across(home, away, number)
                    under_way |= await self._under_way(home)
                    if 0 <= left - came <= await self._reserved(home, transit(number, away), under_way):
                        break
                else:
                    yield f"shard {home}: {left} left for shard {away} in ledger {number}, {came} came in there"
            for id_ in await self._under_way(home, until_ms=now_ms() - STUCK_MS):
                yield f"shard {home}: crossing {id_} is not done after {STUCK_MS // 60_000} minutes"

    @staticmethod
    async def _stand_ins(ledger: Ledger) -> AsyncIterator[tuple[int, int]]:
        """The ledger number and the other shard of each transit account; others may have the same code."""
        wanted = QueryFilter(code=TRANSIT_CODE, limit=PAGE)
        while page := await ledger.query_accounts(wanted):
            for account in page:
                if (found := stands_for(account.id)) is not None:
                    yield found
            wanted = replace(wanted, timestamp_min=page[-1].timestamp + 1)

    async def _across(self, home: int, away: int, ledger: int) -> tuple[int, int]:
        sides = ((home, away), (away, home))
        found = [await self.ledgers[here].lookup_accounts([transit(ledger, there)]) for here, there in sides]
        left, came = [some[0] if some else Account() for some in found]
        return left.credits_posted, came.debits_posted

    async def _under_way(self, home: int, until_ms: int | str = "+inf") -> set[int]:
        """The reservations of crossings that may not be done; of those since then."""
        client: Any = self.hub.read
        found = await client.zrangebyscore(keys.crossings(self.ledgers[home].name), 0, until_ms)
        return {int.from_bytes(each, "little") for each in found}

    async def _reserved(self, home: int, account: int, ids: Iterable[int]) -> int:
        """How much of these was reserved for one shard."""
        wanted, total = list(ids), 0
        for at in range(0, len(wanted), PAGE):
            held = await self.ledgers[home].lookup_transfers(wanted[at : at + PAGE])
            total += sum(each.amount for each in held if each.credit_account_id == account)
        return total
