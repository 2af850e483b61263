"""What the monitor shows, in one look: streams, groups, outboxes, totals, latency, refusals, dead letters."""

from dataclasses import dataclass, field
from typing import Any

from lastro.core.clock import now_ms
from lastro.core.errors import Fault
from lastro.core.keys import Key

from .intake import arrived_ms
from .pix import Pix

OUTBOXES_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerFigures:
    """One worker in a group."""

    name: str
    pending: int
    idle_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFigures:
    """One stream and its group."""

    name: str
    length: int
    last_id: str = ""
    pending: int = 0
    lag: int | None = None
    oldest_ms: int = 0
    """age of the oldest entry"""
    consumers: list[ConsumerFigures] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Everything on one screen."""

    at_ms: int
    server: str
    count: int
    cents: int
    streams: list[StreamFigures]
    outboxes: list[StreamFigures]
    outboxes_all: int
    counters: dict[str, int]
    rejects: dict[str, int]
    latency: dict[int, int]
    answering: dict[int, int]
    dead: int
    memory_bytes: int


async def figures(pix: Pix) -> Figures:
    """Look once. Raises Busy when the store is down: the monitor shows that as a state."""
    read, keys = pix.read, pix.keys
    count, cents = await read.mget(keys.count, keys.cents)
    counters = {name.decode(): int(value) for name, value in (await read.hgetall(keys.counters)).items()}
    outboxes = sorted(await read.smembers(keys.backends))
    sources = (keys.payments, keys.normal, keys.answers) if pix.settings.mode == "stream" else (keys.payments,)
    return Figures(
        at_ms=now_ms(),
        server=pix.hub.url,
        count=int(count or 0),
        cents=int(cents or 0),
        streams=[await _stream(pix, source) for source in sources],
        outboxes=[await _outbox(pix, Key(name.decode())) for name in outboxes[:OUTBOXES_MAX]],
        outboxes_all=len(outboxes),
        counters={name: value for name, value in counters.items() if ":" not in name},
        rejects={name.partition(":")[2]: value for name, value in counters.items() if ":" in name},
        latency=_histogram(await read.hgetall(keys.latency)),
        answering=_histogram(await read.hgetall(keys.answering)),
        dead=await read.xlen(keys.dead),
        memory_bytes=await _memory(pix),
    )


async def _memory(pix: Pix) -> int:
    told: Any = await pix.read.info("memory")
    nodes = [told] if "used_memory" in told else told.values()  # a cluster answers node by node
    return sum(int(node["used_memory"]) for node in nodes)


async def _stream(pix: Pix, source: Key) -> StreamFigures:
    if pix.settings.mode == "list":
        return StreamFigures(name=source, length=await pix.read.llen(source))
    try:
        info: Any = await pix.read.xinfo_stream(source)
        groups: Any = await pix.read.xinfo_groups(source)
    except Fault:
        return StreamFigures(name=source, length=0)
    group = next((found for found in groups if found["name"].decode() == pix.settings.group), None)
    consumers: Any = await pix.read.xinfo_consumers(source, pix.settings.group) if group else []
    first = info["first-entry"]
    return StreamFigures(
        name=source,
        length=int(info["length"]),
        last_id=info["last-generated-id"].decode(),
        pending=int(group["pending"]) if group else 0,
        lag=group.get("lag") if group else None,
        oldest_ms=max(0, now_ms() - arrived_ms(first[0])) if first else 0,
        consumers=[
            ConsumerFigures(name=found["name"].decode(), pending=int(found["pending"]), idle_ms=int(found["idle"]))
            for found in consumers
        ],
    )


async def _outbox(pix: Pix, name: Key) -> StreamFigures:
    try:
        info: Any = await pix.read.xinfo_stream(name)
    except Fault:
        return StreamFigures(name=name, length=0)
    return StreamFigures(name=name, length=int(info["length"]), last_id=info["last-generated-id"].decode())


def _histogram(raw: dict[bytes, bytes]) -> dict[int, int]:
    return {int(ms): int(count) for ms, count in sorted(raw.items(), key=lambda pair: int(pair[0]))}


def quantile(histogram: dict[int, int], share: float) -> int:
    """The ms that this share does not exceed; 0 of none."""
    wanted, seen = share * sum(histogram.values()), 0
    for ms in sorted(histogram):
        seen += histogram[ms]
        if seen >= wanted > 0:
            return ms
    return 0


def since(now: dict[int, int], before: dict[int, int]) -> dict[int, int]:
    """What came into a histogram between two looks."""
    return {ms: count - before.get(ms, 0) for ms, count in now.items() if count > before.get(ms, 0)}
