"""Other domains' movements become transfers, each once: repeated, out of order, by killed workers, beside poison."""

import asyncio
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lastro.core.cli.check import Totals, differences
from lastro.core.keys import Key, beside
from lastro.core.local import Server
from lastro.core.queue.stream import StreamQueue
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.worker import Run
from lastro.ledger import keys, worker
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.check import check
from lastro.ledger.engine.panel import panel
from lastro.ledger.engine.post import followed
from lastro.ledger.engine.post import post as ledger_posts
from lastro.ledger.model.codes import TransferFlag
from lastro.ledger.model.ids import name_of, named_id
from lastro.ledger.model.postings.movement import Movement
from lastro.ledger.model.postings.payments import PAYMENTS
from lastro.ledger.model.postings.pix import pix_movements
from lastro.ledger.model.records import Transfer
from lastro.ledger.settings import LedgerSettings
from lastro.ledger.worker.post import post

pytestmark = pytest.mark.anyio

STREAM = "{pix_payments}:movements"
ONE, TWO = "99990001", "99990002"


@pytest.fixture
def ledger(hub: Hub) -> Ledger:
    return Ledger(hub, LedgerSettings())


@asynccontextmanager
async def posting(hub: Hub) -> AsyncIterator[None]:
    """The worker, until the block ends."""
    run = Run(hub=hub, settings=Settings())
    task = asyncio.create_task(post(run))
    try:
        yield
    finally:
        run.stopping.set()
        await task


async def all_posted(ledger: Ledger, stream: str = STREAM) -> None:
    """Until the group has nothing left to read or to acknowledge."""

    async def done() -> bool:
        groups = await ledger.hub.read.xinfo_groups(stream)
        if not groups or groups[0]["pending"]:
            return False
        after = f"({groups[0]['last-delivered-id'].decode()}"  # 6.2 does not tell a lag
        return not await ledger.hub.read.xrange(stream, min=after, count=1)

    await wait_for(done, "everything posted", within_seconds=20)


async def moved(ledger: Ledger, **fields: str) -> None:
    """An entry as Pix writes it."""
    await ledger.hub.write.xadd(STREAM, {name: value for name, value in fields.items()})  # noqa: C416 - typed as redis-py has it


async def balances(ledger: Ledger, name: str) -> tuple[int, int, int, int]:
    """Debits pending and posted, credits pending and posted."""
    each = await ledger.account(named_id(name))
    return each.debits_pending, each.debits_posted, each.credits_pending, each.credits_posted


async def test_a_payment_is_reserved_when_held_and_posted_when_settled(ledger: Ledger) -> None:
    async with posting(ledger.hub):
        await moved(ledger, funded=f"1000 - {ONE} 1763705000000001")
        await moved(ledger, held=f"300 {ONE} {TWO} E1\n40 {ONE} {TWO} E2")
        await all_posted(ledger)
        assert await balances(ledger, f"pix:{ONE}") == (340, 0, 0, 1000)
        await moved(ledger, settled=f"300 {ONE} {TWO} E1", released=f"40 {ONE} {TWO} E2")
        await moved(ledger, returned=f"100 {TWO} {ONE} D1")
        await moved(ledger, drawn=f"7 {ONE} - 1763705000000002")
        await all_posted(ledger)
    assert await balances(ledger, f"pix:{ONE}") == (0, 307, 0, 1100)
    assert await balances(ledger, f"pix:{TWO}") == (0, 100, 0, 300)
    assert await balances(ledger, "pix:central-bank") == (0, 1000, 0, 7)
    assert await check(ledger) == []


async def test_what_comes_out_of_order_or_twice_comes_to_the_same(ledger: Ledger) -> None:
    async with posting(ledger.hub):
        for _ in range(2):
            await moved(ledger, settled=f"300 {ONE} {TWO} E1", confirmed="25 - 4 txn_1@202611210600")
            await moved(ledger, held=f"300 {ONE} {TWO} E1")
        await all_posted(ledger)
    assert await balances(ledger, f"pix:{TWO}") == (0, 0, 0, 300)
    assert await balances(ledger, "pix:backend:4") == (0, 0, 0, 25)


