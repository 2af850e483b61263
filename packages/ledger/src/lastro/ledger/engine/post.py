"""Other domains' movements as transfers of this ledger, each once, and what it has of them so far."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from lastro.core.errors import LastroError
from lastro.core.streams import AGAIN
from lastro.ledger.errors import PostingRefused
from lastro.ledger.model.codes import TransferCode
from lastro.ledger.model.ids import name_of, named_id
from lastro.ledger.model.postings import BRL, OUTSIDE, Kind, Movement, pix_movements
from lastro.ledger.model.records import Outcome, Transfer

from . import Ledger
from .check import everything

PAGE = 100
POSTED = {TransferCode.OK, TransferCode.EXISTS}


async def post(ledger: Ledger, entries: Sequence[Sequence[Movement]]) -> dict[int, PostingRefused]:
    """Post the movements of some stream entries; the entries, by their place, that have a movement refused, and why.

    Safe to repeat, in any order, by several at once.
    """
    movements = [movement for entry in entries for movement in entry]
    accounts = {account.id: account for movement in movements for account in movement.accounts}
    await ledger.create_accounts(list(accounts.values()))
    transfers = [transfer for movement in movements for transfer in movement.transfers]
    told = iter(zip(transfers, await ledger.create_transfers(transfers), strict=True))
    refused: dict[int, PostingRefused] = {}
    for place, entry in enumerate(entries):
        for _ in range(sum(len(movement.transfers) for movement in entry)):
            transfer, outcome = next(told)
            if outcome.result not in POSTED:
                refused.setdefault(place, _refusal(transfer, outcome))
    return refused


def _refusal(transfer: Transfer, outcome: Outcome) -> PostingRefused:
    return PostingRefused(id=transfer.id, field=name_of(transfer.debit_account_id), reason=outcome.status)


async def pix_totals(ledger: Ledger) -> Mapping[str, tuple[int, int]] | None:
    """What the accounts say of Pix, at most with what waits to be posted; None if it posts nothing of it."""
    waiting: Counter[str] = Counter()
    stream, group = ledger.settings.pix_movements, ledger.settings.post_group
    try:  # before the accounts: what is posted meanwhile is counted twice, and "at most" stays true
        async for fields in _unposted(ledger, stream, group):
            for movement in pix_movements(fields):
                debit, credit, cents = movement.posted
                waiting[_sum_of(debit, "debits")] += cents
                waiting[_sum_of(credit, "credits")] += cents
    except NotFollowed:
        return None
    sums: dict[str, int] = {}
    async for account in everything(ledger.query_accounts, ledger=BRL, code=Kind.PIX_PARTICIPANT):
        sums[_sum_of(account.id, "debits")] = account.debits_posted
        sums[_sum_of(account.id, "credits")] = account.credits_posted
    for account in await ledger.lookup_accounts([named_id(OUTSIDE)]):
        sums[_sum_of(account.id, "debits")] = account.debits_posted
    names = {name for name in {*sums, *waiting} if not name.startswith(("central-bank", "backend"))}
    return {name: (sums.get(name, 0), sums.get(name, 0) + waiting[name]) for name in names}


def _sum_of(account_id: int, side: str) -> str:
    name = name_of(account_id).removeprefix("pix:")
    return "confirmed" if account_id == named_id(OUTSIDE) else f"{name}.{side}"


class NotFollowed(LastroError):
    """Nobody posts {stream}."""

    code = "ledger.not_followed"


async def _unposted(ledger: Ledger, stream: str, group: str) -> AsyncIterator[dict[bytes, bytes]]:
    """The entries of a stream that its group has not read or not acknowledged. Raises NotFollowed."""
    client: Any = ledger.hub.read
    try:
        groups = {each["name"].decode(): each for each in await client.xinfo_groups(stream)}
    except LastroError:  # no such stream
        groups = {}
    if group not in groups:
        raise NotFollowed(stream=stream)
    after = b"(" + groups[group]["last-delivered-id"]
    if groups[group]["pending"]:
        oldest = (await client.xpending(stream, group))["min"]
        after = oldest or after
    while page := await client.xrange(stream, min=after, count=PAGE):
        for _, fields in page:
            yield {name: value for name, value in fields.items() if name != AGAIN}
        after = b"(" + page[-1][0]
