"""Pix's part of ``lastro check``."""

from collections.abc import Callable, Mapping

from lastro.core.redis import Hub
from lastro.pix.engine.findings import Finding
from lastro.pix.engine.pix import Pix
from lastro.pix.engine.reconcile import reconcile
from lastro.pix.engine.shards import PixShards
from lastro.pix.engine.totals import totals as sums
from lastro.pix.settings import PixSettings


async def findings(hub: Hub, told: Callable[[int, int], None] = lambda _done, _total: None) -> list[Finding]:
    """What does not add up, each named by its EndToEndId, participant or counter."""
    settings = PixSettings.read()
    if settings.shards == 1:
        return await _engine(Pix.of(hub, settings), told)
    shards = PixShards.of(hub, settings, settings.shards)
    found = [finding for engine in shards.engines for finding in await _engine(engine, told)]
    return [*found, *[finding async for finding in shards.between()]]


async def _engine(pix: Pix, told: Callable[[int, int], None]) -> list[Finding]:
    report = await reconcile(pix, told)
    if report.sums_checked:
        return report.findings
    detail = "balances and counters were not compared: in every look records went to the archive, or were forgotten"
    return [*report.findings, Finding("not_compared", pix.keys.tag, detail)]


async def totals(hub: Hub) -> Mapping[str, Mapping[str, tuple[int, int]]]:
    """What other domains' books of Pix must say, too; nothing in shards, whose movements nobody posts."""
    settings = PixSettings.read()
    return {"pix": await sums(Pix.of(hub, settings))} if settings.shards == 1 else {}
