"""The sending half: claims, charges, settles, recovers."""

from lastro.core.redis import Hub
from lastro.core.worker import Run

from .engine import Payments
from .engine.reconcile import reconcile
from .engine.sender import Sender
from .settings import PaymentsSettings


async def send(run: Run) -> None:
    """Charge what was accepted, until told to stop."""
    await Sender(Payments.of(run.hub)).run(run)


async def check(hub: Hub) -> list[str]:
    """What of the payments does not add up, for ``lastro check``."""
    return await reconcile(Payments(hub, PaymentsSettings.read()))
