"""What the ledger can do. Each method is one business act; a batch is as many script calls as its size needs."""

import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from lastro.core.errors import Invalid, Unreachable
from lastro.core.keys import Key
from lastro.core.redis import Hub
from lastro.core.scripts import Batch, Script
from lastro.core.streams.waiting import Waiting
from lastro.ledger import keys, scripts
from lastro.ledger.errors import ChangesGone, TooMuchData, UnknownAccount, UnknownTransfer
from lastro.ledger.model.changes import Change, decode_change
from lastro.ledger.model.codes import AccountFilterFlag, QueryFilterFlag, TransferFlag
from lastro.ledger.model.records import (
    LIMIT_MAX,
    U128_MAX,
    Account,
    AccountFilter,
    Balance,
    Outcome,
    QueryFilter,
    Transfer,
    decode_all,
)
from lastro.ledger.settings import LedgerSettings

from .archive import Archive
from .readers import Readers
from .requests import ACCOUNTS, TRANSFERS, Request, checked, outcomes_of

Found = TypeVar("Found", Account, Transfer, Balance)
POSITION = re.compile(r"\d{1,20}(-\d{1,20})?", re.ASCII)
U64_MAX = (1 << 64) - 1
BLOCK_SECONDS = 1.0
"""How long a reader of the change stream waits for the next entry before it looks whether it should stop."""
READ_MAX = 500
"""Changes read at once."""
TRIM_MAX = 100_000
"""Entries of the change stream dropped in one call: some milliseconds, and more than a second can bring."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger on a hub. Its name decides its keyspace, and so its cluster slot."""

    hub: Hub
    settings: LedgerSettings
    name: str = ""
    _singles: list[Batch] = field(default_factory=list)

    @property
    def archive(self) -> Archive:
        """Its old transfers."""
        return Archive(self.hub, self.settings, self.name or self.settings.name)

    @property
    def keyspace(self) -> Key:
        """The prefix of this ledger's keys."""
        return keys.keyspace(self.name or self.settings.name)

    async def create_account(self, account: Account) -> Outcome:
        """Create one account, once; a linked one is refused, since it is a chain that stays open."""
        events = account.encode()
        answer = await self.archive.ask(
            lambda: self._batch.submit(scripts.create_account, keyspace=[self.keyspace], events=events, options=[])
        )
        return outcomes_of(answer, ACCOUNTS.codes)[0]

    async def create_transfer(self, transfer: Transfer, *, balances: bool = False, metadata: object = None) -> Outcome:
        """Create one transfer, once. Many tasks at once share a write to the server, and none affects another.

        With ``balances`` the outcome has both accounts' balances right after it; ``metadata`` is kept as JSON.
        """
        if balances or metadata is not None:
            notes = None if metadata is None else {0: metadata}
            return (await self.create_transfers([transfer], balances=balances, metadata=notes))[0]
        events = transfer.encode()
        answer = await self.archive.ask(
            lambda: self._batch.submit(scripts.create_transfer, keyspace=[self.keyspace], events=events, options=[])
        )
        return outcomes_of(answer, TRANSFERS.codes)[0]

    async def create_accounts(self, accounts: Sequence[Account]) -> list[Outcome]:
        """Create accounts, in order, one outcome each; linked ones all or nothing."""
        request = Request(kind=ACCOUNTS, keyspace=self.keyspace, events=accounts)
        return await request.send(self.hub.write, self.settings.batch_max, self.archive.ask)

    async def create_transfers(
        self,
        transfers: Sequence[Transfer],
        *,
        balances: bool = False,
        metadata: Mapping[int, object] | None = None,
        crossing: bool = False,
    ) -> list[Outcome]:
        """Create transfers, in order, one outcome each; linked ones all or nothing, independent ones in one call too.

        ``metadata`` is kept beside the transfers, by their number in the request, from 0. ``crossing`` is for sides of
        transfers between shards: what leaves is noted until it is settled, and settled although an account closed.
        """
        request = Request(
            kind=TRANSFERS,
            keyspace=self.keyspace,
            events=transfers,
            balances=balances,
            metadata=checked(metadata),
            crossing=crossing,
        )
        return await request.send(self.hub.write, self.settings.batch_max, self.archive.ask)

    def posting(self, pending_id: int, number: int, amount: int | None = None) -> Transfer:
        """The transfer that posts a pending one: all of it, or that amount."""
        wanted = U128_MAX if amount is None else amount
        return Transfer(id=number, pending_id=pending_id, amount=wanted, flags=TransferFlag.POST_PENDING_TRANSFER)

    def voiding(self, pending_id: int, number: int) -> Transfer:
        """The transfer that voids a pending one."""
        return Transfer(id=number, pending_id=pending_id, flags=TransferFlag.VOID_PENDING_TRANSFER)

    async def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """The accounts of these ids, in that order; unknown ones are left out."""
        return await self._lookup(scripts.lookup_accounts, Account, ids)

    async def lookup_transfers(self, ids: Sequence[int]) -> list[Transfer]:
        """The transfers of these ids, in that order; unknown ones are left out."""
        return await self._lookup(scripts.lookup_transfers, Transfer, ids)

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

    async def metadata(self, transfer_ids: Sequence[int]) -> list[Any]:
        """The metadata of each of these transfers; None where there is none."""
        name = self.name or self.settings.name
        found = await self.hub.read.mget([keys.metadata(name, number) for number in transfer_ids])
        return [None if text is None else json.loads(text) for text in found]

    async def get_account_transfers(self, wanted: AccountFilter) -> list[Transfer]:
        """The transfers of an account which the filter picks, by timestamp."""
        return await self._filtered(scripts.get_account_transfers, Transfer, wanted)

    async def get_account_balances(self, wanted: AccountFilter) -> list[Balance]:
        """The balances of an account with history, right after each transfer which the filter picks."""
        return await self._filtered(scripts.get_account_balances, Balance, wanted)

    async def query_accounts(self, wanted: QueryFilter) -> list[Account]:
        """The accounts which the filter picks, by timestamp."""
        return await self._filtered(scripts.query_accounts, Account, wanted)

    async def query_transfers(self, wanted: QueryFilter) -> list[Transfer]:
        """The transfers which the filter picks, by timestamp."""
        return await self._filtered(scripts.query_transfers, Transfer, wanted)

    async def expire_transfers(self) -> int:
        """Release the pending transfers whose time is over, a bounded number; how many they were."""
        return await self.archive.ask(partial(scripts.expire_transfers, self.hub.write, keyspace=[self.keyspace]))

    async def retain_changes(self) -> int:
        """Trim the change stream, a bounded number of entries; how many those were.

        ``changes_keep`` stay, and beyond them what the slowest group still needs. What is created in between, or by
        processes without a worker, trims to ``changes_max`` alone: a group loses nothing between two looks at it. In a
        ledger that this has not looked at yet, that is the setting's default.
        """
        return await scripts.retain_changes(
            self.hub.write,
            keyspace=[self.keyspace],
            keep=self.settings.changes_keep,
            keep_max=max(self.settings.changes_keep, self.settings.changes_max),
            trim_max=TRIM_MAX,
        )

    async def changes(self, after: str = "$") -> AsyncGenerator[Change | None]:
        """Every change after that position of the stream ("0" from the oldest kept, "$" from now on), without end.

        None comes when nothing happened for BLOCK_SECONDS, so that a reader can stop, or show that it lives. Raises
        ChangesGone to a reader so slow that what it has not read yet was trimmed, and TooManyReaders. A reader has a
        connection of its own until the generator is closed.
        """
        stream = keys.changes(self.name or self.settings.name)
        with self.readers.place():
            waiting = Waiting(self.hub, stream, BLOCK_SECONDS)
            try:
                await self.kept(after)
                if after == "$":
                    newest: Any = await self.hub.read.xrevrange(stream, count=1)
                    after = newest[0][0].decode() if newest else "0"
                while True:
                    answer = await _next(waiting, after)
                    if not answer:
                        yield None
                        continue
                    await self.kept(after)
                    for position, entry in answer[0][1]:
                        change = decode_change(position, dict(zip(entry[::2], entry[1::2], strict=True)))
                        after = change.position
                        yield change
            finally:
                await waiting.aclose()

    @property
    def readers(self) -> Readers:
        """Who follows the changes in this process."""
        return self.hub.one(Readers, lambda: Readers(self.settings.changes_readers_max))

    async def kept(self, after: str) -> None:
        """Raises ChangesGone if changes after that position may have been trimmed, Invalid if it is none."""
        position = _position(after)
        oldest: Any = await self.hub.read.xrange(keys.changes(self.name or self.settings.name), count=1)
        if oldest and (0, 0) < position < _position(oldest[0][0].decode()):
            raise ChangesGone(after=after)

    @property
    def _batch(self) -> Batch:
        if not self._singles:
            self._singles.append(Batch(self.hub))
        return self._singles[0]

    async def _lookup(self, script: Script[Any, bytes], kind: type[Found], ids: Sequence[int]) -> list[Found]:
        found: list[Found] = []
        async with self.archive.reading() as archived:
            for start in range(0, len(ids), LIMIT_MAX - 1):
                # an id that nothing has goes first: a request that begins with a zero byte cannot be taken for JSON
                asked = bytes(16) + b"".join(_id_bytes(number) for number in ids[start : start + LIMIT_MAX - 1])
                looking = partial(script, self.hub.read, keyspace=[self.keyspace], ids=asked)
                found += decode_all(kind, await archived.ask(looking))
                await archived.release()
        return found

    async def _filtered(
        self, script: Script[Any, list[bytes]], kind: type[Found], wanted: AccountFilter | QueryFilter
    ) -> list[Found]:
        """A script looks at a bounded number of records; go on from where it stopped until the limit is full."""
        if wanted.limit > LIMIT_MAX:
            raise TooMuchData(field="limit", reason=f"at most {LIMIT_MAX}")
        bit = AccountFilterFlag.REVERSED if isinstance(wanted, AccountFilter) else QueryFilterFlag.REVERSED
        found: list[Found] = []
        async with self.archive.reading() as archived:
            while True:
                looking = partial(script, self.hub.read, keyspace=[self.keyspace], wanted=wanted.encode())
                records, resume = await archived.ask(looking)
                await archived.release()
                found += decode_all(kind, records)
                rest = wanted.limit - len(records) // 128
                if not resume or rest == 0:
                    return found
                if wanted.flags & bit:
                    wanted = replace(wanted, limit=rest, timestamp_max=int(resume))
                else:
                    wanted = replace(wanted, limit=rest, timestamp_min=int(resume))


async def _next(waiting: Waiting, after: str) -> Any:
    """The entries after that position, as the server sends them; None when none came in BLOCK_SECONDS."""
    command = ("XREAD", "COUNT", READ_MAX, "BLOCK", int(BLOCK_SECONDS * 1000), "STREAMS", waiting.key, after)
    try:
        return await waiting.ask(*command)
    except Unreachable:  # its slot moved, and where to is known now; a server that is away says so again
        return await waiting.ask(*command)


def _position(text: str) -> tuple[int, int]:
    """Of a stream: milliseconds and number; "$" is beyond all. Raises Invalid."""
    if text == "$":
        return U64_MAX, U64_MAX
    milliseconds, _, number = text.partition("-")
    if POSITION.fullmatch(text) is None or max(int(milliseconds), int(number or 0)) > U64_MAX:
        raise Invalid(field="after", reason='must be a position of the stream, "0" or "$"')
    return int(milliseconds), int(number or 0)


def _id_bytes(number: int) -> bytes:
    if not 0 <= number <= U128_MAX:
        raise Invalid(field="id", reason="must have at most 128 bits, and no sign")
    return number.to_bytes(16, "little")
