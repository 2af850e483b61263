"""The deployed service behind HAProxy: the official load, and what survives ``kill -9``."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest

from lastro.core.clock import iso
from lastro.core.testing import free_port, standstill, wait_for
from lastro.payments.engine.http import Answer, HttpClient
from lastro.payments.simulator import k6
from lastro.payments.simulator.rinha import Play, Result
from lastro.payments.simulator.stack import PROCESSES, Stack, deployed

pytestmark = [pytest.mark.anyio, pytest.mark.needs("haproxy")]
CONFIG = Path(__file__).parents[3] / "ops/haproxy/payments.cfg"
ANSWER_SECONDS = 15.0
HANDS = ThreadPoolExecutor(1)  # a store dies with the thread that started it: this one outlives a test


@pytest.fixture(autouse=True)
def patient() -> None:
    """The deployment waits no longer than it does where it is shipped."""


@pytest.fixture(scope="module")
def deployment() -> Iterator[Stack]:
    """Everything up, appendfsync always. Each test leaves it so: what it kills it starts again."""
    with (
        TemporaryDirectory(prefix="lastro-") as folder,
        deployed(Stack(Path(folder), CONFIG, (free_port(), free_port(), free_port()))) as running,
    ):
        yield running


@pytest.fixture
async def stack(deployment: Stack) -> Stack:
    """The deployment with nothing paid yet, and both processors well."""
    deployment.wait_ready()
    for url in deployment.processors:
        await asked(url, "PUT /admin/configurations/delay", {"delay": 0})
        await asked(url, "PUT /admin/configurations/failure", {"failure": False})

    async def rested() -> bool:  # what nobody heard of, and the test before did not wait for
        pending: list[Any] = await asked(deployment.url, "GET /payments/pending")
        return not pending

    await wait_for(rested, "the end of what is in flight")
    for url in deployment.processors:
        await asked(url, "POST /admin/purge-payments")
    await asked(deployment.url, "POST /purge-payments")
    return deployment


def play(stack: Stack, speed: float, scale: float = 0.15, program: str | None = None) -> Play:
    """A crowd through the preview's stages; below full size it waits longer for an answer than the official one."""
    crowd = Play("preview", stack.url, stack.processors, scale=scale, speed=speed, program=program)
    for client in (crowd.backend, *crowd.processors):
        if scale < 1:
            client.connect_seconds = client.answer_seconds = ANSWER_SECONDS
    return crowd


async def asked(url: str, what: str, body: dict[str, Any] | None = None) -> Any:
    """One request to a service or, with its token, to a processor; again where the machine was too slow for it."""
    client = HttpClient(url, ANSWER_SECONDS, ANSWER_SECONDS)
    packed = json.dumps(body).encode() if body is not None else b""
    while (answer := await client.ask(what.encode(), packed, b"X-Rinha-Token: 123\r\n")).status == 503:
        pass
    client.close()
    return json.loads(answer.body) if answer.body else None


async def books_agree(stack: Stack) -> None:
    """In any window both processors' journals and our summary say the same, to the payment and the cent."""
    journals = [await asked(url, "GET /admin/journal") for url in stack.processors]
    taken = [[(at, cents) for _, cents, at, status in journal if status == 200] for journal in journals]
    times = sorted(at for entries in taken for at, _ in entries)
    for _ in range(50):
        since, until = sorted(random.choice(times) + random.choice((-1, 0, 1)) for _ in range(2))
        ours = await asked(stack.url, f"GET /payments-summary?from={iso(since)}&to={iso(until)}")
        for name, entries in zip(("default", "fallback"), taken, strict=True):
            inside = [cents for at, cents in entries if since <= at <= until]
            told = ours[name]["totalRequests"], round(ours[name]["totalAmount"] * 100)
            assert told == (len(inside), sum(inside)), (name, since, until)


async def played_through(
    stack: Stack,
    *hits: Callable[[], None],
    speed: float = 6,
    scale: float = 0.15,
    every_seconds: float = 2.5,
    program: str | None = None,
) -> Result:
    """The load, with a hit every few seconds; then time to recover."""
    crowd = play(stack, speed, scale, program)
    playing = asyncio.create_task(crowd.run(lambda share: None))
    for hit in hits:
        await asyncio.sleep(every_seconds)
        await asyncio.get_running_loop().run_in_executor(HANDS, hit)
    await playing

    async def settled() -> Result | None:
        result = await crowd.audit()
        if not (result.differing or result.doubled):
            return result
        print(result)
        return None

    result: Result = await wait_for(settled, "every acknowledged payment at one processor, counted once", 60)
    await books_agree(stack)
    return result


