"""The sending half: claims, charges, settles, recovers."""

from lastro.core.worker import Run

from .engine import Payments
from .engine.sender import Sender
from .settings import PaymentsSettings


async def send(run: Run) -> None:
    """Charge what was accepted, until told to stop."""
    await Sender(Payments(run.hub, PaymentsSettings.read())).run(run)
