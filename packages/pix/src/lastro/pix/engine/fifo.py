"""The original system's list mode: first in, first out, off a list, counted and nobody answered.

A plain BRPOP loses what a crash had taken; here a message is in a consumer's hand until its count is made.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from lastro.core.clock import now_ms
from lastro.core.keys import Key
from lastro.pix import scripts
from lastro.pix.metrics import OUTCOMES

from .intake import Malformed, Original, kept, read_original
from .pix import Pix

NO_BACKEND: Final = b"-"  # messages of the list name none


@dataclass(frozen=True, slots=True)
class Hand:
    """One consumer's place in list mode."""

    pix: Pix
    consumer: str

    @property
    def source(self) -> Key:
        """The list."""
        return self.pix.keys.payments

    async def take(self) -> list[bytes]:
        """What is in the hand: what was there before, or new messages."""
        return await scripts.take_list(
            self.pix.hub.write,
            source=self.source,
            in_hand=self.pix.keys.in_hand(self.consumer),
            hands=self.pix.keys.hands,
            consumer=self.consumer,
            count=self.pix.settings.read_count,
        )

    async def count(self, messages: list[bytes]) -> None:
        """Count what is in the hand, once each, and empty it."""
        found = [read_message(message) for message in messages]
        minutes = {item.minute: 0 for item in found if isinstance(item, Original)}
        over = await self.pix.open_minutes(minutes)
        places = {minute: at for at, minute in enumerate((m for m in minutes if m not in over), 1)}
        items: list[scripts.Arg] = []
        for item in found:
            if isinstance(item, Original) and item.minute in places:
                items += (item.identity, item.cents, places[item.minute], "FF08", _text(item.amount))
            elif isinstance(item, Original):
                items += ("-", 0, 0, "DT02", _text(item.amount))
            else:
                items += ("-", 0, 0, item.code, kept(item.fields))
        await self.pix.open_minutes(places)
        settled = await self._count(places, items)
        if settled < 0:  # the server was flushed since
            await self.pix.open_minutes(places, again=True)
            settled = await self._count(places, items)
        OUTCOMES.of(outcome="settled").inc(max(0, settled))

    async def _count(self, places: dict[str, int], items: list[scripts.Arg]) -> int:
        keys = self.pix.keys
        return await scripts.count_list(
            self.pix.hub.write,
            in_hand=keys.in_hand(self.consumer),
            count=keys.count,
            cents=keys.cents,
            amount=keys.amount,
            counters=keys.counters,
            dead=keys.dead,
            ks=[*(keys.records(minute) for minute in places), keys.movements],
            minutes=len(places),
            dead_max=self.pix.settings.dead_max,
            source=str(self.source),
            items=items,
        )

    async def take_over(self) -> int:
        """Put back what silent consumers held."""
        back = 0
        for name, _ in await self.pix.read.zrange(self.pix.keys.hands, 0, -1, withscores=True):
            consumer = name.decode()
            if consumer != self.consumer:
                back += await scripts.give_back(
                    self.pix.hub.write,
                    source=self.source,
                    in_hand=self.pix.keys.in_hand(consumer),
                    hands=self.pix.keys.hands,
                    consumer=consumer,
                    idle_ms=self.pix.settings.idle_threshold_ms,
                )
        return back


def read_message(message: bytes) -> Original | Malformed:
    """The original list message: a JSON object, its amount a number or text."""
    entry = b"%d-0" % now_ms()
    try:
        told = msgspec.json.decode(message, type=_Message)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Malformed(entry, "CH16", str(error)[:200], {b"message": message})
    amount = bytes(told.amount).strip(b'"')  # a number as it was written: a float would round it
    fields = {
        b"transaction_id": told.transaction_id.encode(),
        b"backend_id": told.backend_id.encode() or NO_BACKEND,
        b"amount": amount,
        b"timestamp": told.timestamp.encode(),
    }
    return read_original(entry, fields)


class _Message(msgspec.Struct):
    transaction_id: str
    amount: msgspec.Raw
    timestamp: str
    backend_id: str = ""


def _text(amount: bytes) -> bytes:
    return msgspec.json.encode({"fields": {"amount": amount.decode()}})
