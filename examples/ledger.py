"""Two accounts, a transfer, a reserved one that is posted in part; what is asked twice happens once.

Run it: python examples/ledger.py (on the embedded server, or the one that REDIS_URL names).
"""

import asyncio

from lastro.core.redis import connect
from lastro.core.settings import Settings
from lastro.ledger import new_id
from lastro.ledger.engine import Ledger
from lastro.ledger.model.codes import TransferFlag
from lastro.ledger.model.records import Account, Transfer
from lastro.ledger.settings import LedgerSettings

CENTS, CUSTOMER = 700, 10  # the ledger (a unit of account) and the code (a kind of account): both are yours to number


async def main() -> None:
    """Print what becomes of each."""
    async with await connect(Settings.read()) as hub:
        ledger = Ledger(hub, LedgerSettings.read())

        ana, bia = new_id(), new_id()
        await ledger.create_accounts([Account(id=each, ledger=CENTS, code=CUSTOMER) for each in (ana, bia)])

        rent = Transfer(id=new_id(), debit_account_id=ana, credit_account_id=bia, amount=90_000, ledger=CENTS, code=1)
        print("rent:", (await ledger.create_transfer(rent)).status)
        print("rent, asked again:", (await ledger.create_transfer(rent)).status)

        deposit = Transfer(
            id=new_id(), debit_account_id=ana, credit_account_id=bia, amount=50_000, ledger=CENTS, code=2,
            flags=TransferFlag.PENDING, timeout=60,
        )  # fmt: skip
        print("deposit held:", (await ledger.create_transfer(deposit)).status)
        print(
            "a part of it taken:", (await ledger.create_transfer(ledger.posting(deposit.id, new_id(), 20_000))).status
        )

        account = await ledger.account(ana)
        print(f"ana owes {account.debits_posted} cents, {account.debits_pending} are held")


if __name__ == "__main__":
    asyncio.run(main())
