"""Recompute everything from the transfers, and say what differs."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from lastro.ledger import keys
from lastro.ledger.model.codes import AccountFlag, TransferFlag
from lastro.ledger.model.records import LIMIT_MAX, Account, QueryFilter, Transfer

from . import Ledger

Stored = TypeVar("Stored", Account, Transfer)
EXPIRED = b"\x04"
"""The status of a transfer: the seventh byte of what its key holds."""
SETTLING = TransferFlag.POST_PENDING_TRANSFER | TransferFlag.VOID_PENDING_TRANSFER


@dataclass(slots=True)
class Sums:
    """The balances of an account as its transfers make them."""

    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    closed: bool = False

    def differs(self, account: Account) -> str | None:
        """The first balance that is not as stored."""
        for name in ("debits_pending", "debits_posted", "credits_pending", "credits_posted"):
            stored, computed = getattr(account, name), getattr(self, name)
            if stored != computed:
                return f"{name} is {stored}, its transfers make {computed}"
        closed = bool(account.flags & AccountFlag.CLOSED)
        if self.closed and not closed:
            return "is open, its transfers closed it"
        return None


@dataclass(slots=True)
class Replay:
    """The transfers so far, taken one by one."""

    sums: dict[int, Sums] = field(default_factory=lambda: defaultdict(Sums))
    pending: dict[int, Transfer] = field(default_factory=dict)
    newest: int = 0
    count: int = 0

    def take(self, transfer: Transfer) -> str | None:
        """Apply the next transfer; what is wrong with it, if anything."""
        if transfer.timestamp <= self.newest:
            return f"transfer {transfer.id} has timestamp {transfer.timestamp}, after {self.newest}"
        self.newest = transfer.timestamp
        self.count += 1
        if transfer.flags & SETTLING:
            held = self.pending.pop(transfer.pending_id, None)
            if held is None:
                return f"transfer {transfer.id} settles {transfer.pending_id}, which is not pending"
            posted = transfer.amount if transfer.flags & TransferFlag.POST_PENDING_TRANSFER else 0
            self.release(held, posted)
            return None
        debit, credit = self.sums[transfer.debit_account_id], self.sums[transfer.credit_account_id]
        if transfer.flags & TransferFlag.PENDING:
            self.pending[transfer.id] = transfer
            debit.debits_pending += transfer.amount
            credit.credits_pending += transfer.amount
            debit.closed |= bool(transfer.flags & TransferFlag.CLOSING_DEBIT)
            credit.closed |= bool(transfer.flags & TransferFlag.CLOSING_CREDIT)
        else:
            debit.debits_posted += transfer.amount
            credit.credits_posted += transfer.amount
        return None

    def release(self, held: Transfer, posted: int = 0) -> None:
        """Take a reservation away; without a posting what it closed is open again."""
        debit, credit = self.sums[held.debit_account_id], self.sums[held.credit_account_id]
        debit.debits_pending -= held.amount
        credit.credits_pending -= held.amount
        debit.debits_posted += posted
        credit.credits_posted += posted
        if held.flags & TransferFlag.CLOSING_DEBIT:
            debit.closed = False
        if held.flags & TransferFlag.CLOSING_CREDIT:
            credit.closed = False


async def check(ledger: Ledger) -> list[str]:
    """What does not add up: nothing, or a sentence about the first account or transfer that differs, and the sums."""
    replay, findings = Replay(), list[str]()
    async for transfer in everything(ledger.query_transfers):
        if wrong := replay.take(transfer):
            return [wrong]
    for held in await _expired(ledger, list(replay.pending.values())):
        replay.release(held)
    posted_debits = posted_credits = accounts = 0
    async for account in everything(ledger.query_accounts):
        accounts += 1
        posted_debits += account.debits_posted
        posted_credits += account.credits_posted
        if not findings and (wrong := replay.sums[account.id].differs(account)):
            findings.append(f"account {account.id}: {wrong}")
    if posted_debits != posted_credits:
        findings.append(f"posted debits are {posted_debits}, posted credits {posted_credits}")
    if unknown := len(replay.sums) - accounts:
        findings.append(f"{unknown} accounts have transfers and are not there")
    return findings


async def everything(
    query: Callable[[QueryFilter], Awaitable[list[Stored]]], *, ledger: int = 0, code: int = 0
) -> AsyncIterator[Stored]:
    """All that a query has, page by page."""
    wanted = QueryFilter(ledger=ledger, code=code)
    while page := await query(wanted):
        for each in page:
            yield each
        if len(page) < LIMIT_MAX:
            return
        wanted = replace(wanted, timestamp_min=page[-1].timestamp + 1)


async def _expired(ledger: Ledger, pending: list[Transfer]) -> list[Transfer]:
    """Those of the transfers which were released by time; no transfer tells of that."""
    name, released = ledger.name or ledger.settings.name, []
    for start in range(0, len(pending), LIMIT_MAX):
        page = pending[start : start + LIMIT_MAX]
        values = await ledger.hub.read.mget([keys.transfer(name, each.id) for each in page])
        released += [each for each, value in zip(page, values, strict=True) if value and value[6:] == EXPIRED]
    return released
