"""The original system's list mode: first in, first out, off a list, counted and nobody answered."""

from typing import Final

import msgspec

from lastro.core.clock import now_ms
from lastro.pix import scripts
from lastro.pix.metrics import OUTCOMES

from .intake import MESSAGE, TOO_OLD, Malformed, Original, kept, read_original
from .pix import Pix, never_opened

NO_BACKEND: Final = b"-"  # messages of the list name none
USED_BEFORE: Final = ("FF08", "this id was used before, for another amount")


async def count(pix: Pix, messages: list[bytes]) -> None:
    """Count messages, each payment once; what is none is a dead letter. Safe to repeat."""
    found = [read_message(message) for message in messages]
    minutes = dict.fromkeys(item.minute for item in found if isinstance(item, Original))
    for again in (False, True):  # the server was flushed since, or a minute is over now
        over = await pix.open_minutes(minutes, again=again)
        settled = await _count(pix, [minute for minute in minutes if minute not in over], found, messages)
        if settled >= 0:
            OUTCOMES.of(outcome="settled").inc(settled)
            return
    raise never_opened()


async def _count(pix: Pix, minutes: list[str], found: list[Original | Malformed], messages: list[bytes]) -> int:
    keys, places = pix.keys, {minute: at for at, minute in enumerate(minutes, 1)}
    items: list[scripts.Arg] = []
    for item, message in zip(found, messages, strict=True):
        if isinstance(item, Original) and item.minute in places:
            items += (item.identity, item.cents, places[item.minute], *USED_BEFORE)
        elif isinstance(item, Original):
            items += ("-", 0, 0, *TOO_OLD)
        else:
            items += ("-", 0, 0, item.code, item.reason)
        items.append(kept({MESSAGE: message}))
    return await scripts.count_list(
        pix.hub.write,
        count=keys.count,
        cents=keys.cents,
        amount=keys.amount,
        counters=keys.counters,
        dead=keys.dead,
        ks=[*(keys.records(minute) for minute in places), keys.movements],
        minutes=len(places),
        dead_max=pix.settings.dead_max,
        source=str(keys.payments),
        items=items,
    )


def read_message(message: bytes) -> Original | Malformed:
    """The original list message: a JSON object, its amount a number or text."""
    entry = b"%d-0" % now_ms()
    try:
        told = msgspec.json.decode(message, type=_Message)
    except (
        msgspec.MsgspecError,
        UnicodeDecodeError,
        RecursionError,
    ) as error:  # passing over a deep field that we do not know
        return Malformed(entry, "CH16", str(error)[:200], {MESSAGE: message})
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
