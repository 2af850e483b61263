"""Each payment is charged once, at one processor, whatever the processors do."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

import pytest
import uvicorn

from lastro.core.app import Server
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import standstill, wait_for
from lastro.core.worker import Run
from lastro.payments import scripts
from lastro.payments.engine import Payments
from lastro.payments.engine.http import Answer, HttpClient
from lastro.payments.engine.place import PROBE_SECONDS
from lastro.payments.engine.processor import Client, outcome_of
from lastro.payments.engine.sender import Sender
from lastro.payments.model import Claim
from lastro.payments.settings import PaymentsSettings
from lastro.payments.simulator import RUNNING_MAX, Book, Hostile, processor_app

pytestmark = pytest.mark.anyio


one_server = pytest.mark.parametrize("server", ["cluster"], indirect=True)


@dataclass
class World:
    """Two processors and an engine that may send to them."""

    default: Book
    fallback: Book
    payments: Payments
    run: Run

    async def pay(self, count: int = 1) -> list[str]:
        """Accept so many payments."""
        ids = [str(uuid4()) for _ in range(count)]
        await asyncio.gather(*(self.payments.accept(id_, 1990) for id_ in ids))
        return ids

    async def all_done(self, ids: list[str]) -> bool:
        """Every one of them is in the books."""
        return all([(await self.payments.payment(id_)).state == "done" for id_ in ids])

    async def agrees(self, ids: list[str]) -> None:
        """Each id at exactly one processor, and our books equal to theirs, to the cent and the millisecond."""
        both = [id_ for book in (self.default, self.fallback) for id_ in book.payments]
        assert sorted(both) == sorted(ids)
        totals = await self.payments.summary()
        for name, book in (("default", self.default), ("fallback", self.fallback)):
            assert totals[name].requests == len(book.payments), name  # type: ignore[index]  # the two names
            for id_, (cents, at) in book.payments.items():
                ours = await self.payments.payment(id_)
                assert (ours.amount_cents, ours.requested_at_ms, ours.processor) == (cents, at, name)


@asynccontextmanager
async def listening(book: Book) -> AsyncIterator[str]:
    """A processor on a free port."""
    config = uvicorn.Config(
        processor_app(book), port=0, log_config=None, access_log=False, timeout_graceful_shutdown=1, loop="asyncio"
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    await wait_for(lambda: server.started, "the processor")
    yield server.url
    server.should_exit = True
    await serving


@pytest.fixture
async def world(hub: Hub) -> AsyncIterator[World]:
    """Healthy processors; the sender is not running yet."""
    default, fallback = Book(), Book()
    async with listening(default) as default_url, listening(fallback) as fallback_url:
        settings = PaymentsSettings(
            processor_default_url=default_url,
            processor_fallback_url=fallback_url,
            max_concurrent_requests=50,
            patience_ms=100,
        )
        run = Run(hub=hub, settings=Settings(grace_seconds=20))
        yield World(default, fallback, Payments(hub, settings), run)


@asynccontextmanager
async def sending(world: World) -> AsyncIterator[None]:
    """The sender at work; ended as SIGTERM ends it."""
    await world.payments.renew()
    work = asyncio.create_task(Sender(world.payments).run(world.run))
    yield
    world.run.stopping.set()
    await work


async def test_healthy_processors_charge_everything_at_the_default(world: World) -> None:
    ids = await world.pay(200)
    async with standstill() as lost, sending(world):
        await wait_for(lambda: world.all_done(ids), "all charges")
    await world.agrees(ids)
    assert len(world.default.payments) == 200 or lost.seconds > 1, "one that stands still is slow"


async def test_what_another_process_accepts_is_charged_at_once(world: World) -> None:
    """An API apart from its senders only queues."""
    async with sending(world):
        await wait_for(lambda: world.payments.sending, "the sender")
        apart = Payments(world.payments.hub, world.payments.settings)
        for _ in range(5):
            async with standstill(world.payments.hub) as lost:
                id_, began = str(uuid4()), time.monotonic()
                await apart.accept(id_, 1990)
                await wait_for(partial(world.all_done, [id_]), "the charge")
                assert time.monotonic() - began - lost.seconds < 0.9, "not only once a second"


async def test_a_payment_whose_way_is_clear_is_claimed_as_it_is_accepted(world: World) -> None:
    ids = await world.pay()

    async def claimed() -> bool:
        """Not if the machine stood still: then the lease may be over, or the default seem slow."""
        ids.extend(await world.pay())
        return (await world.payments.payment(ids[-1])).state != "queued"

    async with sending(world):
        await wait_for(lambda: world.all_done(ids), "the sender at work")
        await wait_for(claimed, "a claim")
        await wait_for(lambda: world.all_done(ids), "the charges")
    await world.agrees(ids)


async def test_while_the_default_fails_the_fallback_charges(world: World) -> None:
    world.default.failing = True
    ids = await world.pay(50)
    async with sending(world):
        await wait_for(lambda: world.all_done(ids), "all charges")
    await world.agrees(ids)
    assert len(world.fallback.payments) == 50


async def test_while_both_fail_everything_is_accepted_and_drains_when_one_is_back(world: World) -> None:
    world.default.failing = world.fallback.failing = True
    async with sending(world):
        ids = await world.pay(100)
        await wait_for(lambda: len(world.default.journal) + len(world.fallback.journal) >= 2, "some refusals")
        assert not world.default.payments
        world.default.failing = False
        await wait_for(lambda: world.all_done(ids), "the drain")
    await world.agrees(ids)


async def test_while_no_processor_can_be_reached_both_are_told_to_fail_and_a_payment_grows_old(world: World) -> None:
    """Each probe takes it out of the queue and gives it back: it has waited since it was accepted all the same."""
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        urls = {"processor_default_url": url, "processor_fallback_url": url}
        payments = Payments(world.payments.hub, world.payments.settings.model_copy(update=urls))
        unreachable = replace(world, payments=payments)
        (id_,) = await unreachable.pay()
        accepted = time.monotonic()
        async with sending(unreachable):

            async def tried() -> bool:
                health, payment = await payments.health(), await payments.payment(id_)
                return all(each.failing for each in health.values()) and payment.attempts > 5

            await wait_for(tried, "some probes, and a word on each")
            waited_ms = (time.monotonic() - accepted) * 1000

            async def old() -> bool:  # nothing of the queue while it is probed
                return await payments.oldest_ms() >= waited_ms > 2 * PROBE_SECONDS * 1000

            await wait_for(old, "all of its age")
        assert (await payments.payment(id_)).state == "queued"


@pytest.mark.parametrize("hostile", ["babble", "maze"])
async def test_what_a_processor_says_beside_its_contract_is_no_answer(world: World, hostile: Hostile) -> None:
    world.default.hostile = hostile
    client = Client(HttpClient(world.payments.settings.processor_default_url, 1.0, 5.0))
    assert await client.health() is None
    assert await client.find(str(uuid4())) == "unknown"
    client.http.close()


@pytest.mark.parametrize("held", [(-1000, 1), (10**12 + 1, 1), (1990, 253_370_764_800_000)])
async def test_a_record_that_no_payment_can_have_is_no_answer(world: World, held: tuple[int, int]) -> None:
    """Our books would refuse it, and with it all that is entered beside it."""
    world.default.payments["7"] = held
    client = Client(HttpClient(world.payments.settings.processor_default_url, 1.0, 5.0))
    assert await client.find("7") == "unknown"
    client.http.close()


@pytest.mark.parametrize("hostile", ["close_after_record", "fail_after_record"])
async def test_a_charge_whose_answer_was_lost_is_found_where_it_is_and_never_made_elsewhere(
    world: World, hostile: str
) -> None:
    """The processor took it and said nothing: the same id and the same requestedAt are sent there again."""
    world.default.hostile = hostile  # type: ignore[assignment]  # the two modes above
    ids = await world.pay(20)
    async with sending(world):
        await wait_for(lambda: len(world.default.payments) == 20, "the silent charges")
        world.default.hostile = ""
        await wait_for(lambda: world.all_done(ids), "their books")
    await world.agrees(ids)
    assert not world.fallback.payments


async def test_a_charge_whose_answer_was_lost_is_not_dead_because_its_repeat_is_refused(world: World) -> None:
    """Something between us and the processor refuses everything now; the first try went through."""
    world.default.hostile = "close_after_record"
    (id_,) = await world.pay()
    async with sending(world):
        await wait_for(lambda: world.default.payments, "the silent charge")
        world.default.hostile = "refuse_after_record"
        await wait_for(lambda: world.all_done([id_]), "its books")
        world.default.hostile = ""
    await world.agrees([id_])


async def test_what_was_refused_and_taken_all_the_same_is_not_dead(world: World) -> None:
    world.default.hostile = "refuse_after_record"
    ids = await world.pay(5)
    async with sending(world):
        await wait_for(lambda: world.all_done(ids), "their books")
    await world.agrees(ids)


@one_server
async def test_not_here_proves_nothing_while_any_answer_may_be_under_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delay was raised and lowered again, unseen by the process that resolves what a dead one had sent."""
    monkeypatch.setattr("lastro.payments.engine.sender.UNPIN_MARGIN_SECONDS", 0.3)
    dead = Payments(world.payments.hub, world.payments.settings)
    (id_,) = await world.pay()
    await dead.renew()
    (claim,) = await dead.claim("default", 1)
    await world.payments.hub.write.hset(world.payments.keys.owners, dead.owner, "0")
    world.default.failing = True
    async with sending(world):
        await wait_for(lambda: sum(call.method == "POST" for call in world.default.journal) > 6, "tries to find it")
        world.default.failing = False
        await world.default.pay(id_, claim.amount_cents, claim.requested_at_ms)
        await wait_for(lambda: world.all_done([id_]), "its books")
    await world.agrees([id_])


