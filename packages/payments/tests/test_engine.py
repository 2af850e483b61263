"""The rules of payments, one concept each."""

from uuid import UUID

import pytest

from lastro.core.redis import Hub
from lastro.payments import keys
from lastro.payments.engine import Payments
from lastro.payments.errors import AlreadyAccepted
from lastro.payments.model import Payment
from lastro.payments.settings import PaymentsSettings

pytestmark = pytest.mark.anyio
SOME_ID = UUID("4a7901b8-7d26-4d9d-aa19-4dc1c7cf60b3")


async def test_a_repeated_payment_is_queued_once(hub: Hub) -> None:
    payments = Payments(hub, PaymentsSettings())
    for _ in range(3):
        await payments.accept(Payment(correlation_id=SOME_ID, amount_cents=1990))
    assert await hub.read.llen(keys.queue()) == 1


async def test_a_repeat_with_another_amount_is_refused(hub: Hub) -> None:
    payments = Payments(hub, PaymentsSettings())
    await payments.accept(Payment(correlation_id=SOME_ID, amount_cents=1990))
    with pytest.raises(AlreadyAccepted):
        await payments.accept(Payment(correlation_id=SOME_ID, amount_cents=1991))
