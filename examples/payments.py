"""A payment through two processors, both played here: taken twice, charged once, counted to the cent.

Run it: python examples/payments.py (on the embedded server, or the one that REDIS_URL names).
"""

import asyncio
from uuid import uuid4

from lastro.core.redis import connect
from lastro.core.settings import Settings
from lastro.core.worker import Run
from lastro.payments.engine import Payments
from lastro.payments.engine.sender import Sender
from lastro.payments.settings import PaymentsSettings
from lastro.payments.simulator import Book
from lastro.payments.simulator.world import serve_books


async def main() -> None:
    """Print where it was charged, and the summary."""
    settings, payments_settings = Settings.read(), PaymentsSettings.read()
    books = {payments_settings.processor_default_url: Book(), payments_settings.processor_fallback_url: Book()}
    async with await connect(settings) as hub, serve_books(books):
        payments = Payments(hub, payments_settings)
        worker = Run(hub=hub, settings=settings)
        sending = asyncio.create_task(Sender(payments).run(worker))

        correlation_id = str(uuid4())
        print("taken:", await payments.accept(correlation_id, 1_990))
        print("taken again:", await payments.accept(correlation_id, 1_990))
        while (payment := await payments.payment(correlation_id)).state != "done":
            await worker.pause(0.01)
        print(f"{payment.state} by the {payment.processor} processor after {payment.attempts} attempt(s)")
        for processor, totals in (await payments.summary()).items():
            print(f"{processor}: {totals.requests} payments, {totals.amount_cents} cents")

        worker.stopping.set()
        await sending


if __name__ == "__main__":
    asyncio.run(main())
