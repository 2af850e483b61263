"""Two coupons, three who want one: a winner who asks again gets the same, and who comes late hears it at once.

Run it: python examples/coupons.py (on the embedded server, or the one that REDIS_URL names).
"""

import asyncio
import secrets

from lastro.core.redis import connect
from lastro.core.settings import Settings
from lastro.coupons.engine import Coupons, events
from lastro.coupons.errors import SoldOut
from lastro.coupons.model.event import Plan
from lastro.coupons.settings import CouponsSettings


async def main() -> None:
    """Print who got what."""
    async with await connect(Settings.read()) as hub:
        coupons = Coupons(hub, CouponsSettings.read())

        event_id = f"launch-{secrets.token_hex(4)}"
        await events.create(coupons, Plan(event_id=event_id, total=2), opened=True)
        for user in ("ana", "bia", "ana", "caio"):
            try:
                given = await coupons.issue(event_id, user)
            except SoldOut as no:
                print(f"{user}: {no}")
            else:
                print(f"{user}: coupon {given.issuance.seq}, {given.issuance.code}{'' if given.new else ', as before'}")

        event = await coupons.event(event_id)
        print(f"{event.issued} issued, {event.stock} left of {event.total}")
        await coupons.aclose()


if __name__ == "__main__":
    asyncio.run(main())
