"""The background work: what is over is released, the stream keeps its length."""

import asyncio
import time

import pytest

from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.worker import Run, run
from lastro.ledger import worker
from lastro.ledger.engine import Ledger
from lastro.ledger.model.codes import TransferFlag
from lastro.ledger.model.records import Account, Transfer
from lastro.ledger.settings import LedgerSettings

pytestmark = pytest.mark.anyio


async def test_a_reservation_is_released_within_a_second_of_its_end(hub: Hub) -> None:
    ledger = Ledger(hub, LedgerSettings())
    await ledger.create_accounts([Account(id=number, ledger=1, code=1) for number in (1, 2)])
    pending = Transfer(
        id=3, debit_account_id=1, credit_account_id=2, amount=5, ledger=1, code=1, flags=TransferFlag.PENDING, timeout=1
    )
    reserved = time.monotonic()
    await ledger.create_transfer(pending)
    running = Run(hub=hub, settings=Settings())
    works = asyncio.create_task(run({"ledger.expire": worker.expire, "ledger.retain": worker.retain}, running))

    async def released() -> bool:
        return (await ledger.account(1)).debits_pending == 0

    assert not await released() or time.monotonic() - reserved >= 1
    await wait_for(released, "the release", within_seconds=2)
    assert await worker.check(hub) == []
    running.stopping.set()
    await works