async def test_what_makes_no_sense_is_a_dead_letter_and_stops_nothing(ledger: Ledger) -> None:
    async with posting(ledger.hub):
        await moved(ledger, held="what is this")
        await moved(ledger, settled=f"1 {ONE} {TWO} E1", released=f"1 {ONE} {TWO} E1")
        await moved(ledger, settled=f"300 {ONE} {TWO} E2")
        await all_posted(ledger)
    letters: Any = await ledger.hub.read.xrange(beside(STREAM, "dead"))
    told = b" ".join(value for _, fields in letters for value in fields.values())
    assert len(letters) == 2
    assert b"lines 'cents payer payee id'" in told
    assert b"pending_transfer_already_posted" in told
    assert (await balances(ledger, f"pix:{TWO}"))[3] == 301


async def test_its_totals_are_the_movements_and_what_waits_is_in_the_upper_end(ledger: Ledger) -> None:
    assert await worker.totals(ledger.hub) == {}
    async with posting(ledger.hub):
        await moved(ledger, settled=f"300 {ONE} {TWO} E1", confirmed="25 - 4 txn_1@202611210600")
        await all_posted(ledger)
    await moved(ledger, settled=f"50 {ONE} {TWO} E2", held=f"9 {ONE} {TWO} E3")
    told = (await worker.totals(ledger.hub))["pix"]
    assert told == {
        f"{ONE}.debits": (300, 350), f"{ONE}.credits": (0, 0),
        f"{TWO}.debits": (0, 0), f"{TWO}.credits": (300, 350),
        "confirmed": (25, 25),
    }  # fmt: skip
    of_pix = {name: (high, high) for name, (_, high) in told.items()}
    says: dict[str, Totals] = {"pix": {"pix": of_pix}, "ledger": {"pix": told}}
    assert list(differences(says, says)) == []
    of_pix[f"{TWO}.credits"] = (351, 351)
    assert list(differences(says, says)) == [f"pix {TWO}.credits: 351 by pix, 300 to 350 by ledger"]


async def test_what_waits_for_its_next_try_is_in_the_upper_end_of_its_totals(ledger: Ledger) -> None:
    """Found by chaos: after an outage `lastro check` missed money that was only late, by up to a minute."""
    async with posting(ledger.hub):
        await moved(ledger, settled=f"300 {ONE} {TWO} E1")
        await all_posted(ledger)
    queue = StreamQueue(ledger.hub, Key(STREAM), group=ledger.settings.post_group, keep=True)
    consumer = queue.consumer("one")
    await moved(ledger, settled=f"50 {ONE} {TWO} E2")
    (message,) = await consumer.read(1, block_seconds=0)
    assert await consumer.retry(message, delay_seconds=60)
    told = (await worker.totals(ledger.hub))["pix"]
    assert (told[f"{ONE}.debits"], told[f"{TWO}.credits"]) == ((300, 350), (300, 350))


async def test_the_panel_s_backlog_is_what_was_not_posted(ledger: Ledger) -> None:
    """Put off, in hand, or not read, of both domains; what nobody posts here is nobody's backlog."""
    payments: Any = followed(ledger)[PAYMENTS]
    await moved(ledger, settled=f"300 {ONE} {TWO} E1")
    told = await panel(ledger.hub)
    assert (told.backlog, told.oldest_seconds) == (0, 0)
    async with posting(ledger.hub):
        await all_posted(ledger)
    told = await panel(ledger.hub)
    assert (told.backlog, told.oldest_seconds) == (0, 0)
    for number in range(2, 5):
        await moved(ledger, settled=f"50 {ONE} {TWO} E{number}")
    await ledger.hub.write.xadd(payments, {name: value for name, value in final(1).items()})  # noqa: C416 - as above
    consumer = StreamQueue(ledger.hub, Key(STREAM), group=ledger.settings.post_group, keep=True).consumer("one")
    put_off, _ = await consumer.read(2, block_seconds=0)
    assert await consumer.retry(put_off, delay_seconds=60)
    told = await panel(ledger.hub)
    assert told.backlog == 4 or (told.backlog > 4 and not ledger.hub.capabilities.shebang)  # 6.2 does not tell a lag
    await wait_for(lambda: aged(ledger.hub), "the oldest grows older")


