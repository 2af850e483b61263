"""The balancer and the gateway as they are shipped, as real processes in front of real services."""

import asyncio
import csv
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from lastro.core.local import Server
from lastro.core.testing import standstill, start_server, wait_for
from lastro.core.testing.edge import OPS, Proxy, certify, haproxy, nginx
from lastro.core.testing.engine import until
from lastro.core.testing.steady import LOST, Line, Steady, request

pytestmark = [pytest.mark.anyio, pytest.mark.needs("haproxy"), pytest.mark.needs("nginx")]

TRUSTED = "set_real_ip_from 127.0.0.1;\n"
TOLERANCE = 0.05
APIS = ("api1", "api2")
"""Two processes behind a balancer, by the names of their sockets."""
BALANCERS = {"services": "ledger1", "payments": "api1"}
"""The shipped configurations, and what each calls the first of the two."""
each_balancer = pytest.mark.parametrize("config", [OPS / f"haproxy/{name}.cfg" for name in BALANCERS], ids=BALANCERS)


def gateway(folder: Path, balancer: Path | str, **site: str) -> dict[str, str]:
    """A site of the gateway on a unix socket, in front of this balancer."""
    upstream = f"upstream balancer {{ server unix:{balancer}; keepalive 64; keepalive_timeout 30s; }}\n"
    return {"listen": f"listen unix:{folder}/gate.sock;\n", "upstream": upstream, **site}


class Services:
    """Two processes of the ledger on one store, each on a socket of its own."""

    def __init__(self, folder: Path, store: Server) -> None:
        self.folder = folder
        self.store = store
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def socket(self, name: str) -> Path:
        """Where it listens."""
        return self.folder / f"{name}.sock"

    def start(self, name: str) -> None:
        """Start it; it answers after a while."""
        environment = {
            **os.environ, "LASTRO_REDIS_URL": self.store.url, "LASTRO_HTTP_SOCKET": str(self.socket(name)),
            "LASTRO_DATA_DIR": str(self.folder),
        }  # fmt: skip
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [str(Path(sys.executable).parent / "lastro"), "up", "ledger", "--single"]
            self.processes[name] = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def stop(self) -> None:
        """All of them."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(20)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("s")
    store = start_server(folder)
    running = Services(folder, store)
    for name in APIS:
        running.start(name)
    for name in APIS:
        until(lambda: answers(running.socket(name)), 60, f"{name} does not come up")  # noqa: B023  # it is called at once
    yield running
    running.stop()
    store.stop()


def answers(place: Path) -> bool:
    """Whether somebody does there."""
    with socket.socket(socket.AF_UNIX) as line, suppress(OSError):
        line.connect(str(place))
        line.sendall(request("GET", "/livez"))
        return line.recv(64).startswith(b"HTTP/1.1 200")
    return False


def balanced(folder: Path) -> dict[str, str]:
    """HAProxy's variables for the two processes of this folder."""
    return {f"EDGE_LEDGER_{n}": f"unix@{folder}/{name}.sock" for n, name in enumerate(APIS, 1)}


async def opened(edge: Path) -> None:
    """The books' two accounts, through the edge."""
    line = Line(str(edge))
    accounts = json.dumps([{"id": str(n), "ledger": 1, "code": 10} for n in (1, 2)]).encode()
    asked = request("POST", "/ledger/accounts/batch", body=accounts, content_type="application/json")

    async def done() -> bool:
        return await line.ask(asked) == 200

    await wait_for(done, "the first answer", within_seconds=20)
    line.close()


def transfer(number: int) -> bytes:
    """A transfer with an id of its own."""
    sides = {"debit_account_id": "1", "credit_account_id": "2"}
    body = json.dumps({"id": str(1000 + number), "ledger": 1, "code": 1, "amount": "1", **sides}).encode()
    return request("POST", "/ledger/transfers", body=body, content_type="application/json")


