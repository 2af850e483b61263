"""The sending half: claims, charges, settles, recovers. And what other domains ask to have paid."""

import asyncio
import re
from collections.abc import Callable, Mapping

from lastro.core.errors import Invalid
from lastro.core.queue import open_queue
from lastro.core.redis import Hub
from lastro.core.streams import Message
from lastro.core.worker import Run
from lastro.core.worker.consume import Worker

from .engine import Payments
from .engine.reconcile import reconcile
from .engine.sender import Sender
from .model import AMOUNT_CENTS_MAX, PROCESSORS
from .settings import PaymentsSettings

TAKE_SIZE = 200
_uuid = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}").fullmatch
_cents = re.compile(rb"[1-9][0-9]{0,12}").fullmatch
_reference = re.compile(rb"[\w.:/-]{0,64}").fullmatch


async def send(run: Run) -> None:
    """Charge what was accepted, until told to stop."""
    await Sender(Payments.of(run.hub)).run(run)


async def take(run: Run) -> None:
    """Accept what other domains ask to have paid, each once; what is malformed goes to the dead letters."""
    payments = Payments.of(run.hub)
    queue = open_queue(f"stream://{payments.settings.charges_stream or payments.keys.charges}?group=payments", run.hub)

    async def accept(messages: list[Message]) -> Mapping[bytes, Exception]:
        told = await asyncio.gather(*(_accept(payments, message) for message in messages), return_exceptions=True)
        found = dict(zip((message.id for message in messages), told, strict=True))
        return {id_: error for id_, error in found.items() if isinstance(error, Exception)}

    await Worker.batches(queue, accept, size=TAKE_SIZE).run(run)


async def _accept(payments: Payments, message: Message) -> None:
    given = message.fields
    for field, fits in ((b"correlation_id", _uuid), (b"amount_cents", _cents), (b"reference", _reference)):
        if not fits(given.get(field, b"")):
            raise Invalid(field=field.decode(), reason="missing or malformed")
    amount_cents = int(given[b"amount_cents"])
    if amount_cents > AMOUNT_CENTS_MAX:
        raise Invalid(field="amount_cents", reason=f"more than {AMOUNT_CENTS_MAX}")
    await payments.accept(given[b"correlation_id"].decode(), amount_cents, given.get(b"reference", b"").decode())


async def check(hub: Hub, told: Callable[[int, int], None] = lambda done, total: None) -> list[str]:
    """What of the payments does not add up, for ``lastro check``; ``told`` hears of every page."""
    return await reconcile(Payments(hub, PaymentsSettings.read()), told)


async def totals(hub: Hub) -> Mapping[str, Mapping[str, tuple[int, int]]]:
    """What other domains' books of the payments must say, too."""
    charged = await Payments(hub, PaymentsSettings.read()).charged()
    return {"payments": {f"{name}.cents": (charged[name],) * 2 for name in PROCESSORS}}
