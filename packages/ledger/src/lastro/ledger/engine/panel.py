"""What the ledger shows of itself, from its state and its change stream alone."""

import struct
from typing import Any

from lastro.core.panels import Panel
from lastro.core.redis import Hub
from lastro.ledger import keys
from lastro.ledger.settings import LedgerSettings

COUNTS = struct.Struct("<32x6s6s4x")
"""The counters in the state: accounts, transfers (scripts/parts/base.lua, STATE_LAYOUT)."""


async def panel(hub: Hub) -> Panel:
    """Four commands, whatever is stored."""
    name = LedgerSettings.read().name
    state: bytes | None = await hub.read.get(keys.state(name))  # type: ignore[assignment]  # replies are bytes here
    accounts, transfers = (int.from_bytes(part, "little") for part in COUNTS.unpack(state)) if state else (0, 0)
    changes = keys.changes(name)
    groups: list[Any] = await hub.read.xinfo_groups(changes) if await hub.read.exists(changes) else []
    behind = max((int(group.get("lag") or 0) + int(group["pending"]) for group in groups), default=0)
    return Panel(
        done=transfers,
        unit="transfers",
        rows=(
            ("accounts", f"{accounts:,}"),
            ("transfers", f"{transfers:,}"),
            ("pending with a timeout", f"{await hub.read.zcard(keys.expiries(name)):,}"),
            ("changes kept", f"{await hub.read.xlen(changes):,}"),
            ("slowest follower is behind by", f"{behind:,}"),
        ),
    )
