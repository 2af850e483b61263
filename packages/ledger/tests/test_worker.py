"""The background work: what is over is released, the stream keeps its length."""

import asyncio
import time
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.worker import Run, run
from lastro.ledger import keys, worker
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.shards import Shards
from lastro.ledger.model.codes import TransferFlag
from lastro.ledger.model.crossing import Crossing
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


async def test_what_one_shard_cannot_release_or_finish_keeps_no_other_from_it(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two shards, the first has no list of what expires and none of what crosses, but something else there."""
    monkeypatch.setenv("LASTRO_LEDGER_SHARDS", "2")
    monkeypatch.setenv("LASTRO_LEDGER_RECOVER_AFTER_SECONDS", "0.1")
    shards = await Shards.open(hub, LedgerSettings.read(), 2)
    ids = [[each for each in range(1, 20) if shards.home(each) == home][:2] for home in range(2)]
    await shards.create_accounts([Account(id=each, ledger=1, code=1) for some in ids for each in some])
    for number, (payer, payee) in enumerate(ids, 10):
        held = Transfer(id=number, debit_account_id=payer, credit_account_id=payee, amount=5, ledger=1, code=1)
        await shards.create_transfer(replace(held, flags=TransferFlag.PENDING, timeout=1))
    payer, away = ids[1][0], ids[0][0]
    crossing = Crossing(
        Transfer(id=2, debit_account_id=payer, credit_account_id=away, amount=7, ledger=1, code=1), 1, 0
    )
    await shards.coordinator._open({crossing.pair})
    await shards.ledgers[1].create_transfers([crossing.hold_home], crossing=True, metadata={0: crossing.note})
    for key in (keys.crossings(shards.ledgers[0].name), keys.expiries(shards.ledgers[0].name)):
        await hub.write.set(key, "something else")
    running = Run(hub=hub, settings=Settings())
    works = asyncio.create_task(run({"ledger.expire": worker.expire, "ledger.cross": worker.cross}, running))

    async def both() -> bool:
        account = await shards.account(payer)
        return (account.debits_pending, account.debits_posted) == (0, 7)

    await wait_for(both, "the release and the crossing", within_seconds=10)
    running.stopping.set()
    await works


async def test_a_stream_that_cannot_be_trimmed_ends_no_worker_and_is_logged_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two shards, the first has something else there; what expires on it fails ten times a second."""
    monkeypatch.setenv("LASTRO_LEDGER_SHARDS", "2")
    monkeypatch.setenv("LASTRO_LEDGER_CHANGES_KEEP", "100")
    for pause in ("RETAIN", "EXPIRE"):
        monkeypatch.setenv(f"LASTRO_LEDGER_{pause}_EVERY_SECONDS", "0.02")
    shards = await Shards.open(hub, LedgerSettings.read(), 2)
    first, second, *_, payer, payee = sorted(range(1, 40), key=shards.home)
    await shards.create_accounts([Account(id=each, ledger=1, code=1) for each in range(1, 40)])
    pay = Transfer(id=1, debit_account_id=payer, credit_account_id=payee, amount=1, ledger=1, code=1)
    due = replace(pay, debit_account_id=first, credit_account_id=second, flags=TransferFlag.PENDING, timeout=1)
    await shards.create_transfer(due)
    broken, whole = [keys.changes(ledger.name) for ledger in shards.ledgers]
    await hub.write.set(broken, "something else")
    await hub.write.set(keys.expiries(shards.ledgers[0].name), "something else")
    running = Run(hub=hub, settings=Settings())
    with capture_logs() as logs:
        works = asyncio.create_task(run({"ledger.expire": worker.expire, "ledger.retain": worker.retain}, running))

        async def trimmed() -> bool:
            return await hub.read.xlen(whole) < 300

        async def both() -> bool:
            return {"expire.failed", "retain.failed"} <= {each["event"] for each in logs}

        await wait_for(both, "the failures", within_seconds=10)
        for round_ in range(1, 4):
            await shards.create_transfers([replace(pay, id=1000 * round_ + each) for each in range(600)])
            await wait_for(trimmed, "the stream of the other shard", within_seconds=10)
        running.stopping.set()
        await works
    failed = [(each["event"], each["ledger"]) for each in logs if each["log_level"] == "error"]
    assert sorted(failed) == [(f"{each}.failed", shards.ledgers[0].name) for each in ("expire", "retain")]
