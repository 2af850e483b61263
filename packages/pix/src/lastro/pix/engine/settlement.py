"""The heart: batches of entries become settled money, one script call each kind; what cannot is buried."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

from lastro.core import tracing
from lastro.core.clock import iso, now_ms
from lastro.core.keys import Key
from lastro.pix import scripts
from lastro.pix.metrics import OUTCOMES

from .intake import TOO_OLD, Malformed, Order, Original, Reply, kept, read_answer, read_original, read_payment
from .pix import Pix, Places, never_opened

Entry: TypeAlias = tuple[bytes, dict[bytes, bytes]]
Words: TypeAlias = list[str]
Item = TypeVar("Item", Original, Order)


async def take_payments(pix: Pix, source: Key, entries: Sequence[Entry], deliveries: int = 1) -> None:
    """Everything one read brought from a payments stream. Afterwards none of it is pending."""
    plain = pix.settings.mode != "stream"
    found = [
        read_original(entry, fields) if plain else read_payment(entry, fields, pix.settings.body_bytes_max)
        for entry, fields in entries
    ]
    originals = [item for item in found if isinstance(item, Original)]
    orders = [item for item in found if isinstance(item, Order)]
    dead = [item for item in found if isinstance(item, Malformed)]
    raw = dict(entries)
    conflicts, late = await confirm(pix, source, originals)
    dead += [_conflict(item.entry, raw) for item in conflicts]
    dead += [Malformed(item.entry, *TOO_OLD, raw[item.entry]) for item in late]
    dead += [_conflict(item.entry, raw) for item in await accept(pix, source, orders)]
    await bury(pix, source, dead, deliveries)


async def take_answers(pix: Pix, entries: Sequence[Entry], deliveries: int = 1) -> None:
    """Everything one read brought from the answers stream. Afterwards none of it is pending."""
    found = [read_answer(entry, fields) for entry, fields in entries]
    dead = [item for item in found if isinstance(item, Malformed)]
    strangers = await settle(pix, [item for item in found if isinstance(item, Reply)])
    dead += [Malformed(item.entry, "CH16", "no such payment of this receiver", item.fields) for item in strangers]
    await bury(pix, pix.keys.answers, dead, deliveries)


def _conflict(entry: bytes, raw: dict[bytes, dict[bytes, bytes]]) -> Malformed:
    return Malformed(entry, "FF08", "this id was used before, for another amount, payer or receiver", raw[entry])


async def confirm(pix: Pix, source: Key, batch: Sequence[Original]) -> tuple[list[Original], list[Original]]:
    """Settle original messages at once. The ones whose id has another amount already, and whose minute is forgotten."""
    taken, late, words = await _in_open_minutes(pix, batch, lambda some: _confirm(pix, source, some))
    return [item for item, word in zip(taken, words, strict=True) if word == "conflict"], late


async def _confirm(pix: Pix, source: Key, batch: Sequence[Original]) -> list[bytes]:
    told = pix.settings.mode == "stream"
    keys = pix.keys
    places = Places.of(pix, [item.minute for item in batch])
    items: list[scripts.Arg] = []
    for item in batch:
        outbox = places.outbox(item.backend_id.decode()) if told else 0
        items += (item.entry, item.identity, item.transaction_id, item.cents, item.amount, item.backend_id)
        items += (places.records[item.minute], outbox)

    return await scripts.confirm(
        pix.hub.write,
        payments=source,
        count=keys.count,
        cents=keys.cents,
        amount=keys.amount,
        counters=keys.counters,
        latency=keys.latency,
        backends=keys.backends,
        ks=places.keys(),
        group=pix.settings.group,
        minutes=len(places.records),
        timestamp=iso(now_ms()),
        items=items,
    )


async def accept(pix: Pix, source: Key, batch: Sequence[Order]) -> list[Order]:
    """Hold the funds of payments and ask their receivers; the ones whose id is another payment's are the answer.

    Who comes when the minute of its id is forgotten has no record, but an answer: AB03.
    """
    began = tracing.now()
    taken, late, words = await _in_open_minutes(pix, batch, lambda some: _accept(pix, source, some))
    await _turn_away(pix, source, late)
    for item, word in zip([*taken, *late], [*words, *["rejected"] * len(late)], strict=True):
        tracing.record("pix.accept", item.payment.end_to_end_id, began, outcome=word)
    return [item for item, word in zip(taken, words, strict=True) if word == "conflict"]


async def _accept(pix: Pix, source: Key, batch: Sequence[Order]) -> list[bytes]:
    keys, settings = pix.keys, pix.settings
    places = Places.of(pix, [item.minute for item in batch])
    items: list[scripts.Arg] = []
    for item in batch:
        order = item.payment
        limit_ms = settings.scheduled_deadline_ms if order.scheduled else settings.deadline_ms
        items += (item.entry, order.end_to_end_id, order.payer, order.payee, item.cents, item.code, limit_ms)
        items += (places.records[item.minute], places.outbox(order.payer), places.outbox(order.payee), item.body)

    return await scripts.accept(
        pix.hub.write,
        payments=source,
        accounts=keys.accounts,
        deadlines=keys.deadlines,
        counters=keys.counters,
        backends=keys.backends,
        ks=places.keys(),
        group=settings.group,
        minutes=len(places.records),
        items=items,
    )


async def _turn_away(pix: Pix, source: Key, batch: Sequence[Order]) -> None:
    if not batch:
        return
    keys, places = pix.keys, Places.of(pix, [])
    items: list[scripts.Arg] = []
    for item in batch:
        order = item.payment
        items += (item.entry, order.end_to_end_id, order.payer, item.cents, item.code or "AB03")
        items.append(places.outbox(order.payer))
    refused = await scripts.turn_away(
        pix.hub.write,
        payments=source,
        accounts=keys.accounts,
        counters=keys.counters,
        backends=keys.backends,
        ks=places.keys(),
        group=pix.settings.group,
        items=items,
    )
    OUTCOMES.of(outcome="rejected").inc(refused)


async def settle(pix: Pix, batch: Sequence[Reply]) -> list[Reply]:
    """Post or release what receivers answered; the answers to nothing of theirs are returned."""
    words = await _settle(pix, [(item, item.answer.end_to_end_id[1:9]) for item in batch])
    strangers = [item for item, word in zip(batch, words, strict=True) if word == "unknown"]
    elsewhere = [item for item, word in zip(batch, words, strict=True) if word == "elsewhere"]
    if elsewhere:  # an initiator's id: the payer is in the record
        payers = [(item, (await _payer(pix, item)) or "") for item in elsewhere]
        words = await _settle(pix, payers)
        strangers += [item for item, word in zip(elsewhere, words, strict=True) if word in {"unknown", "elsewhere"}]
    return strangers


async def _payer(pix: Pix, item: Reply) -> str | None:
    line = await pix.read.hget(pix.keys.records(item.minute), item.answer.end_to_end_id)
    return line.split(b" ")[2].decode() if line else None


async def _settle(pix: Pix, batch: Sequence[tuple[Reply, str]]) -> Words:
    if not batch:
        return []
    keys, began = pix.keys, tracing.now()
    places = Places.of(pix, [item.minute for item, _ in batch])
    items: list[scripts.Arg] = []
    for item, payer in batch:
        answer = item.answer
        code = "" if answer.status == "ACSP" else answer.reason
        items += (item.entry, answer.end_to_end_id, payer, answer.payee, code)
        items += (places.records[item.minute], places.outbox(payer), places.outbox(answer.payee))
    reply = await scripts.settle(
        pix.hub.write,
        answers=keys.answers,
        accounts=keys.accounts,
        count=keys.count,
        cents=keys.cents,
        amount=keys.amount,
        counters=keys.counters,
        latency=keys.latency,
        answering=keys.answering,
        backends=keys.backends,
        ks=places.keys(),
        group=pix.settings.group,
        minutes=len(places.records),
        items=items,
    )
    words = _counted(reply)
    for (item, _), word in zip(batch, words, strict=True):
        tracing.record("pix.settle", item.answer.end_to_end_id, began, outcome=word)
    return words


async def _in_open_minutes(
    pix: Pix, batch: Sequence[Item], call: Callable[[Sequence[Item]], Awaitable[list[bytes]]]
) -> tuple[list[Item], list[Item], Words]:
    """Call a script that needs its minutes open: what it took, what is too late for it, and its words of the first.

    After a flush they are not open, and are opened again once.
    """
    for again in (False, True):
        over = await pix.open_minutes(dict.fromkeys(item.minute for item in batch), again=again)
        taken = [item for item in batch if item.minute not in over]
        reply = await call(taken) if taken else []
        if len(reply) == len(taken):
            return taken, [item for item in batch if item.minute in over], _counted(reply)
    raise never_opened()


async def bury(pix: Pix, source: Key, dead: Sequence[Malformed], deliveries: int) -> None:
    """Move entries nobody can process to the dead letters, with what they were."""
    if not dead:
        return
    items: list[scripts.Arg] = []
    for item in dead:
        items += (item.entry, item.code, item.reason, deliveries, kept(item.fields))
    await scripts.bury(
        pix.hub.write,
        source=source,
        dead=pix.keys.dead,
        counters=pix.keys.counters,
        group=pix.settings.group,
        dead_max=pix.settings.dead_max,
        items=items,
    )
    OUTCOMES.of(outcome="dead").inc(len(dead))


def _counted(reply: list[bytes]) -> Words:
    words = [word.decode() for word in reply]
    for word, count in Counter(words).items():
        OUTCOMES.of(outcome=word).inc(count)
    return words
