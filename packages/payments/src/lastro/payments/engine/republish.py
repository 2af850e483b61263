"""What the books have, told anew to whoever follows the stream of final payments."""

from typing import Any

from lastro.payments import scripts

from . import Payments

REPUBLISH_MAX = 500


async def republish(payments: Payments, from_ms: int, to_ms: int) -> int:
    """Append what the books have of that time, both ends included, to the final stream anew, fees and all; how many."""
    read, books = payments.hub.read, payments.keys.by_date
    rank, end = int(await read.zcount(books, "-inf", f"({from_ms}")), int(await read.zcount(books, "-inf", to_ms))
    done = 0
    while rank < end:
        page: list[Any] = await read.zrange(books, rank, min(end, rank + REPUBLISH_MAX) - 1)
        done += await scripts.republish(
            payments.hub.write,
            known=payments.keys.known,
            final=payments.keys.final,
            final_max=payments.settings.final_max,
            ids=[member.decode().split("|")[1] for member in page],
        )
        rank += REPUBLISH_MAX
    return done
