"""What payments shows of itself, from its totals, its queue and its processors' last words."""

from lastro.core.money import brl
from lastro.core.panels import Panel
from lastro.core.redis import Hub
from lastro.payments.model import PROCESSORS
from lastro.payments.settings import PaymentsSettings

from . import Payments, letters


async def panel(hub: Hub) -> Panel:
    """A few commands, whatever is stored."""
    payments = Payments(hub, PaymentsSettings.read())
    summed, health = await payments.summary(), await payments.health()
    waiting, flying, dead = await payments.waiting(), await payments.flying(), await letters.count(payments)
    oldest_ms = await payments.oldest_ms()
    return Panel(
        done=sum(summed[name].requests for name in PROCESSORS),
        unit="charged",
        cents=sum(summed[name].amount_cents for name in PROCESSORS),
        backlog=waiting + flying,
        oldest_seconds=oldest_ms / 1000,
        dead=dead,
        rows=(
            ("waiting", f"{waiting:,}"),
            ("oldest waits", f"{oldest_ms / 1000:.1f} s"),
            ("in flight", f"{flying:,}"),
            *(
                (f"{name} charged", f"{summed[name].requests:,} payments, {brl(summed[name].amount_cents)}")
                for name in PROCESSORS
            ),
            *(
                (f"{name} says", f"{'failing' if health[name].failing else 'well'}, {health[name].delay_ms:,} ms")
                for name in PROCESSORS
            ),
            ("dead", f"{dead:,}"),
        ),
        problems=(
            *(f"the {name} processor says that it fails" for name in PROCESSORS if health[name].failing),
            *((f"{dead:,} dead payments: lastro payments dead list",) if dead else ()),
        ),
    )
