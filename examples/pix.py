"""A bank pays another by Pix: submitted twice, settled once, told from both sides.

Run it: python examples/pix.py (on the embedded server, or the one that REDIS_URL names).
"""

import asyncio
import secrets
import string
from contextlib import suppress
from datetime import UTC, datetime

from lastro.core.errors import NotFound
from lastro.core.redis import connect
from lastro.core.settings import Settings
from lastro.core.worker import Run
from lastro.pix.engine import accounts, orders
from lastro.pix.engine.pix import Pix
from lastro.pix.model.ids import make_end_to_end_id
from lastro.pix.model.payment import Answer, Payment
from lastro.pix.model.record import Record
from lastro.pix.settings import PixSettings
from lastro.pix.worker import settle

PAYER, PAYEE = "99990001", "99990002"
LETTERS = string.ascii_letters + string.digits


async def main() -> None:
    """Print the payment's timeline."""
    settings = Settings.read()
    async with await connect(settings) as hub:
        pix = Pix.of(hub, PixSettings.read())
        worker = Run(hub=hub, settings=settings)
        settling = asyncio.create_task(settle(worker))

        await accounts.fund(pix, PAYER, 100_000, act=f"opening-{secrets.token_hex(4)}")
        await accounts.fund(pix, PAYEE, 0, act="opening")
        tail = "".join(secrets.choice(LETTERS) for _ in range(11))
        payment = Payment(
            end_to_end_id=make_end_to_end_id(PAYER, datetime.now(UTC), tail), payer=PAYER, payee=PAYEE, amount="12.50"
        )
        await orders.submit(pix, [payment])
        await orders.submit(pix, [payment])  # a repeat: paid once
        yes = Answer(end_to_end_id=payment.end_to_end_id, payee=PAYEE, status="ACSP", reason="")
        await reached(pix, payment.end_to_end_id, "ACCEPTED")
        await orders.answer(pix, [yes])
        record = await reached(pix, payment.end_to_end_id, "SETTLED")
        print(f"{record.id}: {record.state}, {record.cents} centavos")
        for event in await orders.timeline(pix, record.id):
            print(event.at_ms, event.what, event.detail)

        worker.stopping.set()
        await settling


async def reached(pix: Pix, payment_id: str, state: str) -> Record:
    """Wait for it."""
    while True:
        with suppress(NotFound):  # the worker has not seen it yet
            record = await orders.status(pix, payment_id)
            if record.state == state:
                return record
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main())