@one_server
async def test_what_was_given_back_meanwhile_is_not_sent_again(world: World) -> None:
    """While a process looks for what it lost all the time, its payments are refused, queued, and charged elsewhere."""
    world.default.delay_ms = 300
    sender, other = Sender(world.payments), Sender(Payments(world.payments.hub, world.payments.settings))
    await world.payments.renew()
    work = [asyncio.create_task(sender.run(world.run))]
    ids = await world.pay(100)
    await wait_for(lambda: len(sender.in_hand) == 100, "all sent")
    work.append(asyncio.create_task(other.run(world.run)))
    world.default.failing = True

    async def over() -> bool:
        sender.astray = True
        sender.more.set()
        world.default.failing = world.default.failing and not world.fallback.payments
        return await world.all_done(ids)

    await wait_for(over, "the charges")
    world.run.stopping.set()
    await asyncio.gather(*work)
    await world.agrees(ids)


@one_server
async def test_what_was_claimed_before_the_lease_was_lost_is_not_sent_after_it(world: World) -> None:
    """The store's clock was set; another process took it over and had it charged elsewhere. Here nobody saw."""
    sender, hub = Sender(world.payments), world.payments.hub
    heir, keys, id_ = Payments(hub, world.payments.settings), world.payments.keys, str(uuid4())
    work = asyncio.create_task(sender.run(world.run))
    choice = await wait_for(sender.choose, "the lease")
    at = await scripts.accept(
        hub.write,
        known=keys.known,
        queue=keys.queue,
        in_flight=keys.in_flight(world.payments.owner),
        owners=keys.owners,
        correlation_id=id_,
        amount_cents=1990,
        reference="",
        owner=world.payments.owner,
        processor="default",
    )
    claim = Claim(correlation_id=id_, amount_cents=1990, processor="default", requested_at_ms=int(at))
    world.default.failing = True  # so that it is not settled by what the process itself does meanwhile

    async def taken_over() -> list[Claim]:
        await heir.renew()
        await hub.write.hset(keys.owners, world.payments.owner, "0")
        return await heir.recover(world.payments.owner)

    (inherited,) = await wait_for(taken_over, "what it had")
    await world.fallback.pay(id_, claim.amount_cents, claim.requested_at_ms)
    await heir.commit(replace(inherited, processor="fallback"))
    await wait_for(lambda: not sender.in_hand, "its own tries")
    world.default.failing = False
    await wait_for(lambda: sender.lease > choice.lease, "the next lease")
    sender.took(choice, claim, lost=False)
    await wait_for(lambda: not sender.in_hand, "what comes of it")
    world.run.stopping.set()
    await work
    await world.agrees([id_])


