"""A faulty network between a client and a server: it cuts, delays, goes half-open, or loses replies.

async with Proxy.to(server.socket, folder / "p.sock") as proxy:
    proxy.drop_replies = 0.05
    async with await connect_url(proxy.url) as hub: ...
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Self

PIECE_BYTES = 65_536


@dataclass(slots=True)
class Proxy:
    """Every connection made through it suffers what is set at the moment; ``losses`` counts what was done."""

    server: Path
    """Where new connections lead."""
    socket: Path
    seed: int = 0
    drop_replies: float = 0.0
    """The share of replies that are lost: the request was executed, and then the connection is cut."""
    delay_seconds: float = 0.0
    """Before each reply."""
    half_open: bool = False
    """Requests go out, and nothing ever comes back; the connection stays."""
    losses: int = 0
    _random: Random = field(init=False)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    @classmethod
    @asynccontextmanager
    async def to(cls, server: Path, socket: Path, *, seed: int = 0) -> AsyncIterator[Self]:
        """Listen at ``socket`` and pass on to ``server``."""
        proxy = cls(server, socket, seed)
        listening = await asyncio.start_unix_server(proxy._serve, socket)
        try:
            yield proxy
        finally:
            listening.close()
            proxy.cut()
            while proxy._open:  # noqa: ASYNC110  # the last of them ends within a turn of the loop
                await asyncio.sleep(0)

    @property
    def url(self) -> str:
        """For any Redis client."""
        return f"unix://{self.socket}"

    def cut(self) -> None:
        """Every connection, now."""
        for writer in self._open:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = self.server
        try:
            from_server, to_server = await asyncio.open_unix_connection(server)
        except OSError:
            writer.close()
            return
        self._open |= {writer, to_server}
        if server != self.server:  # meanwhile another one took its place
            writer.close()
            to_server.close()
        ends = [
            asyncio.create_task(self._pass(reader, to_server, replies=False)),
            asyncio.create_task(self._pass(from_server, writer, replies=True)),
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
            for closing in (writer, to_server):
                closing.close()
                with suppress(OSError):
                    await closing.wait_closed()
                self._open.discard(closing)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, replies: bool) -> None:
        with suppress(OSError):
            while piece := await source.read(PIECE_BYTES):
                if replies and self.half_open:
                    self.losses += 1
                    continue
                if replies and self.drop_replies and self._random.random() < self.drop_replies:
                    self.losses += 1
                    return
                if replies and self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                sink.write(piece)
                await sink.drain()
