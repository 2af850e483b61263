"""What Pix shows of itself beside the other domains; its own monitor shows more."""

from lastro.core.money import brl
from lastro.core.panels import Panel
from lastro.core.redis import Hub
from lastro.pix.settings import PixSettings

from .figures import figures, quantile
from .pix import Pix


async def panel(hub: Hub) -> Panel:
    """One look of the monitor's, told in the engine's terms."""
    found = await figures(Pix.of(hub, PixSettings.read()))
    waiting = [stream for stream in found.streams if stream.length]
    rejects = sorted(found.rejects.items(), key=lambda pair: -pair[1])
    return Panel(
        done=found.count,
        unit="settled",
        cents=found.cents,
        backlog=sum(stream.length for stream in waiting),
        oldest_seconds=max((stream.oldest_ms for stream in waiting), default=0) / 1000,
        dead=found.dead,
        p50_ms=quantile(found.latency, 0.5) or None,
        p99_ms=quantile(found.latency, 0.99) or None,
        rows=(
            ("settled", f"{found.count:,}"),
            ("moved", brl(found.cents)),
            *((f"in {stream.name}", f"{stream.length:,}, {stream.pending:,} in hand") for stream in found.streams),
            *((name, f"{count:,}") for name, count in sorted(found.counters.items())),
            *((f"rejected {code}", f"{count:,}") for code, count in rejects),
            ("outboxes", f"{found.outboxes_all:,}"),
        ),
        problems=(f"{found.dead:,} dead letters: lastro pix dead list",) if found.dead else (),
    )
