"""A steady load over kept connections, one request at a time on each."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

LOST = 0
"""Counted as the status of a request whose answer never came."""
ANSWER_SECONDS = 10.0


@dataclass(slots=True)
class Line:
    """One kept connection; made anew when the other side said that it closes, or broke it.

    With ``repeats`` a request is sent once more where a connection that was kept breaks before a byte of the answer, as
    HTTP allows for what is safe to repeat (RFC 9112, 9.3.1) and every client does; without it nothing is asked twice.
    """

    address: str
    source: str | None = None
    context: ssl.SSLContext | None = None
    repeats: bool = False
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """The status of the answer, or LOST."""
        kept = self.streams is not None
        status = await self._ask(request)
        return await self._ask(request) if status == LOST and kept and self.repeats else status

    async def _ask(self, request: bytes) -> int:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if self.streams is not None and self.streams[0].at_eof():
                    self.close()  # the other side has closed it while nothing was under way
                reader, writer = self.streams = self.streams or await self._connect()
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(_length(head))
        except (OSError, EOFError, TimeoutError):
            self.close()
            return LOST
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        """Let go."""
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.address.startswith("/"):
            return await asyncio.open_unix_connection(self.address)
        host, _, port = self.address.rpartition(":")
        source = (self.source, 0) if self.source else None
        return await asyncio.open_connection(host, int(port), local_addr=source, ssl=self.context)


@dataclass(slots=True)
class Steady:
    """So many requests a second to ``address`` (a socket's path, or host:port). ``answers`` has (when, status)."""

    address: str
    request: Callable[[int], bytes]
    per_second: float
    lines: int = 32
    source: str | None = None
    context: ssl.SSLContext | None = None
    repeats: bool = False
    answers: list[tuple[float, int]] = field(default_factory=list)
    asked: int = 0
    _taken: int = 0

    async def run(self, seconds: float) -> None:
        """Send for so long, and wait for the last answer."""
        started = monotonic()
        total = round(self.per_second * seconds)
        await asyncio.gather(*(self._line(started, total) for _ in range(self.lines)))

    def statuses(self, since: float = 0.0, until: float = float("inf")) -> Counter[int]:
        """How often each status was answered, between two moments of the monotonic clock."""
        return Counter(status for at, status in self.answers if since <= at < until)

    async def _line(self, started: float, total: int) -> None:
        line = Line(self.address, self.source, self.context, repeats=self.repeats)
        while self._taken < total:
            number, self._taken = self._taken, self._taken + 1
            await asyncio.sleep(max(0.0, started + number / self.per_second - monotonic()))
            self.asked += 1
            status = await line.ask(self.request(number))
            self.answers.append((monotonic(), status))
        line.close()


def request(method: str, path: str, *, body: bytes = b"", **headers: str) -> bytes:
    """A request in HTTP's own form; ``x_api_key`` is the header X-Api-Key."""
    told = {"host": "edge", "content-length": str(len(body)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0