async def aged(hub: Hub) -> bool:
    """What waits to be posted has waited."""
    return (await panel(hub)).oldest_seconds > 0.05


def final(number: int, *, state: str = "done", processor: str = "default", cents: int = 1990) -> dict[str, str | int]:
    """An entry as payments writes it."""
    told = {"correlation_id": f"4a7901b8-7d26-4d9d-aa19-{number:012d}", "state": state, "processor": processor}
    return {**told, "amount_cents": cents, "fee_cents": 100, "requested_at_ms": 1_763_705_000_000, "reason": ""}


async def test_a_payment_is_posted_with_what_its_processor_keeps(ledger: Ledger) -> None:
    stream: Any = followed(ledger)[PAYMENTS]
    entries = [final(1), final(1), final(2, processor="fallback", cents=10), final(3, state="dead")]
    entries += [final(4, processor="third"), final(5) | {"amount_cents": "1.5"}]
    async with posting(ledger.hub):
        for entry in entries:
            await ledger.hub.write.xadd(stream, {name: value for name, value in entry.items()})  # noqa: C416 - as above
        await all_posted(ledger, stream)
    assert await balances(ledger, "pay:default") == (0, 1990, 0, 100)
    assert await balances(ledger, "pay:fallback") == (0, 10, 0, 100)
    assert await balances(ledger, "pay:received") == (0, 0, 0, 2000)
    assert await balances(ledger, "pay:fees") == (0, 200, 0, 0)
    told = await worker.totals(ledger.hub)
    assert told["payments"] == {"default.cents": (1990, 1990), "fallback.cents": (10, 10)}
    letters: Any = await ledger.hub.read.xrange(beside(stream, "dead"))
    assert [b"'third'" in letter[b"error"] or b"'1.5'" in letter[b"error"] for _, letter in letters] == [True, True]


CLOSING = TransferFlag.PENDING | TransferFlag.CLOSING_DEBIT


async def closed(ledger: Ledger, name: str, number: int) -> None:
    """An operator freezes an account, by a transfer that can be voided."""
    of, other = named_id(f"pix:{name}"), named_id("pix:central-bank")
    closing = Transfer(id=number, debit_account_id=of, credit_account_id=other, ledger=986, code=1, flags=CLOSING)
    assert (await ledger.create_transfer(closing)).ok


def entry_of(kind: str, number: int, cents: int = 300) -> list[Movement]:
    return list(pix_movements({kind.encode(): f"{cents} {ONE} {TWO} E{number}".encode()}))


async def test_a_dead_letter_is_posted_once_its_reason_is_gone(ledger: Ledger) -> None:
    """What was refused has burnt its id: it is posted under another one, and every repeat finds it there."""
    await ledger_posts(ledger, [list(pix_movements({b"funded": f"1000 - {ONE} f1".encode()}))])
    await closed(ledger, ONE, 5)
    for _ in range(3):
        refused = await ledger_posts(ledger, [entry_of("held", 1)])
        assert "debit_account_already_closed" in str(refused[0])
    assert list(await ledger_posts(ledger, [entry_of("settled", 1)])) == [0]
    assert (await ledger.create_transfer(ledger.voiding(5, 6))).ok
    for kind in ("held", "settled", "held", "settled"):
        assert await ledger_posts(ledger, [entry_of(kind, 1)]) == {}
    assert await balances(ledger, f"pix:{ONE}") == (0, 300, 0, 1000)
    assert await check(ledger) == []


async def test_what_was_refused_just_now_is_not_tried_under_another_id_at_once(ledger: Ledger) -> None:
    """The same movement twice in one call burns one id; the next call goes past it, and burns one more."""
    await ledger_posts(ledger, [list(pix_movements({b"funded": f"1 - {ONE} f1".encode()}))])
    await closed(ledger, ONE, 5)
    first = named_id("pix:held:E1")
    ids = [first, *(named_id(f"again:{number}:{first}") for number in (1, 2))]
    for burnt in (1, 2):
        assert set(await ledger_posts(ledger, [entry_of("held", 1), entry_of("settled", 1)])) == {0, 1}
        assert await ledger.hub.read.exists(*[keys.transfer(ledger.settings.name, id_) for id_ in ids]) == burnt


