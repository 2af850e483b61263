"""Replica durability: an act is answered when so many replicas have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lastro.core.errors import OutcomeUnknown
from lastro.core.keys import beside

SCRIPT_CALLS = frozenset({"EVALSHA", "EVAL"})
MARK_MS = 1_000
MARK = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], '', 'PX', ARGV[1])"


@dataclass(slots=True)
class Copies:
    """How many replicas must have what a script wrote, and how long to wait for them."""

    replicas: int
    timeout_ms: int
    replies: int = 2
    shebang: bool = True
    """The mark is a script, which runs while memory is full, too: what frees memory is answered. Not before 7.0."""

    def commands(self, call: Sequence[Any]) -> list[tuple[Any, ...]]:
        """What to send behind a script call: a mark, and WAIT.

        From Redis 7.2 and Valkey on, WAIT counts what its own connection wrote. The answer to a repeat is a promise,
        too, but writes nothing: without the mark it would not wait for what another connection wrote.
        """
        return self.of(str(call[3]) if int(call[2]) else "lastro")

    def of(self, key: str) -> list[tuple[Any, ...]]:
        """What asks for the copies of all that the server of this key has now."""
        mark = beside(key, "waited")
        setting = ("EVAL", MARK, 1, mark, MARK_MS) if self.shebang else ("SET", mark, "", "PX", MARK_MS)
        return [setting, ("WAIT", self.replicas, self.timeout_ms)]

    def require(self, told: Sequence[Any]) -> None:
        """Raise OutcomeUnknown unless both were answered as they should be."""
        marked, reached = told
        if isinstance(marked, Exception):
            raise OutcomeUnknown(reason=f"the mark for WAIT was refused: {marked}")
        if isinstance(reached, Exception) or int(reached) < self.replicas:
            raise OutcomeUnknown(reason=f"{reached} of {self.replicas} replicas in {self.timeout_ms} ms")
