"""Create requests of any size as script calls that never hold the server for long, and their answers."""

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, TypeAlias

from lastro.core.errors import Invalid
from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import Script
from lastro.ledger import scripts
from lastro.ledger.errors import TooMuchData
from lastro.ledger.model.codes import AccountCode, AccountFlag, TransferCode, TransferFlag
from lastro.ledger.model.records import LIMIT_MAX, Account, Balance, Outcome, Transfer, joined

RECORD_BYTES = 128
RESULT_BYTES = 16
Ask: TypeAlias = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Calls a script, and sees to what it needs."""
BALANCES_BYTES = 128


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between accounts and transfers in a create request."""

    one: Script[Any, Any]
    many: Script[Any, Any]
    linked: int
    imported: int
    codes: type[AccountCode | TransferCode]


ACCOUNTS = Kind(
    scripts.create_account,
    scripts.create_chained_accounts,
    AccountFlag.LINKED,
    AccountFlag.IMPORTED,
    AccountCode,
)
TRANSFERS = Kind(
    scripts.create_transfer,
    scripts.create_chained_transfers,
    TransferFlag.LINKED,
    TransferFlag.IMPORTED,
    TransferCode,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Events to create, and what is wanted beside the codes."""

    kind: Kind
    keyspace: Key
    events: Sequence[Account | Transfer]
    balances: bool = False
    metadata: Mapping[int, str] | None = None
    """JSON text by the event's number, from 0, as ``checked`` gives it."""
    crossing: bool = False
    """These are one side of transfers between shards."""

    async def send(self, client: Client, batch_max: int, ask: Ask) -> list[Outcome]:
        """One call per part, in order; what is linked stays together. A part of which less was done is asked again.

        Raises Invalid or TooMuchData as ``cut`` does, and then nothing was sent.
        """
        outcomes: list[Outcome] = []
        records, ends = cut(self.events, self.kind.linked, batch_max)
        for end in ends:
            while (start := len(outcomes)) < end:
                call = partial(
                    self.kind.many,
                    client,
                    keyspace=[self.keyspace],
                    events=records[start * RECORD_BYTES : end * RECORD_BYTES],
                    options=self._options(start, end),
                )
                outcomes.extend(outcomes_of(await ask(call), self.kind.codes, balances=self.balances))
        return outcomes

    def _options(self, start: int, end: int) -> list[int | bytes]:
        bits = (scripts.BALANCES if self.balances else 0) | (scripts.CROSSING if self.crossing else 0)
        if start > 0:  # the first event of the request decides about imports
            bits |= scripts.IMPORTS if self.events[0].flags & self.kind.imported else scripts.NO_IMPORTS
        notes = {
            str(number - start + 1): text for number, text in (self.metadata or {}).items() if start <= number < end
        }
        if notes:
            return [bits | scripts.STRICT, json.dumps(notes).encode()]  # checked() wrote it
        return [bits] if bits else []


def cut(events: Sequence[Account | Transfer], linked: int, size: int) -> tuple[bytes, list[int]]:
    """The records of all events, and where each call ends: at most ``size`` of them, but a chain is never split.

    Raises Invalid for an event that does not fit its record, TooMuchData for a chain that no call can take.
    """
    return joined(events), list(_ends(events, linked, size))


def _ends(events: Sequence[Account | Transfer], linked: int, size: int) -> Iterator[int]:
    start = whole = 0
    for number, event in enumerate(events, 1):
        if number - whole > LIMIT_MAX:
            raise TooMuchData(field="events", reason=f"a chain has at most {LIMIT_MAX}")
        if event.flags & linked and number < len(events):
            continue
        if number - start > size and whole > start:
            yield whole
            start = whole
        whole = number
    if whole > start:
        yield whole


def outcomes_of(answer: bytes, codes: type[AccountCode | TransferCode], *, balances: bool = False) -> list[Outcome]:
    """The outcome of each event from a script's answer."""
    size = RESULT_BYTES + (BALANCES_BYTES if balances else 0)
    return [_outcome(answer[at : at + size], codes) for at in range(0, len(answer), size)]


def _outcome(record: bytes, codes: type[AccountCode | TransferCode]) -> Outcome:
    timestamp, result = int.from_bytes(record[:8], "little"), int.from_bytes(record[8:12], "little")
    after: dict[str, Balance] = {}
    if result == 0 and len(record) > RESULT_BYTES:
        stamp = record[:8]
        after["debit_account"] = Balance.decode(record[16:80] + stamp)
        after["credit_account"] = Balance.decode(record[80:144] + stamp)
    return Outcome(result=result, status=codes(result).name.lower(), timestamp=timestamp, **after)


def checked(metadata: Mapping[int, object] | None) -> dict[int, str] | None:
    """Metadata as JSON text. Raises Invalid for what is none, or too long."""
    if not metadata:
        return None
    texts = {}
    for number, value in metadata.items():
        try:
            texts[number] = json.dumps(value, separators=(",", ":"), allow_nan=False)
            json.dumps(value, ensure_ascii=False).encode()  # half a character has no UTF-8, though it has an escape
        except (TypeError, ValueError, RecursionError) as wrong:
            raise Invalid(field="metadata", reason=str(wrong)) from None
        if len(texts[number].encode()) > METADATA_MAX:
            raise Invalid(field="metadata", reason=f"longer than {METADATA_MAX} bytes of JSON")
        if _levels(texts[number]) > LEVELS_MAX:
            raise Invalid(field="metadata", reason=f"nested deeper than {LEVELS_MAX} levels")
    return texts


METADATA_MAX = 4096
"""Bytes of JSON beside one transfer."""
LEVELS_MAX = 100
"""Objects and arrays of it within one another; parts/metadata.lua has both bounds, too."""
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def _levels(text: str) -> int:
    brackets = re.findall(r"[\[{]|[\]}]", _STRING.sub("", text))
    return max(accumulate((1 if each in "[{" else -1 for each in brackets), initial=0))
