"""How an adapter says what it lacks."""

from collections.abc import Sequence

from lastro.core.streams import Message
from lastro.core.streams.letters import DeadLetter, Reason

from . import NotOffered


class NoDeadLetters:
    """For a queue of this ``kind``."""

    __slots__ = ()
    kind = ""

    async def letters(self, *, count: int = 500, after: bytes = b"") -> list[DeadLetter]:
        """None, ever."""
        return []

    async def letter(self, id_: bytes) -> DeadLetter | None:
        """None, ever."""
        return None

    async def replay(self, ids: Sequence[bytes]) -> int:
        """Not offered."""
        raise NotOffered(kind=self.kind, what="dead letters")

    async def discard(self, ids: Sequence[bytes]) -> int:
        """Not offered."""
        raise NotOffered(kind=self.kind, what="dead letters")


class NoSecondTry:
    """For a consumer of this ``kind``."""

    __slots__ = ()
    kind = ""

    async def retry(self, message: Message, *, delay_seconds: float) -> bool:
        """Not offered."""
        raise NotOffered(kind=self.kind, what="retries")

    async def bury(self, message: Message, *, reason: Reason, error: str, deliveries: int) -> bool:
        """Not offered."""
        raise NotOffered(kind=self.kind, what="dead letters")