async def test_a_process_killed_under_500_requests_a_second_fails_no_more_than_it_had_in_hand(
    services: Services,
) -> None:
    """And each transfer that was acknowledged is there, once."""
    with haproxy(services.folder, **balanced(services.folder)):
        edge = services.folder / "edge.sock"
        await opened(edge)
        load = Steady(str(edge), transfer, 500)
        running = asyncio.create_task(load.run(3))
        await asyncio.sleep(1.0)
        await wait_for(lambda: load.asked > len(load.answers), "something in hand")
        services.processes["api1"].kill()
        services.processes["api1"].wait()
        in_hand = load.asked - len(load.answers)  # nothing was sent or heard since the kill: both calls block
        services.start("api1")
        await running
        told = load.statuses()
        assert told[LOST] + sum(count for status, count in told.items() if status >= 500) <= in_hand, told
        assert told[201] >= 1500 - in_hand
        asked = request("GET", "/ledger/accounts/1")
        assert await status_of(edge, asked) == 200
        account = json.loads(await body_of(edge, asked))
        assert told[201] <= int(account["debits_posted"]) <= told[201] + in_hand


async def status_of(edge: Path, asked: bytes) -> int:
    """The status of an answer."""
    line = Line(str(edge))
    try:
        return await line.ask(asked)
    finally:
        line.close()


