"""What every domain shows of itself, and one look at all of them: for the status line, the monitor and the dashboard.

A domain plugs ``async def panel(hub) -> Panel`` into ``lastro.panels``. A look costs a few commands whatever is stored.
"""

import asyncio
import dataclasses
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from lastro.core.clock import now_ms
from lastro.core.errors import Fault, LastroError
from lastro.core.keys import CHECKED
from lastro.core.redis import Hub, connect
from lastro.core.settings import Settings

LOOK_SECONDS_MAX = 2.0
PAST_MAX = 120
RATE_LOOKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One domain at one moment."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  # OpenAPI says of its fields what it says

    done: int
    """Acts finished since the books began; what a rate is made of."""
    unit: str
    """Of ``done``: transfers, settled, issued."""
    cents: int | None = None
    """What was moved so far, where the domain adds it up."""
    backlog: int = 0
    """Accepted and not finished."""
    oldest_seconds: float = 0.0
    """Age of the oldest of the backlog."""
    dead: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    rows: tuple[tuple[str, str], ...] = ()
    """The domain's own page: what, how much."""
    problems: tuple[str, ...] = ()
    """What an operator should look at now."""


Show: TypeAlias = Callable[[Hub], Awaitable[Panel]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """The server at one moment."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  # OpenAPI says of its fields what it says

    version: str
    url: str
    memory_bytes: int
    clients: int
    commands: int
    role: str
    replicas: int
    fsync: str
    """Of the append-only file: ``always``, ``everysec``, ``no``; ``unknown`` to us; ``off`` where there is none."""
    memory_max_bytes: int = 0
    """What it may take; 0 when nothing but the machine bounds it."""
    replica_lag_bytes: int = 0
    """What the slowest replica has not got yet."""
    failing: tuple[str, ...] = ()
    """What it says of itself that endangers data: the last write or the last snapshot failed, a replica has no link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What ``lastro check`` last said of one domain."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  # OpenAPI says of its fields what it says

    at_ms: int
    differences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Everything at one moment. ``reason`` says why nothing could be seen; then there are no panels."""

    __pydantic_config__ = {"use_attribute_docstrings": True}  # noqa: RUF012  # OpenAPI says of its fields what it says

    at_ms: int
    store: Store | None = None
    panels: Mapping[str, Panel] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    """Acts a second over the last looks, by domain; ``commands`` is the server's."""
    checked: Mapping[str, Checked] = field(default_factory=dict)
    reason: str = ""

    def told(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return dataclasses.asdict(self)


class Watch:
    """Looks again and again, over one connection that it makes anew when the server was away."""

    def __init__(self, settings: Settings, shows: Mapping[str, Show]) -> None:
        self.settings = settings
        self.shows = shows
        self.hub: Hub | None = None
        self.past: deque[Look] = deque(maxlen=PAST_MAX)
        self._looking = asyncio.Lock()

    async def look(self) -> Look:
        """Look once; a server that is away is a state, not an error."""
        try:
            async with self._looking, asyncio.timeout(LOOK_SECONDS_MAX):
                if self.hub is None:
                    self.hub = await connect(self.settings)
                found = await self._look(self.hub)
        except (LastroError, TimeoutError) as error:
            found = Look(at_ms=now_ms(), reason=str(error) or f"no answer in {LOOK_SECONDS_MAX:.0f} s")
        self.past.append(found)
        return found

    async def aclose(self) -> None:
        """Close the connection, when a look that is under way has ended."""
        async with self._looking:
            if self.hub is not None:
                await self.hub.aclose()

    async def _look(self, hub: Hub) -> Look:
        store = await _store(hub)
        shown = await asyncio.gather(*(show(hub) for show in self.shows.values()))
        panels = dict(zip(self.shows, shown, strict=True))
        at_ms = now_ms()
        before = next((look for look in list(self.past)[-RATE_LOOKS:] if look.store), None)
        rates = {"commands": 0.0, **dict.fromkeys(panels, 0.0)}
        if before is not None and before.store is not None and at_ms > before.at_ms:
            seconds = (at_ms - before.at_ms) / 1000
            rates["commands"] = max(0, store.commands - before.store.commands) / seconds
            for name, panel in panels.items():
                was = before.panels.get(name)
                rates[name] = max(0, panel.done - was.done) / seconds if was else 0.0
        return Look(at_ms=at_ms, store=store, panels=panels, rates=rates, checked=await _checked(hub))


async def _store(hub: Hub) -> Store:
    told: Any = await hub.read.info()
    nodes = [told] if "used_memory" in told else list(told.values())  # a cluster answers node by node
    first = nodes[0]
    policy = await _policy(hub) if int(first["aof_enabled"]) else "off"
    return Store(
        version=f"{hub.capabilities.name} {hub.capabilities.version}",
        url=hub.url,
        memory_bytes=sum(int(node["used_memory"]) for node in nodes),
        clients=sum(int(node["connected_clients"]) for node in nodes),
        commands=sum(int(node["total_commands_processed"]) for node in nodes),
        role="cluster" if len(nodes) > 1 else str(first["role"]),
        replicas=sum(int(node["connected_slaves"]) for node in nodes),
        fsync=policy,
        memory_max_bytes=sum(int(node["maxmemory"]) for node in nodes),
        replica_lag_bytes=max(_replica_lag(node) for node in nodes),
        failing=tuple(sorted({what for node in nodes for what, well in WELL.items() if node.get(what, well) != well})),
    )


WELL = {"aof_last_write_status": "ok", "rdb_last_bgsave_status": "ok", "master_link_status": "up"}


async def _policy(hub: Hub) -> str:
    """When what is written to the append-only file is brought to the disk, as far as the server tells."""
    try:
        told: Any = await hub.read.config_get("appendfsync")
    except Fault:  # its users may not ask
        told = {}
    return str(told.get("appendfsync", "unknown"))


def _replica_lag(node: Mapping[str, Any]) -> int:
    told = (node.get(f"slave{number}") for number in range(int(node["connected_slaves"])))
    behind = [replica["offset"] for replica in told if replica]  # of one that has just gone it has the count alone
    return int(node["master_repl_offset"]) - min(behind) if behind else 0


async def _checked(hub: Hub) -> dict[str, Checked]:
    told: Any = await hub.read.hgetall(CHECKED)
    found = {}
    for domain, note in told.items():
        at_ms, differences = note.split(b"|")
        found[domain.decode()] = Checked(at_ms=int(at_ms), differences=int(differences))
    return found


async def note_checked(hub: Hub, differences: Mapping[str, int]) -> None:
    """Write down how many differences a check found, by domain, for those who watch."""
    now = now_ms()
    if differences:
        await hub.write.hset(CHECKED, mapping={domain: f"{now}|{count}" for domain, count in differences.items()})


def line(look: Look) -> str:
    """One look in one line."""
    if look.store is None:
        return f"the server is away: {look.reason}"
    told = []
    for name, panel in look.panels.items():
        waits = f", {panel.backlog:,} waiting" if panel.backlog else ""
        dead = f", {panel.dead:,} dead" if panel.dead else ""
        told.append(f"{name} {panel.done:,} {panel.unit} ({look.rates[name]:,.0f}/s{waits}{dead})")
    told.append(f"{look.store.memory_bytes / 1e6:,.0f} MB, {look.rates['commands']:,.0f} commands/s")
    return " · ".join(told)
