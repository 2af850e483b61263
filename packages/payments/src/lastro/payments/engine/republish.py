"""What the books have, told anew to whoever follows the stream of final payments."""

from typing import Any

from lastro.payments import scripts

from . import Payments

REPUBLISH_MAX = 500


async def republish(payments: Payments, from_ms: int, to_ms: int) -> int:
    """Append what the books have of that time, both ends included, to the final stream anew, fees and all; how many.

    By time and not by rank: what is entered meanwhile, and told by its own commit, moves the ranks.
    """
    read, books = payments.hub.read, payments.keys.by_date
    done, at, limit = 0, from_ms, REPUBLISH_MAX
    told: set[bytes] = set()  # of the page before: each begins with its last millisecond
    while True:
        page: list[Any] = await read.zrange(books, at, to_ms, byscore=True, withscores=True, offset=0, num=limit)
        members = [member for member, _ in page if member not in told]
        for first in range(0, len(members), REPUBLISH_MAX):
            done += await scripts.republish(
                payments.hub.write,
                known=payments.keys.known,
                final=payments.keys.final,
                final_max=payments.settings.final_max,
                ids=[member.decode().split("|")[1] for member in members[first : first + REPUBLISH_MAX]],
            )
        if len(page) < limit:
            return done
        last = int(page[-1][1])
        limit = REPUBLISH_MAX if last > at else limit * 2  # a page of one millisecond: it has still more
        at, told = last, {member for member, _ in page}
