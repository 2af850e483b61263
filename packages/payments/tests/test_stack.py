"""The deployed service behind HAProxy: the official load, and what survives ``kill -9``."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from lastro.core.clock import iso
from lastro.core.testing import free_port, standstill, wait_for
from lastro.payments.engine.http import Answer, HttpClient
from lastro.payments.simulator import k6
from lastro.payments.simulator.rinha import Play, Profile, Result
from lastro.payments.simulator.stack import PROCESSES, Stack, deployed

pytestmark = [pytest.mark.anyio, pytest.mark.needs("haproxy")]
CONFIG = Path(__file__).parents[3] / "ops/haproxy/payments.cfg"
ANSWER_SECONDS = 15.0
STILL_SECONDS = 0.1
HANDS = ThreadPoolExecutor(1)  # a store dies with the thread that started it: this one outlives a test
BEST_SHARE = Decimal("0.993")
"""Of what the best routing leaves: the reference's 1.668 M of 1.679 M."""


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


def play(
    stack: Stack, speed: float, scale: float = 0.15, program: str | None = None, profile: Profile = "preview"
) -> Play:
    """A crowd through the official stages; below full size it waits longer for an answer than the official one."""
    crowd = Play(profile, stack.url, stack.processors, scale=scale, speed=speed, program=program)
    for client in (crowd.backend, *crowd.processors):
        if scale < 1:
            client.connect_seconds = client.answer_seconds = ANSWER_SECONDS
    return crowd


def poller(stack: Stack) -> str:
    """Which of our processes asked the default processor last how it is: the one whose connection that came over."""
    url = stack.processors[0]
    for _ in range(200):
        _, port = asyncio.run(asked(url, "GET /admin/health-calls"))[-1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            words = line.split()
            ends = [int(word.rpartition(":")[2], 16) for word in words[1:3]]
            if ends == [port, urlsplit(url).port]:
                for name in PROCESSES:
                    if f"socket:[{words[9]}]" in descriptors(stack.parts[name].pid):
                        return name
        time.sleep(0.1)  # that connection is closed: the next call is 5 s after it
    pytest.fail("nobody asks")


def descriptors(pid: int) -> set[str]:
    """What a process has open; what it closes meanwhile is none of it."""
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(each.readlink()))
    return found


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
    taken = [
        [(at, cents) for method, status, _, cents, at in journal if (method, status) == ("POST", 200)]
        for journal in journals
    ]
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
    after_seconds: float = 0,
    every_seconds: float = 2.5,
    per_second: int = 0,
    program: str | None = None,
) -> Result:
    """The load, with a hit every few seconds, each at so many payments a second at least; then time to recover."""
    crowd = play(stack, speed, scale, program)
    playing = asyncio.create_task(crowd.run(lambda share: None))
    await asyncio.sleep(after_seconds)
    for hit in hits:
        await asyncio.sleep(every_seconds - 1)
        before = crowd.result.accepted + crowd.result.failed
        async with standstill() as lost:
            await asyncio.sleep(1)
        sent = crowd.result.accepted + crowd.result.failed - before
        assert sent >= per_second or lost.seconds > STILL_SECONDS
        print(f"{sent} payments in the second before a hit")
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
    assert result.share >= BEST_SHARE or scale < 1 or lost.seconds > 1, result
    fewer = result.processed["fallback"] < result.accepted / 50
    assert fewer or lost.seconds > 1, "the best routing waits for the default"  # unless that is seen to stand still
    await books_agree(stack)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_final_at_full_size_ends_clean_and_leaves_what_the_best_routing_would(stack: Stack) -> None:
    """300 s: what was accepted is charged so that 99.3 % remain of what could."""
    async with standstill() as lost:
        result = await play(stack, 1.0, 1.0, profile="final").run(lambda share: None)
    print(result)
    assert result.clean, result
    assert (result.accepted > 80_000, result.checks >= 28) == (True, True), result
    assert result.share >= BEST_SHARE or lost.seconds > 1, result
    await books_agree(stack)


@pytest.mark.needs("k6")
async def test_k6_plays_the_official_load_as_well(stack: Stack) -> None:
    """Each payment that k6 saw taken is charged once, and the audit knows no other."""
    result = await played_through(stack, speed=60, program=k6.binary())
    assert (result.accepted > 50, result.failed, result.lag) == (True, 0, 0), result
    assert 0 < result.p50_ms <= result.p99_ms < ANSWER_SECONDS * 1000


async def test_the_poller_killed_under_load_and_then_its_successor_loses_and_doubles_nothing(stack: Stack) -> None:
    """Whoever asks next still asks each processor at most once in 5 s."""

    def hit() -> None:
        """The next one dies only when this one is back: a slow machine takes its time to start it."""
        name = poller(stack)
        socket = stack.folder / f"{name}.sock"
        stack.kill(name)
        socket.unlink()
        stack.start(name)
        while not socket.exists() and stack.parts[name].poll() is None:
            time.sleep(0.05)

    result = await played_through(stack, hit, hit, speed=4)
    assert result.failed <= 100, result
    for url in stack.processors:
        calls = [at for at, _ in await asked(url, "GET /admin/health-calls")]
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
async def test_at_full_size_the_poller_then_the_other_then_the_store_then_everything_is_killed(
    stack: Stack,
) -> None:
    """600 users in 30 s; each dies at 300 payments/s or more."""

    def again(name: str) -> None:
        stack.kill(name)
        stack.start(name)

    leader: list[str] = []

    def first() -> None:
        leader.append(poller(stack))
        again(leader[0])

    def second() -> None:
        again(next(name for name in PROCESSES if name not in leader))

    def store() -> None:
        stack.store.kill()
        stack.start_store()

    hits = (first, second, store, lambda: kill_everything(stack))
    result = await played_through(
        stack, *hits, speed=2, scale=600 / 550, after_seconds=16, every_seconds=3, per_second=300
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
