"""For tests of what survives a fault: a steady load of acts, and a process that dies at any of its commands."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from lastro.core.errors import Busy
from lastro.core.redis import Hub

TICK_SECONDS = 0.005
PAUSE_SECONDS = 0.02
PAUSE_SECONDS_MAX = 0.3


@dataclass(slots=True)
class Load:
    """Begins ``rate`` acts a second; each is repeated until it is acknowledged."""

    act: Callable[[int], Awaitable[None]]
    """The act of that number, once however often it is asked for; Busy is asked again."""
    rate: int
    lanes: int = 1
    """An act is in the lane of its number modulo this: what lies on one server goes on while another is away."""
    acknowledged: dict[int, float] = field(default_factory=dict)
    """Number → when."""
    busy: int = 0
    begun: int = 0
    started: float = field(default_factory=time.monotonic)
    _stopping: bool = False
    _acts: "set[asyncio.Task[None]]" = field(default_factory=set)
    _pacing: "asyncio.Task[None] | None" = None

    def start(self) -> None:
        """Go on until ``finish``."""
        self.started = time.monotonic()
        self._pacing = asyncio.create_task(self._pace())

    async def finish(self) -> None:
        """Begin no more, and wait for all that were begun."""
        self._stopping = True
        assert self._pacing is not None
        await self._pacing
        await asyncio.gather(*self._acts)

    @property
    def gap_seconds(self) -> float:
        """The longest time in which nothing was acknowledged in one of the lanes."""
        by_lane = [[self.started] for _ in range(self.lanes)]
        for number, when in self.acknowledged.items():
            by_lane[number % self.lanes].append(when)
        return max(later - earlier for times in by_lane for earlier, later in pairwise(sorted(times)))

    async def _pace(self) -> None:
        while not self._stopping:
            due = int((time.monotonic() - self.started) * self.rate)
            for number in range(self.begun, due):
                task = asyncio.create_task(self._insist(number))
                self._acts.add(task)
                task.add_done_callback(self._ended)
            self.begun = max(self.begun, due)
            await asyncio.sleep(TICK_SECONDS)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is None:
            self._acts.discard(task)  # one that failed stays for `finish` to raise

    async def _insist(self, number: int) -> None:
        pause = PAUSE_SECONDS
        while True:
            try:
                await self.act(number)
            except Busy:
                self.busy += 1
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE_SECONDS_MAX)
            else:
                self.acknowledged[number] = time.monotonic()
                return


class Died(BaseException):
    """The process ended here."""


async def dying(hub: Hub, at: int, *, answered: bool, act: Callable[[], Awaitable[object]]) -> bool:
    """Act and die at that command of the hub, before it is sent or before its answer is heard; False if it lived."""
    client, sent = hub.write, 0
    real = client.execute_command

    async def counted(*command: Any, **options: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == at and not answered:
            raise Died
        answer = await real(*command, **options)
        if sent >= at:
            raise Died
        return answer

    client.execute_command = counted  # type: ignore[method-assign]
    try:
        await act()
    except Died:
        return True
    finally:
        client.execute_command = real  # type: ignore[method-assign]
    return False
