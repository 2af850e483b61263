"""A transfer of a movement under an id that can still be used.

What a transient code refuses (such as ``debit_account_already_closed``) burns its id: nothing is ever carried out under
it, not by a repeat, either. So the transfer has a second id, derived from its first, a third and so on, and the one
that counts is the first of them that is not burnt. Being burnt lasts, as being carried out does: whoever comes this
way, however often, tries the same ids in the same order, goes past one only when nothing can be carried out under it
any more, and stops at the one that was carried out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lastro.ledger.model.codes import TransferCode
from lastro.ledger.model.ids import named_id
from lastro.ledger.model.records import Transfer

from .movement import Movement

POSTED = {TransferCode.OK, TransferCode.EXISTS}


@dataclass(slots=True)
class Attempt:
    """At one transfer of a movement."""

    entry: int
    """The place of the stream entry that it is from."""
    first: Transfer
    """Under its first id; what it settles under its first one, too."""
    settles: "Attempt | None"
    burnt: int = 0
    """How many of its ids are."""
    refused: bool = False

    @property
    def transfer(self) -> Transfer:
        """As it is to be tried now."""
        pending = self.settles
        if self.burnt == 0 and (pending is None or pending.burnt == 0):
            return self.first
        pending_id = self.first.pending_id if pending is None else _id(pending.first.id, pending.burnt)
        return replace(self.first, id=_id(self.first.id, self.burnt), pending_id=pending_id)

    def again(self, result: int, tried: Transfer, fresh: set[int]) -> bool:
        """Whether to try the next id, after that answer; if not, it is posted or refused.

        Who settled a burnt reservation heard that there is none, which burnt its id, too; unless it is refused itself,
        the reservation is tried under its next one by now. ``fresh`` are the ids that this call has seen refused:
        nobody goes past one of them at once, since without replicas that are waited for (LASTRO_REDIS_REPLICAS) a
        failover could still take it back.
        """
        pending = self.settles
        if result in POSTED:
            return False
        in_vain = pending is not None and not pending.refused and pending.transfer.id != tried.pending_id
        if result == TransferCode.ID_ALREADY_FAILED:
            self.refused = tried.id in fresh or (pending is not None and pending.refused)
        else:
            self.refused = not (in_vain and result == TransferCode.PENDING_TRANSFER_NOT_FOUND)
        if self.refused:
            fresh.add(tried.id)
        self.burnt += not self.refused
        return not self.refused


def attempts(entry: int, movement: Movement) -> Iterator[Attempt]:
    """At a movement's transfers, in their order: the second of two settles the first."""
    before: Attempt | None = None
    for transfer in movement.transfers:
        before = Attempt(entry, transfer, before)
        yield before


def _id(first: int, burnt: int) -> int:
    return named_id(f"again:{burnt}:{first}") if burnt else first
