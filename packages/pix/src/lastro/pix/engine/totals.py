"""What Pix says that anybody who keeps books of its movements must have: sums that only grow."""

from collections.abc import Mapping

from .books import Books
from .pix import Pix


async def totals(pix: Pix) -> Mapping[str, tuple[int, int]]:
    """Centavos debited and credited to each participant, and of the original messages; at one moment."""
    books = await Books.read(pix)
    _, settled, _ = books.totals
    parts = {field.decode(): int(value) for field, value in books.accounts.items()}
    sums: dict[str, int] = {}
    paid_in = 0
    for ispb in (field for field in parts if ":" not in field):
        paid_in += parts.get(f"{ispb}:in", 0)
        sums[f"{ispb}.credits"] = parts.get(f"{ispb}:in", 0) + parts.get(f"{ispb}:funded", 0)
        sums[f"{ispb}.debits"] = parts.get(f"{ispb}:out", 0) + parts.get(f"{ispb}:drawn", 0)
    sums["confirmed"] = int(settled or 0) - (paid_in - int(books.counters.get(b"returned_cents", 0)))
    return {name: (cents, cents) for name, cents in sums.items()}
