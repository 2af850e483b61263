"""Other domains' movements as transfers of this ledger, each once, and what it has of them so far."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from lastro.core.errors import Invalid, LastroError
from lastro.core.keys import Key
from lastro.core.streams import AGAIN, Group
from lastro.ledger.errors import PostingRefused
from lastro.ledger.model.ids import name_of
from lastro.ledger.model.postings.attempt import POSTED, Attempt, attempts
from lastro.ledger.model.postings.movement import BRL, Movement, Subject
from lastro.ledger.model.postings.payments import PAYMENTS
from lastro.ledger.model.postings.pix import PIX
from lastro.ledger.model.records import Outcome, Transfer

from . import Ledger
from .pages import everything

PAGE = 100
BURNT_MAX = 1_000
"""Ids that one transfer may burn: so often its dead letter can be replayed while the ledger goes on refusing it."""


async def post(ledger: Ledger, entries: Sequence[Sequence[Movement]]) -> dict[int, PostingRefused]:
    """Post the movements of some stream entries; the entries, by their place, that have a movement refused, and why.

    Safe to repeat, in any order, by several at once. What was refused can be posted when its reason is gone.
    """
    movements = [movement for entry in entries for movement in entry]
    accounts = {account.id: account for movement in movements for account in movement.accounts}
    await ledger.create_accounts(list(accounts.values()))
    waiting = [each for at, entry in enumerate(entries) for movement in entry for each in attempts(at, movement)]
    refused: dict[int, PostingRefused] = {}
    fresh = set[int]()
    for burnt in range(BURNT_MAX + 1):
        transfers = [each.transfer for each in waiting]
        told = await ledger.create_transfers(transfers)
        again: list[Attempt] = []
        for attempt, transfer, outcome in zip(waiting, transfers, told, strict=True):
            if burnt < BURNT_MAX and attempt.again(outcome.result, transfer, fresh):
                again.append(attempt)
            elif outcome.result not in POSTED:
                refused.setdefault(attempt.entry, _refusal(attempt.first, outcome))
        if not again:
            break
        waiting = again
    return refused


def _refusal(transfer: Transfer, outcome: Outcome) -> PostingRefused:
    return PostingRefused(id=transfer.id, field=name_of(transfer.debit_account_id), reason=outcome.status)


def followed(ledger: Ledger) -> dict[Subject, str]:
    """Whose books are kept here, and the stream that each is read from; not those that are switched off."""
    settings = ledger.settings
    streams = {PIX: settings.pix_movements, PAYMENTS: settings.payments_final}
    if ledger.hub.capabilities.cluster:  # there every domain's keys have a tag
        streams = {who: name if "{" in name else f"{{{who.name}}}:{name}" for who, name in streams.items() if name}
    return {subject: stream for subject, stream in streams.items() if stream}


async def totals(ledger: Ledger, subject: Subject, stream: str) -> Mapping[str, tuple[int, int]] | None:
    """What the accounts say of a subject, at most with what waits to be posted; None if nobody posts it here."""
    waiting: Counter[str] = Counter()
    try:  # before the accounts: what is posted meanwhile is counted twice, and "at most" stays true
        async for fields in _unposted(ledger, stream, ledger.settings.post_group):
            for movement in _readable(subject, fields):
                debit, credit, cents = movement.posted
                for name in (subject.sum_of(debit, "debits"), subject.sum_of(credit, "credits")):
                    if name is not None:
                        waiting[name] += cents
    except NotFollowed:
        return None
    sums: dict[str, int] = {}
    for kind in subject.kinds:
        async for account in everything(ledger.query_accounts, ledger=BRL, code=kind):
            for side, cents in (("debits", account.debits_posted), ("credits", account.credits_posted)):
                if (name := subject.sum_of(account.id, side)) is not None:
                    sums[name] = cents
    return {name: (sums.get(name, 0), sums.get(name, 0) + waiting[name]) for name in {*sums, *waiting}}


def _readable(subject: Subject, fields: Mapping[bytes, bytes]) -> list[Movement]:
    """The movements of an entry that waits; none of one that will be a dead letter."""
    try:
        return list(subject.read(fields))
    except Invalid:
        return []


class NotFollowed(LastroError):
    """Nobody posts {stream}."""

    code = "ledger.not_followed"


async def _unposted(ledger: Ledger, stream: str, group: str) -> AsyncIterator[dict[bytes, bytes]]:
    """The entries of a stream that its group has not read, not acknowledged, or put off. Raises NotFollowed."""
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
    async for fields in Group(hub=ledger.hub, stream=Key(stream), name=group, keep=True).delayed():
        yield fields  # now: one that comes due meanwhile is at the stream's end, and counted twice
    while page := await client.xrange(stream, min=after, count=PAGE):
        for _, fields in page:
            yield {name: value for name, value in fields.items() if name != AGAIN}
        after = b"(" + page[-1][0]
