"""Whom the gateway takes for one client, whatever way it sends its key; and how much of it one address may hold."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from lastro.core.testing import free_port, wait_for
from lastro.core.testing.edge import OPS, nginx
from lastro.core.testing.steady import Line

pytestmark = [pytest.mark.anyio, pytest.mark.needs("nginx")]

LIMITS = (OPS / "nginx/site/limits.conf").read_text()
SLOW = LIMITS.replace("rate=100r/s", "rate=1r/m").replace("burst=100", "burst=5")
"""As shipped, but for the rate of a key: 6 at once, and then one a minute."""
KEY = "lastro_0123456789ab_k"
BASIC = ("YTprZXk=", "Yjprz2V5", "YmI6a2V5")
"""Of the users a, b, bb."""
WAYS = {
    "another header beside it": lambda n: f"authorization: Bearer {KEY}\r\nx-api-key: junk{n}",
    "spaces": lambda n: f"authorization: Bearer {' ' * n}{KEY}",
    "tabs": lambda n: f"authorization: {chr(9) * n}Bearer {KEY}{chr(9) * n}",
    "capitals": lambda n: f"authorization: {'bearer'[: n % 7].upper()}{'bearer'[n % 7 :]} {KEY}",
    "the other header": lambda n: f"authorization: Bearer {KEY}" if n % 2 else f"x-api-key: {KEY}",
    "tabs in the other header": lambda n: f"x-api-key: {chr(9) * n}{KEY}",
    "a kind that nobody knows": lambda n: f"authorization: Digest {n}\r\nx-api-key: {KEY}",
    "another user": lambda n: f"authorization: Basic {BASIC[n % 3]}\r\nx-api-key: junk{n}",
}


class Behind:
    """What stands behind the gateway: it answers each request with 200, and knows what it was told."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Each request of a connection."""
        self.writers.append(writer)
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except (EOFError, OSError):
            writer.close()

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in self.writers:
            writer.close()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("g")


async def gateway(last: AsyncExitStack, folder: Path, limits: str) -> tuple[str, Behind]:
    """Start the shipped gateway in front of something that answers; its address, and what is behind it."""
    behind, port = Behind(), free_port()
    server = await asyncio.start_unix_server(behind.serve, str(folder / "back.sock"))
    last.callback(server.close)
    last.callback(behind.hang_up)
    upstream = f"upstream balancer {{ server unix:{folder}/back.sock; keepalive 64; }}\n"
    last.enter_context(nginx(folder, listen=f"listen 127.0.0.1:{port};\n", upstream=upstream, limits=limits))
    return f"127.0.0.1:{port}", behind


def get(headers: str) -> bytes:
    """A request with these lines in its head."""
    return f"GET /x HTTP/1.1\r\nhost: edge\r\n{headers}\r\n\r\n".encode()


@pytest.mark.parametrize("way", WAYS)
async def test_a_key_is_one_client_in_whichever_way_it_is_sent(folder: Path, way: str) -> None:
    async with AsyncExitStack() as last:
        address, _ = await gateway(last, folder, SLOW)
        line, other = Line(address), Line(address)
        told = Counter([await line.ask(get(WAYS[way](n))) for n in range(20)])
        assert told == {200: 6, 429: 14}
        assert await other.ask(get("x-api-key: another")) == 200
        assert await other.ask(get("accept: */*")) == 200
        line.close()
        other.close()


async def test_what_is_counted_is_what_the_services_get(folder: Path) -> None:
    """A service takes the last line of a name, and nginx counts the first where it takes two: only that goes on."""
    async with AsyncExitStack() as last:
        address, behind = await gateway(last, folder, SLOW)
        line = Line(address)
        assert await line.ask(get(f"authorization: Bearer junk\r\nauthorization: Bearer {KEY}")) == 400
        assert await line.ask(get(f"x-api-key: junk\r\nx-api-key: {KEY}")) == 200
        assert KEY.encode() not in behind.heads[-1]
        assert await line.ask(get(f"x-api-key: \t{KEY}")) == 200
        assert f"X-Api-Key: {KEY}\r\n".encode() in behind.heads[-1]
        line.close()


async def test_one_address_cannot_hold_every_place_with_bodies_that_never_come(folder: Path) -> None:
    """With a place for 120 in all; as shipped there are 1000, and one address has 100 of them, too."""
    async with AsyncExitStack() as last:
        address, _ = await gateway(last, folder, LIMITS.replace("limit_conn all 1000;", "limit_conn all 120;"))
        host, _, port = address.rpartition(":")
        refused = 0
        lines = []
        for _ in range(130):
            reader, writer = await asyncio.open_connection(host, int(port), local_addr=("127.0.0.2", 0))
            last.callback(writer.close)
            writer.write(b"POST /x HTTP/1.1\r\nhost: edge\r\ncontent-length: 1000\r\n\r\n{")
            lines.append(asyncio.create_task(reader.read(12)))
        await wait_for(lambda: sum(line.done() for line in lines) >= 10, "the refusals")
        other = Line(address)
        assert await other.ask(get("x-api-key: another")) == 200
        other.close()
        for line in lines:
            if line.done():
                assert line.result() == b"HTTP/1.1 503"
                refused += 1
            line.cancel()
        assert refused == 30
