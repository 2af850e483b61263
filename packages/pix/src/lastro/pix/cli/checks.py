"""Pix's part of ``lastro check``."""

from collections.abc import Callable, Mapping

from lastro.core.redis import Hub
from lastro.pix.engine.findings import Finding
from lastro.pix.engine.pix import Pix
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.engine.totals import totals as sums
from lastro.pix.settings import PixSettings


async def findings(hub: Hub, told: Callable[[int, int], None] = lambda _done, _total: None) -> list[Finding]:
    """What does not add up, each named by its EndToEndId, participant or counter."""
    return (await reconcile(Pix.of(hub, PixSettings.read()), told)).findings


async def totals(hub: Hub) -> Mapping[str, Mapping[str, tuple[int, int]]]:
    """What other domains' books of Pix must say, too."""
    return {"pix": await sums(Pix.of(hub, PixSettings.read()))}