async def outage(stack: Stack, *, per_second: int, seconds: float) -> float:
    """Both processors fail while payments come in; how long the drain takes once they are back. All are accepted."""
    for url in stack.processors:
        await asked(url, "PUT /admin/configurations/failure", {"failure": True})
    client, start = HttpClient(stack.url, ANSWER_SECONDS, ANSWER_SECONDS), time.monotonic()

    async def pay(at: float) -> Answer:
        await asyncio.sleep(at - time.monotonic())
        body = b'{"correlationId":"%s","amount":19.90}' % str(uuid4()).encode()
        return await client.ask(b"POST /payments", body)

    count = int(per_second * seconds)
    answers = await asyncio.gather(*(pay(start + n / per_second) for n in range(count)))
    client.close()
    assert not [answer for answer in answers if answer.status != 201]
    assert {one["totalRequests"] for one in (await asked(stack.url, "GET /payments-summary")).values()} == {0}
    for url in stack.processors:
        await asked(url, "PUT /admin/configurations/failure", {"failure": False})
    back = time.monotonic()

    async def drained() -> bool:
        told = await asked(stack.url, "GET /payments-summary")
        return bool(count == sum(one["totalRequests"] for one in told.values()))

    await wait_for(drained, "the drain", 60)
    took = time.monotonic() - back
    await books_agree(stack)
    return took


@pytest.mark.parametrize(
    ("speed", "scale", "checks"), [(3.0, 0.15, 1), pytest.param(1.0, 1.0, 5, marks=pytest.mark.slow)]
)
async def test_the_official_load_ends_clean(stack: Stack, speed: float, scale: float, checks: int) -> None:
    """Nothing lost, doubled, different or refused, through a failing and a slow processor."""
    async with standstill() as lost:
        result = await play(stack, speed, scale).run(lambda share: None)
    assert result.clean, result
    assert (result.accepted > 500, result.checks) == (True, checks)
    fewer = result.processed["fallback"] < result.accepted / 50
    assert fewer or lost.seconds > 1, "the best routing waits for the default"  # unless that is seen to stand still
    await books_agree(stack)


@pytest.mark.needs("k6")
async def test_k6_plays_the_official_load_as_well(stack: Stack) -> None:
    """Each payment that k6 saw taken is charged once, and the audit knows no other."""
    result = await played_through(stack, speed=60, program=k6.binary())
    assert (result.accepted > 50, result.failed, result.lag) == (True, 0, 0), result
    assert 0 < result.p50_ms <= result.p99_ms < ANSWER_SECONDS * 1000


async def test_a_process_killed_under_load_loses_and_doubles_nothing(stack: Stack) -> None:
    """The poller is one of the two: its successor still asks each processor at most once in 5 s."""

    def hit(name: str) -> None:
        """The next one dies only when this one is back: a slow machine takes its time to start it."""
        socket = stack.folder / f"{name}.sock"
        stack.kill(name)
        socket.unlink()
        stack.start(name)
        while not socket.exists() and stack.parts[name].poll() is None:
            time.sleep(0.05)

    result = await played_through(stack, *(lambda name=name: hit(name) for name in PROCESSES))
    assert result.failed <= 100, result
    for url in stack.processors:
        calls = await asked(url, "GET /admin/health-calls")
        assert len(calls) >= 2
        assert len(calls) <= 2 + (calls[-1] - calls[0]) / 5_000, calls  # one may come late after its turn was taken


async def test_the_store_killed_and_restarted_under_load_loses_and_doubles_nothing(stack: Stack) -> None:
    def hit() -> None:
        stack.store.kill()
        stack.start_store()

    await played_through(stack, hit, hit)


def kill_everything(stack: Stack) -> None:
    for name in (*PROCESSES, "haproxy"):
        stack.kill(name)
    stack.store.kill()
    stack.start_store()
    for name in PROCESSES:
        stack.start(name)
    stack.start_edge()


async def test_everything_of_ours_killed_at_once_and_restarted_loses_and_doubles_nothing(stack: Stack) -> None:
    await played_through(stack, lambda: kill_everything(stack))


@pytest.mark.slow
async def test_at_full_size_an_api_then_the_store_then_everything_is_killed(stack: Stack) -> None:
    """600 users in 15 s, 300 payments/s half-way."""

    def api() -> None:
        stack.kill(PROCESSES[0])
        stack.start(PROCESSES[0])

    def store() -> None:
        stack.store.kill()
        stack.start_store()

    result = await played_through(
        stack, api, store, lambda: kill_everything(stack), speed=4, scale=600 / 550, every_seconds=4
    )
    print(f"{result.accepted} accepted, {result.failed} not answered, {result.processed}")


async def test_while_both_processors_fail_everything_is_accepted_and_soon_drained_when_they_are_back(
    stack: Stack,
) -> None:
    """How soon is the full-size test's: it needs a quiet machine."""
    assert await outage(stack, per_second=100, seconds=4) <= 6


@pytest.mark.slow
async def test_an_outage_of_25_seconds_at_300_a_second_is_drained_within_3_seconds(stack: Stack) -> None:
    seconds = await outage(stack, per_second=300, seconds=25)
    print(f"7,500 payments drained in {seconds:.2f} s")
    assert seconds <= 3