async def body_of(edge: Path, asked: bytes) -> bytes:
    """The body of an answer."""
    reader, writer = await asyncio.open_unix_connection(str(edge))
    writer.write(asked.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.partition(b"\r\n\r\n")[2]


@each_balancer
async def test_a_balancer_is_reloaded_under_load_without_a_failed_request(services: Services, config: Path) -> None:
    with haproxy(services.folder, config, **balanced(services.folder)) as balancer:
        edge = services.folder / "edge.sock"
        await opened(edge)
        load = Steady(str(edge), lambda _: request("GET", "/ledger/accounts/1"), 300)
        await reloaded(load, balancer)


async def stands(folder: Path, config: Path, how: str) -> bool:
    """Whether the balancer says so of the first of its two processes: UP, or DOWN."""
    reader, writer = await asyncio.open_unix_connection(str(folder / "haproxy.sock"))
    writer.write(b"show stat\n")
    told = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    rows = csv.DictReader(told.removeprefix("# ").splitlines())
    return how == next(row["status"] for row in rows if row["svname"] == BALANCERS[config.stem])


@pytest.mark.slow
@each_balancer
async def test_a_process_that_accepts_and_is_silent_gets_nothing_until_it_speaks(
    services: Services, config: Path
) -> None:
    """A dead one refuses; one that hangs is known by its health check alone."""
    with haproxy(services.folder, config, **balanced(services.folder)):
        edge = services.folder / "edge.sock"
        await opened(edge)
        asked = request("GET", "/ledger/accounts/1")
        services.processes["api1"].send_signal(signal.SIGSTOP)
        try:
            await wait_for(lambda: stands(services.folder, config, "DOWN"), "its leaving")
            load = Steady(str(edge), lambda _: asked, 100)
            await load.run(1)
            assert load.statuses() == {200: 100}
        finally:
            services.processes["api1"].send_signal(signal.SIGCONT)
        await wait_for(lambda: stands(services.folder, config, "UP"), "its return")
        assert await status_of(edge, asked) == 200


async def test_the_gateway_is_reloaded_under_load_without_a_failed_request(folder: Path) -> None:
    """A client may find that its idle connection was closed just now: it asks again, as every client does."""
    async with backend(folder):
        limits = "limit_conn_zone $server_name zone=all:1m;\n"
        with nginx(folder, **gateway(folder, folder / "back.sock", limits=limits)) as gate:
            load = Steady(f"{folder}/gate.sock", lambda _: request("GET", "/pix/x"), 300, repeats=True)
            await reloaded(load, gate)


async def reloaded(load: Steady, proxy: Proxy) -> None:
    """Two seconds of load and three new sets of workers; every request is answered."""
    running = asyncio.create_task(load.run(2))
    before = proxy.workers()
    for _ in range(3):
        await asyncio.sleep(0.5)
        proxy.reload()
    await running
    assert load.statuses() == {200: 600}
    await wait_for(lambda: not proxy.workers() & before, "the end of those that were there before")


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HANGS_UP = b""


class Backend:
    """Something behind the edge that answers as told, and knows what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.answer = OK
        self.health = 200
        self.held: asyncio.Event | None = None
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Each request of a connection."""
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"GET /livez" in head:
                    writer.write(b"HTTP/1.1 %d Told\r\ncontent-length: 0\r\n\r\n" % self.health)
                    continue
                self.asked.append(head)
                if self.held is not None:
                    await self.held.wait()
                if self.answer == HANGS_UP:
                    return
                writer.write(self.answer)
        except (EOFError, OSError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def backend(folder: Path, name: str = "back") -> AsyncIterator[Backend]:
    """A backend on ``back.sock``, or another."""
    made = Backend()
    server = await asyncio.start_unix_server(made.serve, str(folder / f"{name}.sock"))
    try:
        yield made
    finally:
        server.close()
        for writer in made.writers:
            writer.close()
        await asyncio.sleep(0)


@contextmanager
def edge(folder: Path, **site: str) -> Iterator[Path]:
    """Gateway and balancer in front of ``back.sock``; the gateway's socket."""
    with ExitStack() as last:
        last.enter_context(haproxy(folder, EDGE_PIX_1=f"unix@{folder}/back.sock"))
        last.enter_context(nginx(folder, **gateway(folder, folder / "edge.sock", **site)))
        yield folder / "gate.sock"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("e")


async def test_a_post_that_was_sent_is_never_sent_again(folder: Path) -> None:
    async with backend(folder) as behind:
        with edge(folder) as gate:
            behind.answer = HANGS_UP
            for place in (folder / "edge.sock", gate):
                behind.asked.clear()
                told = json.loads(await body_of(place, request("POST", "/pix/payments", body=b"{}")))
                assert (told["status"], told["code"]) == (502, "edge.outcome_unknown")
                assert len(behind.asked) == 1, place


@each_balancer
async def test_a_balancer_sends_a_post_to_one_process_and_once(folder: Path, config: Path) -> None:
    """Also over a connection that it kept."""
    async with backend(folder, "api1") as one, backend(folder, "api2") as two:
        with haproxy(folder, config, **balanced(folder)):
            line = Line(str(folder / "edge.sock"))
            for kept in (False, True):
                if kept:
                    one.answer = two.answer = OK
                    assert await line.ask(request("GET", "/ledger/x")) == 200
                one.answer = two.answer = HANGS_UP
                before = len(one.asked) + len(two.asked)
                assert await line.ask(request("POST", "/ledger/x", body=b"{}")) in {502, LOST}
                assert len(one.asked) + len(two.asked) == before + 1, kept
            line.close()


@each_balancer
async def test_a_process_that_says_it_is_not_well_gets_nothing_until_it_is(folder: Path, config: Path) -> None:
    async with backend(folder, "api1") as ill, backend(folder, "api2") as well:
        with haproxy(folder, config, **balanced(folder)):
            line = Line(str(folder / "edge.sock"))
            ill.health = 503
            await wait_for(lambda: stands(folder, config, "DOWN"), "its leaving", within_seconds=20)
            assert [await line.ask(request("GET", "/ledger/x")) for _ in range(20)] == [200] * 20
            assert (len(ill.asked), len(well.asked)) == (0, 20)
            ill.health = 200
            await wait_for(lambda: stands(folder, config, "UP"), "its return", within_seconds=20)
            assert [await status_of(folder / "edge.sock", request("GET", "/ledger/x")) for _ in range(20)] == [200] * 20
            assert ill.asked
            line.close()


async def test_with_nobody_behind_the_edge_says_when_to_ask_again(folder: Path) -> None:
    with edge(folder) as gate:
        for place in (folder / "edge.sock", gate):
            told = json.loads(await body_of(place, request("POST", "/pix/payments")))
            assert (told["status"], told["code"]) == (503, "edge.busy"), place
        assert await status_of(folder / "edge.sock", request("GET", "/livez")) == 200
        for hidden in ("/metrics", "/", "/docs", "/pixels"):
            assert await status_of(gate, request("GET", hidden)) == 404, hidden


async def test_a_key_gets_the_rate_of_the_policy_and_what_others_ask_is_not_hurt(folder: Path) -> None:
    """100/s and 100 at once, within 5 %, however fast it asks."""
    async with backend(folder):
        with edge(folder) as gate:
            fast = Steady(str(gate), lambda _: request("GET", "/pix/x", x_api_key="fast"), 250)
            calm = Steady(str(gate), lambda _: request("GET", "/pix/x", authorization="Bearer calm"), 20, lines=4)
            started = monotonic()
            async with standstill() as lost:
                await asyncio.gather(fast.run(3.5), calm.run(3.5))
            assert calm.statuses() == {200: 70}
            steady = fast.statuses(since=started + 1.2, until=started + 3.2)
            assert abs(steady[200] - 200) <= 200 * TOLERANCE + 100 * lost.seconds, steady
            assert set(fast.statuses()) == {200, 429}
            whole = fast.statuses()[200]
            assert abs(whole - (100 + 3.5 * 100)) <= 450 * TOLERANCE + 100 * lost.seconds, whole


async def test_an_address_is_limited_too_and_only_a_trusted_proxy_may_say_whose_it_is(folder: Path, port: int) -> None:
    async with backend(folder):
        site = {"listen": f"listen 127.0.0.1:{port};\n", "trusted": TRUSTED}
        with edge(folder, **site):
            address = f"127.0.0.1:{port}"

            def of(client: str) -> Any:
                return lambda _: request("GET", "/pix/x", x_forwarded_for=client)

            crowd = Steady(address, of("10.1.1.1"), 400)
            other = Steady(address, of("10.1.1.2"), 20, lines=4)
            liar = Steady(address, lambda n: request("GET", "/pix/x", x_forwarded_for=f"10.2.0.{n % 250}"), 400)
            liar.source = "127.0.0.2"
            started = monotonic()
            async with standstill() as lost:
                await asyncio.gather(crowd.run(2.8), other.run(2.8), liar.run(2.8))
            assert other.statuses() == {200: 56}
            for load in (crowd, liar):
                steady = load.statuses(since=started + 1.2, until=started + 2.7)
                assert abs(steady[200] - 300) <= 300 * TOLERANCE + 200 * lost.seconds, steady


@pytest.fixture
def port() -> int:
    from lastro.core.testing import free_port

    return free_port()


async def test_the_service_learns_the_clients_address_and_nothing_that_a_client_made_up(
    folder: Path, port: int
) -> None:
    async with backend(folder) as behind:
        with edge(folder, listen=f"listen 127.0.0.1:{port};\n"):
            line = Line(f"127.0.0.1:{port}", source="127.0.0.3")
            assert await line.ask(request("GET", "/pix/x", x_forwarded_for="10.9.9.9", x_api_key="k")) == 200
            line.close()
        (head,) = behind.asked
        said = [value for value in head.lower().split(b"\r\n") if value.startswith(b"x-forwarded-for")]
        assert said == [b"x-forwarded-for: 127.0.0.3"]
        assert b"x-api-key: k" in head.lower()


async def test_too_many_in_flight_are_answered_503_at_once_and_the_others_in_the_end(folder: Path) -> None:
    limits = "limit_conn_zone $server_name zone=all:1m;\nlimit_conn all 5;\n"
    async with backend(folder) as behind:
        behind.held = asyncio.Event()
        with edge(folder, limits=limits) as gate:
            lines = [Line(str(gate)) for _ in range(12)]
            asking = [asyncio.create_task(line.ask(request("POST", "/pix/x"))) for line in lines]
            await wait_for(lambda: sum(task.done() for task in asking) == 7, "the refusals")
            behind.held.set()
            assert Counter(await asyncio.gather(*asking)) == {200: 5, 503: 7}
            for line in lines:
                line.close()


@pytest.mark.needs("openssl")
async def test_the_gateway_speaks_tls_and_says_so(folder: Path, port: int) -> None:
    certify(folder, "localhost")
    files = f"ssl_certificate {folder}/cert.pem;\nssl_certificate_key {folder}/key.pem;\n"
    listen = f"listen 127.0.0.1:{port} ssl http2;\n{files}"
    context = ssl.create_default_context(cafile=f"{folder}/cert.pem")
    async with backend(folder):
        with edge(folder, listen=listen):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(request("GET", "/pix/x", connection="close"))
            head = await reader.read()
            assert b"strict-transport-security: max-age=31536000" in head.lower()
            writer.close()
            await writer.wait_closed()
            old = ssl.create_default_context(cafile=f"{folder}/cert.pem")
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, OSError)):
                await asyncio.open_connection("127.0.0.1", port, ssl=old)


def test_the_store_is_not_needed_to_check_the_configurations(folder: Path) -> None:
    """What is shipped is right as it stands, with the site that is shipped."""
    with haproxy(folder, EDGE_PIX_1="pix1:8000", EDGE_PIX_2="pix2:8000") as proxy:
        assert proxy.process.poll() is None
