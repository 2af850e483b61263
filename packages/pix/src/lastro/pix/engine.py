"""What Pix can do. Each method is one business act and at most one script."""

from dataclasses import dataclass
from typing import assert_never

from lastro.core.redis import Hub

from . import keys, scripts
from .errors import AlreadySubmitted
from .model import Payment
from .settings import PixSettings


@dataclass(frozen=True, slots=True)
class Pix:
    """Pix on a hub."""

    hub: Hub
    settings: PixSettings

    async def submit(self, payment: Payment) -> Payment:
        """Take a payment in, once; a repeat gets the same answer. Raises AlreadySubmitted for another amount."""
        answer = await scripts.submit(
            self.hub.write,
            payment=keys.payment(payment.end_to_end_id),
            stream=keys.stream(),
            end_to_end_id=payment.end_to_end_id,
            amount_cents=payment.amount_cents,
            remember_seconds=self.settings.remember_seconds,
        )
        match answer:
            case "ok" | "again":
                return payment
            case "differs":
                raise AlreadySubmitted(end_to_end_id=payment.end_to_end_id)
            case other:
                assert_never(other)
