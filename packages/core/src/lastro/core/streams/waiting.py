"""A connection of one's own for commands that wait, and a way to end the wait without losing an answer."""

from dataclasses import dataclass
from typing import Any

from redis.exceptions import MovedError

from lastro.core.keys import Key
from lastro.core.redis import Hub, Line


@dataclass(slots=True)
class Waiting:
    """Waits at the server that has ``key``, up to ``block_seconds`` a command."""

    hub: Hub
    key: Key
    block_seconds: float
    _line: Line | None = None
    _place: str = ""
    _client_id: int = 0

    async def ask(self, *command: Any) -> Any:
        """The answer; what the server refuses is raised as ours. A redirect is learned, and is Unreachable once."""
        place = self.hub.place(self.key)
        if self._line is not None and not self._line.connected and place != self._place:
            await self.aclose()  # whoever had the key is gone, perhaps for good, and cannot say who has it now
        line = self._line
        if line is None:
            line = self._line = self.hub.own_line(place, block_seconds=self.block_seconds)
            self._place = place
        if not line.connected:
            (self._client_id,) = await line.send([("CLIENT", "ID")])
        (reply,) = await line.send([command])
        if isinstance(reply, MovedError):
            await self.aclose()
        return await self.hub.told(reply)

    async def interrupt(self) -> None:
        """Make a waiting ``ask`` return None now; cancelling it would leave what it was just given to its lease."""
        if self._line is not None and self._line.connected:
            await self.hub.line(self.hub.place(self.key)).send([("CLIENT", "UNBLOCK", self._client_id)])

    async def aclose(self) -> None:
        """Close the connection."""
        if self._line is not None:
            await self.hub.close_line(self._line)
            self._line = None
