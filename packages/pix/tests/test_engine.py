"""Pix's rules, one concept each."""

import pytest

from lastro.core.redis import Hub
from lastro.pix import keys
from lastro.pix.engine import Pix
from lastro.pix.errors import AlreadySubmitted
from lastro.pix.model import Payment
from lastro.pix.settings import PixSettings

pytestmark = pytest.mark.anyio


async def test_a_repeated_payment_enters_the_stream_once(hub: Hub) -> None:
    pix = Pix(hub, PixSettings())
    for _ in range(3):
        await pix.submit(Payment(end_to_end_id="E1", amount_cents=100))
    assert await hub.read.xlen(keys.stream()) == 1


async def test_a_repeat_with_another_amount_is_refused(hub: Hub) -> None:
    pix = Pix(hub, PixSettings())
    await pix.submit(Payment(end_to_end_id="E1", amount_cents=100))
    with pytest.raises(AlreadySubmitted):
        await pix.submit(Payment(end_to_end_id="E1", amount_cents=101))