@pytest.mark.parametrize(
    ("status", "means"),
    [
        (200, "taken"),
        (400, "wrong"),
        (403, "wrong"),
        (408, "unknown"),
        (422, "known"),
        (429, "refused"),
        (502, "unknown"),
    ],
)
def test_what_a_status_says_of_a_payment(status: int, means: str) -> None:
    """408 is what a proxy says that waited, not what the processor thinks of the payment."""
    assert outcome_of(Answer(status, b""))[0] == means


@one_server
async def test_a_processor_that_took_it_and_stays_silent_is_asked_again_and_nobody_else(world: World) -> None:
    world.default.hostile = "half_open"
    ids = await world.pay(10)
    sender = Sender(world.payments)
    sender.places["default"].client.http.answer_seconds = 0.3
    await world.payments.renew()
    work = asyncio.create_task(sender.run(world.run))
    await wait_for(lambda: len(world.default.payments) == 10, "the silent charges")
    world.default.hostile = ""
    await wait_for(lambda: world.all_done(ids), "their books")
    world.run.stopping.set()
    await work
    await world.agrees(ids)
    assert not world.fallback.payments
    for waiting in world.default.tasks:
        waiting.cancel()


@one_server
async def test_a_slow_body_is_only_slow(world: World) -> None:
    world.default.hostile = "slow_body"
    ids = await world.pay(10)
    async with sending(world):
        await wait_for(lambda: world.all_done(ids), "the charges")
    await world.agrees(ids)


