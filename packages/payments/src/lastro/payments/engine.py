"""What payments can do. Each method is one business act and at most one script."""

from dataclasses import dataclass
from typing import assert_never

from lastro.core.redis import Hub

from . import keys, scripts
from .errors import AlreadyAccepted
from .model import Payment
from .settings import PaymentsSettings


@dataclass(frozen=True, slots=True)
class Payments:
    """Payments on a hub."""

    hub: Hub
    settings: PaymentsSettings

    async def accept(self, payment: Payment) -> Payment:
        """Accept and queue it, once; a repeat gets the same answer. Raises AlreadyAccepted for another amount."""
        answer = await scripts.accept(
            self.hub.write,
            payment=keys.payment(str(payment.correlation_id)),
            queue=keys.queue(),
            correlation_id=str(payment.correlation_id),
            amount_cents=payment.amount_cents,
            remember_seconds=self.settings.remember_seconds,
        )
        match answer:
            case "ok" | "again":
                return payment
            case "differs":
                raise AlreadyAccepted(correlation_id=payment.correlation_id)
            case other:
                assert_never(other)
