"""What Pix says that anybody who keeps books of its movements must have: sums that only grow."""

from collections.abc import Mapping
from typing import Any

from .pix import Pix


async def totals(pix: Pix) -> Mapping[str, tuple[int, int]]:
    """Centavos debited and credited to each participant, and of the original messages; at one moment."""
    async with pix.hub.read.pipeline(transaction=True) as pipe:
        pipe.hgetall(pix.keys.accounts)
        pipe.hget(pix.keys.counters, "returned_cents")
        pipe.get(pix.keys.cents)
        told: Any = await pipe.execute()
    hash_, returned, settled = told
    parts = {field.decode(): int(value) for field, value in hash_.items()}
    sums: dict[str, int] = {}
    paid_in = 0
    for ispb in (field for field in parts if ":" not in field):
        paid_in += parts.get(f"{ispb}:in", 0)
        sums[f"{ispb}.credits"] = parts.get(f"{ispb}:in", 0) + parts.get(f"{ispb}:funded", 0)
        sums[f"{ispb}.debits"] = parts.get(f"{ispb}:out", 0) + parts.get(f"{ispb}:drawn", 0)
    sums["confirmed"] = int(settled or 0) - (paid_in - int(returned or 0))
    return {name: (cents, cents) for name, cents in sums.items()}