@one_server
async def test_what_a_killed_process_had_sent_is_resolved_by_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it was charged before the crash, half never arrived: each ends at its processor, once."""
    killed = Payments(world.payments.hub, world.payments.settings)
    await killed.renew()
    ids = await world.pay(20)
    claims: list[Claim] = await killed.claim("default", 20)
    for claim in claims[:10]:
        await world.default.pay(claim.correlation_id, claim.amount_cents, claim.requested_at_ms)
    with monkeypatch.context() as soon:
        soon.setattr("lastro.payments.engine.LEASE_MS", 1)
        await killed.renew()
    async with sending(world):
        await wait_for(lambda: world.all_done(ids), "the inheritance")
    await world.agrees(ids)
    assert len(world.default.payments) == 20


async def test_claims_whose_answer_was_lost_are_found_again_and_sent(world: World) -> None:
    ids = await world.pay(20)
    await world.payments.renew()
    await world.payments.claim("fallback", 20)
    async with sending(world):
        await wait_for(lambda: world.all_done(ids), "the lost claims")
    await world.agrees(ids)
    assert len(world.fallback.payments) == 20


async def test_an_id_that_somebody_else_charged_there_is_entered_as_the_processor_has_it(world: World) -> None:
    (id_,) = await world.pay()
    world.default.payments[id_] = (555, 1_752_150_896_123)
    async with sending(world):
        await wait_for(lambda: world.all_done([id_]), "the entry")
    await world.agrees([id_])


@pytest.mark.parametrize("cents", [555, 0])
async def test_an_id_that_somebody_else_charged_there_at_no_time_is_entered_at_ours(world: World, cents: int) -> None:
    """A processor that was given no requestedAt says the year 1, and without an amount 0."""
    (id_,) = await world.pay()
    world.default.payments[id_] = (cents, -62_135_596_800_000)
    async with sending(world):
        await wait_for(lambda: world.all_done([id_]), "the entry")
    entered = await world.payments.payment(id_)
    assert entered.amount_cents == cents
    assert (entered.requested_at_ms or 0) > 1_700_000_000_000


@one_server
async def test_what_is_claimed_anew_while_it_is_given_back_is_sent(world: World) -> None:
    """The answer to its release was lost, and the release repeated: meanwhile the same process claimed it again."""
    world.default.running, world.default.failing = RUNNING_MAX, True
    same = Payments(world.payments.hub, world.payments.settings, owner=world.payments.owner)
    async with sending(world):
        (id_,) = await world.pay()
        await wait_for(lambda: world.default.queued, "the charge")
        (claim,) = await same.recall()
        await same.release(claim)
        await same.claim("fallback", 1)
        world.default.leave()  # only now it is refused
        await wait_for(lambda: world.all_done([id_]), "the charge")
    await world.agrees([id_])


async def test_a_full_processor_is_given_time_and_nothing_is_lost(world: World) -> None:
    world.default.running = 790
    ids = await world.pay(60)
    async with sending(world):
        await wait_for(lambda: world.all_done(ids), "all charges")
    await world.agrees(ids)


async def test_a_stop_finishes_what_was_sent(world: World) -> None:
    world.default.running = RUNNING_MAX
    ids = await world.pay(30)
    async with sending(world):
        await wait_for(lambda: len(world.default.queued) == 30, "all sent")
        world.run.stopping.set()
        for _ in ids:
            world.default.leave()
    assert await world.all_done(ids)
    await world.agrees(ids)


async def test_health_is_asked_for_at_most_once_in_five_seconds_by_all_together(world: World) -> None:
    asked: list[bool] = []
    turn: Callable[[], Awaitable[bool]] = world.default.health_turn

    async def counted() -> bool:
        asked.append(True)
        return await turn()

    world.default.health_turn = counted  # type: ignore[method-assign]  # the processor's own doorbell
    world.default.delay_ms = 7
    other = World(world.default, world.fallback, Payments(world.payments.hub, world.payments.settings), world.run)
    await other.payments.renew()
    async with sending(world):
        second = asyncio.create_task(Sender(other.payments).run(other.run))
        await wait_for(lambda: _heard(world), "the processor's word")
    await second
    assert len(asked) == 1


async def _heard(world: World) -> bool:
    return (await world.payments.health())["default"].delay_ms == 7
