"""Runs workers until told to stop.

A worker is an ``async def verb(run: Run) -> None`` named in its domain's ``lastro.workers`` entry points. It returns
when ``run.stopping`` is set and what it had in hand is finished.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeAlias

import structlog

from lastro.core import tracing
from lastro.core.metrics import histogram
from lastro.core.redis import Hub
from lastro.core.settings import Settings

LAG_SECONDS = 0.5
LOOP_LAG = histogram(
    "event_loop_lag_seconds", "how late a process's loop woke a task", do="above 0.1 s: what blocks, or is it too busy?"
)

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Run:
    """What a worker gets: the store, the settings, and the word when to stop."""

    hub: Hub
    settings: Settings
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    """Where the services of this engine are reached, once they are: for simulators of the outside world."""

    async def pause(self, seconds: float) -> bool:
        """Wait, but not past the stop; True when it is time to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return False
        return True


Work: TypeAlias = Callable[[Run], Awaitable[None]]


async def run(works: Mapping[str, Work], run: Run) -> None:
    """Run these until ``run.stopping``; one that fails stops all of them, and its error is raised in a group."""
    tracing.start()
    lag = asyncio.create_task(_measure_lag(run))
    failed: list[Exception] = []
    try:
        async with asyncio.TaskGroup() as group:
            for name, work in works.items():
                group.create_task(_named(name, work, run, failed), name=name)
    finally:
        lag.cancel()
        tracing.stop()
    if failed:
        raise ExceptionGroup("workers failed", failed)


async def _measure_lag(run: Run) -> None:
    """How late this process's loop is: a task that should have been awake by then has waited for others."""
    late = LOOP_LAG.of()
    due = monotonic() + LAG_SECONDS
    while not await run.pause(max(0, due - monotonic())):
        late.observe(monotonic() - due)
        due = monotonic() + LAG_SECONDS


async def _named(name: str, work: Work, run: Run, failed: list[Exception]) -> None:
    with structlog.contextvars.bound_contextvars(worker=name):
        log.debug("worker.started")
        try:
            await work(run)
        except asyncio.CancelledError:
            run.stopping.set()  # the others must hear of it by this, too: redis-py can lose a cancellation
            raise
        except Exception as error:  # noqa: BLE001  # raised when the others have finished what they had in hand
            log.error("worker.failed", reason=str(error))  # noqa: TRY400  # its traceback comes at the end
            run.stopping.set()
            failed.append(error)
        log.debug("worker.stopped")


def stop_on_signals(stopping: asyncio.Event) -> None:
    """SIGINT and SIGTERM set the event; the second one ends the process at once."""
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if stopping.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
