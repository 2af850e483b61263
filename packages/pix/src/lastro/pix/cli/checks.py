"""Pix's part of ``lastro check``."""

from lastro.core.redis import Hub
from lastro.pix.engine.pix import Pix
from lastro.pix.engine.reconcile import Finding, reconcile
from lastro.pix.settings import PixSettings


async def findings(hub: Hub) -> list[Finding]:
    """What does not add up, each named by its EndToEndId, participant or counter."""
    return (await reconcile(Pix.of(hub, PixSettings.read()))).findings
