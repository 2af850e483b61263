"""A worker of a queue: reads, hands to a handler, acknowledges, retries, buries, and stops without losing anything.

    async def settle(run: Run) -> None:                      # the entry point of a domain's `lastro.workers`
        await Worker.batches(queue, handler, size=500).run(run)

A handler returns when its effect is done, and may be called again for the same message at any time: it is guarded by
the message's own id. ``acknowledges=True`` says that the handler's script settles the message itself (``ack.lua``).
What it raises decides: ``Busy`` is not the message's fault and is tried again without end; ``Invalid`` is dead at once;
anything else, a timeout included, is tried again ``backoff.attempts`` times and then dead. A message that takes its
process with it is dead after as many deliveries, and is tried alone from the third on, so that it takes nobody along.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import uniform
from secrets import token_hex
from typing import Any, Self, TypeAlias, cast

import msgspec
import structlog

from lastro.core.errors import Busy
from lastro.core.queue import BLOCK_SECONDS, LEASE_SECONDS, Backoff, Consumer, Queue
from lastro.core.streams import Message
from lastro.core.streams.letters import Reason

from . import Run, failed
from .metrics import BATCH_SIZE, IN_FLIGHT, LEASE_LOST, REDELIVERED, SATURATION, tell

Handler: TypeAlias = Callable[[Message], Awaitable[None]]
Failures: TypeAlias = Mapping[bytes, Exception]
"""Message id → why it failed; the others of the batch are done."""
BatchHandler: TypeAlias = Callable[[list[Message]], Awaitable[Failures | None]]

TURN_SECONDS = 1.0
TURN_SECONDS_MIN = 0.01
MEASURE_SECONDS = 10.0
TEND_EVERY = 6  # measurements
CONSUMER_IDLE_SECONDS = 600.0  # a name unseen for so long is swept
LINGER_SECONDS = 0.001  # when few slots are free, more will be in a moment: one read for many
READ_MAX = 1_000
PAUSE_CAP_SECONDS = 0.5  # between tries while the server is away: work goes on within a second of its return

log = structlog.get_logger()


class _Unit:
    """Messages that are handled in one call."""

    __slots__ = ("messages", "since", "task")

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.since = time.monotonic()
        self.task: asyncio.Task[None] | None = None


@dataclass(slots=True, kw_only=True)
class Worker:
    """See the module. ``run`` it once."""

    queue: Queue
    handle: BatchHandler
    size: int = 1
    concurrency: int = 64
    """Calls of the handler at a time; times ``size``, what is in hand at most (twice that with takeovers)."""
    lease_seconds: float = LEASE_SECONDS
    timeout_seconds: float = LEASE_SECONDS
    """Of one call. A hanging one is a failed delivery."""
    backoff: Backoff = field(default_factory=Backoff)
    acknowledges: bool = False
    block_seconds: float = BLOCK_SECONDS
    turn_seconds: float = TURN_SECONDS
    name: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{token_hex(3)}")
    _run: Run = field(init=False)
    _tasks: asyncio.TaskGroup = field(init=False)
    _measured: int = 0
    _consumer: Consumer = field(init=False)
    _held: dict[bytes, _Unit] = field(default_factory=dict)
    _done: list[Message] = field(default_factory=list)
    _finished: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _suspects: "asyncio.PriorityQueue[tuple[int, bytes]]" = field(default_factory=asyncio.PriorityQueue)

    @classmethod
    def each(cls, queue: Queue, handler: Handler, **options: Any) -> Self:
        """One message a call, ``concurrency`` (64) calls at a time."""

        async def handle(messages: list[Message]) -> None:
            await handler(messages[0])

        return cls(queue=queue, handle=handle, **options)

    @classmethod
    def batches(
        cls, queue: Queue, handler: BatchHandler, *, size: int = 500, concurrency: int = 2, **options: Any
    ) -> Self:
        """Up to ``size`` messages a call. A call that raises is made again in halves until the culprits are alone."""
        return cls(queue=queue, handle=handler, size=size, concurrency=concurrency, **options)

    async def run(self, run: Run) -> None:
        """Work until ``run.stopping``; then finish within the grace period and let go of the rest."""
        self._run = run
        self._consumer = self.queue.consumer(
            self.name, lease_seconds=self.lease_seconds, block_seconds=self.block_seconds
        )
        log.info("worker.consuming", queue=self.queue.name, consumer=self.name)
        try:
            async with asyncio.TaskGroup() as loops:
                self._tasks = loops
                steps = (self._acknowledge, self._renew, self._measure, self._try_suspect)
                background = [loops.create_task(self._steadily(step)) for step in steps]
                intake = [loops.create_task(self._steadily(step)) for step in (self._read, self._turn)]
                await run.stopping.wait()
                await self._stop_reading(intake, time.monotonic() + run.settings.grace_seconds)
                await self._drain(run.settings.grace_seconds)
                for task in background:
                    task.cancel()
        finally:
            if released := await self._quietly(self._consumer.release()):
                log.info("worker.released", queue=self.queue.name, consumer=self.name, messages=released)
            await self._consumer.aclose()

    async def _steadily(self, step: Callable[[], Awaitable[float]]) -> None:
        """Step after step, each saying how long to wait; while the store is away, ever more slowly."""
        until_stop = step in {self._read, self._turn}
        failures, task = 0, cast("asyncio.Task[None]", asyncio.current_task())
        # asked, not awaited: redis-py can turn the cancellation of a call into an error of its own
        while not task.cancelling() and not (until_stop and self._run.stopping.is_set()):
            try:
                pause = await step()
                failures = 0
            except Busy as busy:
                failures += 1
                if failures == 1:
                    log.warning("worker.waits_for_store", queue=self.queue.name, reason=str(busy))
                pause = uniform(0.5, 1) * min(PAUSE_CAP_SECONDS, 0.02 * 2**failures)
            if pause and not task.cancelling():
                await (self._run.pause(pause) if until_stop else asyncio.sleep(pause))

    async def _stop_reading(self, intake: "Sequence[asyncio.Task[None]]", deadline: float) -> None:
        """A read that waits is told to return: cancelled, it would leave what it was just given to its lease."""
        self._room.set()
        while (left := [task for task in intake if not task.done()]) and time.monotonic() < deadline:
            await self._quietly(self._consumer.interrupt())
            await asyncio.wait(left, timeout=0.1)
        for task in left:
            task.cancel()

    async def _drain(self, grace_seconds: float) -> None:
        """What is in hand gets this long; what is not done by then is let go."""
        self._drop_suspects()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                while self._held:
                    self._room.clear()
                    await self._room.wait()
        for task in {unit.task for unit in self._held.values() if unit.task is not None}:
            task.cancel()
        if self._done:
            await self._quietly(self._consumer.acknowledge(self._done))

    async def _quietly(self, act: Awaitable[Any]) -> Any:
        """While stopping: what the store cannot do now, the end of the lease does later."""
        try:
            return await act
        except Busy as busy:
            log.warning("worker.left_to_the_lease", queue=self.queue.name, reason=str(busy))
            return None

    async def _read(self) -> float:
        slots = self.size * self.concurrency
        while (free := slots - self._worked_on) <= 0:
            self._room.clear()
            await self._room.wait()
            if self._run.stopping.is_set():
                return 0
        if free < slots // 2:
            await asyncio.sleep(LINGER_SECONDS)
            free = slots - self._worked_on
        messages = await self._consumer.read(min(free, READ_MAX), block_seconds=self.block_seconds)
        if messages:
            BATCH_SIZE.of(queue=self.queue.name).observe(len(messages))
            self._admit(messages)
        return 0

    @property
    def _worked_on(self) -> int:
        """How much is in hand without the suspects in line, which are tried alone and may take long."""
        return len(self._held) - self._suspects.qsize()

    async def _turn(self) -> float:
        """Takeovers have as many slots again: a dead worker's messages are older than what fills ours."""
        slots = self.size * self.concurrency
        room = 2 * slots - len(self._held)
        turn = await self._consumer.turn(max(0, room))
        self._admit(turn.messages)
        IN_FLIGHT.of(queue=self.queue.name).set(len(self._held))
        SATURATION.of(queue=self.queue.name).set(len(self._held) / slots)
        if turn.unfinished and room > 0:
            return TURN_SECONDS_MIN
        return min(self.turn_seconds, max(TURN_SECONDS_MIN, turn.next_seconds))

    def _admit(self, messages: list[Message]) -> None:
        """Into the handler; what crashed before goes one at a time; what crashed too often, or is none, to the dead."""
        again = [message for message in messages if message.deliveries > 1]
        if not again and not any(message.unreadable for message in messages):
            self._start(messages)
            return
        REDELIVERED.of(queue=self.queue.name).inc(len(again))
        fresh = []
        for message in messages:
            if message.id in self._held:
                continue  # ours, renewed too late: we go on with it
            if message.unreadable:
                self._set_aside(message, "invalid", message.unreadable, message.deliveries)
            elif message.deliveries - message.earlier > self.backoff.attempts:
                deliveries = message.deliveries - 1  # and nobody ever came back from one
                self._set_aside(message, "crashed", f"no answer after {deliveries} deliveries", deliveries)
            elif message.suspect:
                self._hold(_Unit([message]))
                self._suspects.put_nowait((message.deliveries, message.id))
            else:
                fresh.append(message)
        self._start([message for message in fresh if not message.earlier])
        for message in fresh:
            if message.earlier:  # it would spoil a batch again
                self._work_on(_Unit([message]))

    def _start(self, messages: list[Message]) -> None:
        for at in range(0, len(messages), self.size):
            self._work_on(_Unit(messages[at : at + self.size]))

    def _work_on(self, unit: _Unit) -> None:
        self._hold(unit)
        unit.task = self._tasks.create_task(self._work(unit))

    def _hold(self, unit: _Unit) -> None:
        for message in unit.messages:
            self._held[message.id] = unit

    def _forget(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._held.pop(message.id, None)
        self._room.set()

    async def _try_suspect(self) -> float:
        """One at a time, those with fewest deliveries first: a message that kills is alone when it does."""
        suspect = await self._suspects.get()
        unit = self._held.get(suspect[-1])
        if unit is None or unit.task is not None:
            return 0  # lost since then, or taken again and begun
        (message,) = unit.messages
        try:
            ours = await self._consumer.begin(message)
        except Busy:
            self._suspects.put_nowait(suspect)  # it is held and renewed: nobody else would ever try it
            raise
        if ours:
            unit.task = self._tasks.create_task(self._work(unit))
            await asyncio.wait({unit.task})
        else:
            self._lose([message.id])
        return 0

    async def _work(self, unit: _Unit) -> None:
        failures = await self._attempt(unit.messages)
        done = [message for message in unit.messages if message.id not in failures] if failures else unit.messages
        if self.acknowledges:
            self._forget(done)
        else:
            self._done += done
            self._finished.set()
        if failures:
            bad = [message for message in unit.messages if message.id in failures]
            await asyncio.gather(*(self._fail(message, failures[message.id]) for message in bad))

    async def _attempt(self, messages: list[Message]) -> dict[bytes, Exception]:
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return dict(await self.handle(messages) or ())
        except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001  # it is an answer about its messages
            error = failed.its_own(raised)
            if len(messages) == 1 or isinstance(error, Busy):
                return dict.fromkeys((message.id for message in messages), error)
            half = 1 if isinstance(error, TimeoutError) else (len(messages) + 1) // 2
            parts = [messages[at : at + half] for at in range(0, len(messages), half)]
            told = await asyncio.gather(*(self._attempt(part) for part in parts))
            return {id_: failure for failures in told for id_, failure in failures.items()}

    async def _fail(self, message: Message, error: Exception) -> None:
        """Again later, or never again."""
        told, offers = failed.told(error), self.queue.offers
        delay, again = failed.later(message, error, self.backoff)
        if again is None:
            await self._give_up(message, error, told)
            return
        log.debug("worker.failed", queue=self.queue.name, deliveries=message.deliveries, error=told)
        if offers.delayed:
            await self._insist(lambda: self._consumer.retry(again, delay_seconds=delay))
        elif offers.acknowledged:  # it stays in hand
            await asyncio.sleep(delay)
            if message.id in self._held:
                self._work_on(_Unit([msgspec.structs.replace(again, deliveries=again.deliveries + 1)]))
            return
        else:
            log.error("worker.dropped", queue=self.queue.name, id=message.id.decode(), error=told)
        self._forget([message])

    async def _give_up(self, message: Message, error: Exception, told: str) -> None:
        """Among the dead letters; of a queue that has none, it is passed over, and the log names it."""
        if self.queue.offers.dead_letters:
            await self._bury(message, failed.reason(error), told, message.deliveries)
            return
        log.error("worker.dropped", queue=self.queue.name, id=message.id.decode(), error=told)
        self._done.append(message)
        self._finished.set()

    def _set_aside(self, message: Message, reason: Reason, error: str, deliveries: int) -> None:
        """Bury what no handler gets; like a call of it, it is ended when the grace is over."""
        unit = _Unit([message])
        self._hold(unit)
        unit.task = self._tasks.create_task(self._bury(message, reason, error, deliveries))

    async def _bury(self, message: Message, reason: Reason, error: str, deliveries: int) -> None:
        buried = await self._insist(
            lambda: self._consumer.bury(message, reason=reason, error=error, deliveries=deliveries)
        )
        event = "worker.buried" if buried else "worker.not_buried"  # not ours any more, or no room among the dead
        log.warning(event, queue=self.queue.name, id=message.id.decode(), reason=reason, error=error)
        self._forget([message])

    async def _insist(self, act: Callable[[], Awaitable[bool]]) -> bool:
        """Until the store answers; settling twice changes nothing."""
        tries = 0
        while True:
            try:
                return await act()
            except Busy:
                if (task := asyncio.current_task()) and task.cancelling():
                    return False
                tries += 1
                await asyncio.sleep(uniform(0.5, 1) * min(PAUSE_CAP_SECONDS, 0.02 * 2**tries))

    async def _acknowledge(self) -> float:
        """What was finished while the last acknowledgement was on its way goes with the next."""
        await self._finished.wait()
        self._finished.clear()
        done, self._done = self._done, []
        try:
            if done:
                await self._consumer.acknowledge(done)
        except BaseException:
            self._done = done + self._done
            self._finished.set()
            raise
        self._forget(done)
        return 0

    async def _renew(self) -> float:
        """What takes long is renewed long before its lease ends."""
        every = self.lease_seconds / 4
        before = time.monotonic() - every
        old = [
            message
            for unit in set(self._held.values())
            if unit.since < before
            for message in unit.messages
            if self._held.get(message.id) is unit
        ]
        if old:
            self._lose(await self._consumer.renew(old))
        return every

    def _lose(self, ids: Sequence[bytes]) -> None:
        """Another has them: a call that handles one of them alone is ended, and what it still does is fenced."""
        if ids:
            LEASE_LOST.of(queue=self.queue.name).inc(len(ids))
        for id_ in ids:
            unit = self._held.pop(id_, None)
            if unit is not None and unit.task is not None and len(unit.messages) == 1:
                unit.task.cancel()
        self._room.set()

    async def _measure(self) -> float:
        tell(self.queue.name, await self.queue.measure())
        if self._measured % TEND_EVERY == 0:
            await self.queue.tend(idle_seconds=CONSUMER_IDLE_SECONDS)
        self._measured += 1
        return MEASURE_SECONDS

    def _drop_suspects(self) -> None:
        while not self._suspects.empty():
            self._held.pop(self._suspects.get_nowait()[-1], None)