async def test_whatever_is_refused_and_replayed_how_often_each_is_posted_once(ledger: Ledger) -> None:
    """Accounts are closed and opened at any moment, entries come in any order, several times and at once."""
    chance = random.Random(11)
    await ledger_posts(ledger, [list(pix_movements({b"funded": f"1 - {who} f{who}".encode()})) for who in (ONE, TWO)])
    entries = [entry_of("held", n, 1 << n) for n in range(100)]
    entries += [entry_of("released" if n % 2 else "settled", n, 1 << n) for n in range(100)]
    frozen: dict[str, int] = {}
    number, refusals = 1000, 0

    async def some_come() -> None:
        nonlocal refusals
        refusals += len(await ledger_posts(ledger, chance.choices(entries, k=10)))

    for _ in range(60):
        who, number = chance.choice((ONE, TWO)), number + 2
        if who in frozen:
            assert (await ledger.create_transfer(ledger.voiding(frozen.pop(who), number + 1))).ok
        else:
            await closed(ledger, who, number)
            frozen[who] = number
        await asyncio.gather(*(some_come() for _ in range(3)))
    for at in frozen.values():
        assert (await ledger.create_transfer(ledger.voiding(at, at + 1))).ok
    for _ in range(2):
        assert await ledger_posts(ledger, chance.sample(entries, k=len(entries))) == {}
    assert refusals > 50
    settled = sum(1 << n for n in range(100) if n % 2 == 0)
    assert await balances(ledger, f"pix:{ONE}") == (0, settled, 0, 1)
    assert await balances(ledger, f"pix:{TWO}") == (0, 0, 0, settled + 1)
    assert await check(ledger) == []


WORKER = """
import asyncio, sys
from lastro.core.redis import connect_url
from lastro.core.settings import Settings
from lastro.core.worker import Run
from lastro.ledger.worker.post import post

async def main():
    async with await connect_url(sys.argv[1]) as hub:
        await post(Run(hub=hub, settings=Settings()))

asyncio.run(main())
"""


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_killed_workers_post_every_payment_once(ledger: Ledger, server: Server) -> None:
    """Two workers killed while they work; a third finds what they left."""
    expected: Counter[str] = Counter()
    chance = random.Random(7)
    for batch in range(300):
        lines = []
        for number in range(20):
            cents = chance.randint(1, 10_000)
            expected[TWO] += cents
            lines.append(f"{cents} {ONE} {TWO} E{batch}-{number}")
        await moved(ledger, held="\n".join(lines))
        await moved(ledger, settled="\n".join(lines))
    for share in (0.2, 0.6):
        dying = subprocess.Popen([sys.executable, "-c", WORKER, server.url], stderr=subprocess.DEVNULL)  # noqa: ASYNC220 - it starts, we do not wait

        async def posted(least: float = share * expected[TWO]) -> bool:
            found = await ledger.lookup_accounts([named_id(f"pix:{TWO}")])
            return bool(found) and found[0].credits_posted >= least

        await wait_for(posted, "some posted", within_seconds=60)
        dying.kill()
        dying.wait()
    # what the dead held is idle: make it old enough to be taken over at once
    abandoned: Any = await ledger.hub.write.xpending_range(STREAM, "ledger", "-", "+", 1_000)
    for each in abandoned:
        entry, holder = each["message_id"], each["consumer"]
        await ledger.hub.write.xclaim(STREAM, "ledger", holder, 0, [entry], idle=3_600_000, justid=True)
    async with posting(ledger.hub):
        await all_posted(ledger)
    assert (await ledger.account(named_id(f"pix:{TWO}"))).credits_posted == expected[TWO]
    assert await check(ledger) == []


def test_a_short_name_is_its_account_s_id() -> None:
    assert name_of(named_id(f"pix:{ONE}")) == f"pix:{ONE}"
    assert named_id("pix:held:E9999000120261121061200000000001") < 1 << 128
    (movement,) = pix_movements({b"held": b"5 99990001 99990002 E1"})
    assert movement.posted[2] == 0
