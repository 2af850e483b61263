"""What the ledger shows of itself, from its state, its change stream, and the streams that it posts."""

import asyncio
import struct
from typing import Any

from lastro.core.keys import Key
from lastro.core.panels import Panel
from lastro.core.redis import Hub
from lastro.core.streams import Group
from lastro.ledger import keys
from lastro.ledger.settings import LedgerSettings

from . import Ledger
from .post import followed

COUNTS = struct.Struct("<32x6s6s4x")
"""The counters in the state: accounts, transfers (scripts/parts/base.lua, STATE_LAYOUT)."""


async def panel(hub: Hub) -> Panel:
    """A few commands, whatever is stored. Its backlog is what it has not posted: entries of other domains' streams."""
    ledger = Ledger(hub, LedgerSettings.read())
    name = ledger.settings.name
    state: bytes | None = await hub.read.get(keys.state(name))  # type: ignore[assignment]  # replies are bytes here
    accounts, transfers = (int.from_bytes(part, "little") for part in COUNTS.unpack(state)) if state else (0, 0)
    changes = keys.changes(name)
    groups: list[Any] = await hub.read.xinfo_groups(changes) if await hub.read.exists(changes) else []
    behind = max((int(group.get("lag") or 0) + int(group["pending"]) for group in groups), default=0)
    backlog, oldest_seconds = await _unposted(ledger)
    return Panel(
        done=transfers,
        unit="transfers",
        backlog=backlog,
        oldest_seconds=oldest_seconds,
        rows=(
            ("accounts", f"{accounts:,}"),
            ("transfers", f"{transfers:,}"),
            ("pending with a timeout", f"{await hub.read.zcard(keys.expiries(name)):,}"),
            ("changes kept", f"{await hub.read.xlen(changes):,}"),
            ("slowest follower is behind by", f"{behind:,}"),
            ("waits to be posted", f"{backlog:,}"),
        ),
    )


async def _unposted(ledger: Ledger) -> tuple[int, float]:
    """How many entries wait to be posted, and the age of the oldest. A stream that nobody posts here has none."""
    group = ledger.settings.post_group
    streams = [Group(hub=ledger.hub, stream=Key(name), name=group, keep=True) for name in followed(ledger).values()]
    told = await asyncio.gather(*(stream.measure() for stream in streams))
    waiting = [(one.lag + one.pending + one.delayed, one.oldest_seconds) for one in told]
    return sum(count for count, _ in waiting), max((age for count, age in waiting if count), default=0.0)
