"""The ledger's rules, one concept each."""

import pytest

from lastro.core.redis import Hub
from lastro.ledger.engine import Ledger
from lastro.ledger.errors import ExistsDifferently
from lastro.ledger.model import Account
from lastro.ledger.settings import LedgerSettings

pytestmark = pytest.mark.anyio


async def test_the_same_account_twice_is_one_account(hub: Hub) -> None:
    ledger = Ledger(hub, LedgerSettings())
    account = Account(id=1, ledger=700, code=10)
    assert await ledger.create_account(account) == await ledger.create_account(account)


async def test_an_account_that_exists_with_another_code_is_refused(hub: Hub) -> None:
    ledger = Ledger(hub, LedgerSettings())
    await ledger.create_account(Account(id=1, ledger=700, code=10))
    with pytest.raises(ExistsDifferently):
        await ledger.create_account(Account(id=1, ledger=700, code=11))
