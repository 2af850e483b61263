"""What the ledger can do. Each method is one business act and at most one script."""

from dataclasses import dataclass
from typing import assert_never

from lastro.core.redis import Hub

from . import keys, scripts
from .errors import ExistsDifferently
from .model import Account
from .settings import LedgerSettings


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger on a hub."""

    hub: Hub
    settings: LedgerSettings
    name: str = "main"

    async def create_account(self, account: Account) -> Account:
        """Create it once; the same account again is the same answer. Raises ExistsDifferently."""
        answer = await scripts.create_account(
            self.hub.write, account=keys.account(self.name, account.id), content=f"{account.ledger}:{account.code}"
        )
        match answer:
            case "ok" | "exists":
                return account
            case "differs":
                raise ExistsDifferently(id=account.id)
            case other:
                assert_never(other)
