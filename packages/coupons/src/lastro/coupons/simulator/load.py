"""The crowd: many connections, one request at a time on each, from a few processes that do nothing else.

A process costs about 10 µs per attempt. An attempt that is cut off, or told to come later, is made again by the same
user, so that a killed process costs the crowd time and no answers.
"""

import json
import multiprocessing
import select
import socket
import time
from array import array
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TRIES_MAX = 200
AGAIN_SECONDS = 0.05
PATIENCE_SECONDS = 60.0
"""For a server that does not even take connections."""
RETRIED = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """What to do: ``attempts`` by users ``u0`` …, each from a connection that is free."""

    event_id: str
    targets: tuple[str, ...]
    """Paths of unix sockets, or http://host:port."""
    attempts: int
    users: int
    """Distinct; when there are fewer than attempts, users come again."""
    connections: int = 64
    processes: int = 1
    per_second: float = 0.0
    """Open loop: each attempt has its time to leave, whatever comes back, and is timed from then; 0 is closed loop."""
    key: str = field(default="", repr=False)
    """An API key, sent with each attempt."""


@dataclass(slots=True)
class Seen:
    """What the crowd saw; of all processes after ``merge``."""

    statuses: Counter[int] = field(default_factory=Counter)
    won: dict[str, bytes] = field(default_factory=dict)
    """user → the body of its coupon"""
    new: int = 0
    differing: list[str] = field(default_factory=list)
    """users whose second answer was another coupon"""
    unknown: list[str] = field(default_factory=list)
    """users that never got an answer"""
    again: int = 0
    first_sold_out: float = float("inf")
    last_win_started: float = 0.0
    latencies_us: "array[int]" = field(default_factory=lambda: array("I"))
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def merge(self, other: "Seen") -> None:
        """Another process's."""
        self.statuses.update(other.statuses)
        for user, body in other.won.items():
            if self.won.setdefault(user, body) != body:
                self.differing.append(user)
        self.new += other.new
        self.differing += other.differing
        self.unknown += other.unknown
        self.again += other.again
        self.first_sold_out = min(self.first_sold_out, other.first_sold_out)
        self.last_win_started = max(self.last_win_started, other.last_win_started)
        self.latencies_us.extend(other.latencies_us)
        self.seconds = max(self.seconds, other.seconds)
        self.cpu_seconds += other.cpu_seconds


class _Wire:
    """One connection with one attempt on it."""

    __slots__ = ("busy", "data", "due", "planned", "sock", "started", "target", "tries", "user")

    def __init__(self, target: str) -> None:
        self.target = target
        self.sock: socket.socket | None = None
        self.data = b""
        self.user = ""
        self.started = self.planned = self.due = 0.0
        self.tries = 0
        self.busy = False


class Runner:
    """One process's share of the crowd: every ``step``-th attempt from ``start``."""

    def __init__(self, crowd: Crowd, start: int, step: int, progress: Any) -> None:
        self.crowd, self.next, self.step, self.progress = crowd, start, step, progress
        self.seen = Seen()
        self.epoll = select.epoll()
        self.wires: dict[int, _Wire] = {}
        self.busy = 0
        self.later: deque[tuple[float, _Wire]] = deque()
        self.sent = 0
        key = f"authorization: Bearer {crowd.key}\r\n" if crowd.key else ""
        head = f"POST /coupons/events/{crowd.event_id}/issuances HTTP/1.1\r\nhost: rush\r\n{key}x-user-id: "
        self.head, self.tail = head.encode(), b"\r\ncontent-length: 0\r\n\r\n"

    def run(self) -> Seen:
        """All of it."""
        began, spent = time.perf_counter(), time.process_time()
        self.began = time.monotonic()
        count = max(1, self.crowd.connections // self.crowd.processes)
        idle = [_Wire(self.crowd.targets[n % len(self.crowd.targets)]) for n in range(count)]
        while self.next < self.crowd.attempts or self.busy or self.later:
            while idle and self.next < self.crowd.attempts and self._planned() <= time.monotonic():
                wire = idle.pop()
                wire.user, wire.tries = f"u{self.next % self.crowd.users}", 0
                wire.started = time.monotonic()
                wire.planned = self._planned() or wire.started
                self.next += self.step
                self.sent += 1
                self._send(wire)
            now = time.monotonic()
            while self.later and self.later[0][0] <= now:
                self._send(self.later.popleft()[1])
            for number, _ in self.epoll.poll(0.001 if self.later or self.crowd.per_second else 0.1, 256):
                wire = self.wires[number]
                if not wire.busy:
                    self._close(wire)  # the server ends what is idle for long
                elif self._received(wire):
                    idle.append(wire)
        self.seen.seconds = time.perf_counter() - began
        self.seen.cpu_seconds = time.process_time() - spent
        return self.seen

    def _planned(self) -> float:
        """When the next attempt is to leave; 0 in a closed loop: at once."""
        return self.began + self.sent * self.crowd.processes / self.crowd.per_second if self.crowd.per_second else 0.0

    def _send(self, wire: _Wire) -> None:
        wire.tries += 1
        try:
            if wire.sock is None:
                wire.sock = _connected(wire.target)
                self.epoll.register(wire.sock.fileno(), select.EPOLLIN)
                self.wires[wire.sock.fileno()] = wire
            wire.data = b""
            wire.busy = True
            self.busy += 1
            wire.sock.send(self.head + wire.user.encode() + self.tail)
        except OSError:
            self._cut(wire)

    def _received(self, wire: _Wire) -> bool:
        """Whether the attempt is over."""
        assert wire.sock is not None
        try:
            data = wire.sock.recv(65_536)
        except OSError:
            data = b""
        if not data:
            self._cut(wire)
            return False
        data = wire.data = wire.data + data if wire.data else data
        end = data.find(b"\r\n\r\n")
        at = data.find(b"content-length: ")
        if end < 0 or len(data) < end + 4 + int(data[at + 16 : data.index(b"\r\n", at)]):
            return False
        wire.busy = False
        self.busy -= 1
        status = int(data[9:12])
        if status in RETRIED and wire.tries < TRIES_MAX:
            self._again(wire)
            return False
        self._told(wire, status, data[end + 4 :])
        return True

    def _told(self, wire: _Wire, status: int, body: bytes) -> None:
        seen, now = self.seen, time.monotonic()
        seen.statuses[status] += 1
        seen.latencies_us.append(int((now - wire.planned) * 1e6))
        self.progress.value += 1
        if status == 409:  # noqa: PLR2004  # sold out
            seen.first_sold_out = min(seen.first_sold_out, now)
        elif status in {200, 201}:
            seen.new += status == 201  # noqa: PLR2004  # issued now
            if seen.won.setdefault(wire.user, body) != body:
                seen.differing.append(wire.user)
            elif status == 201:  # noqa: PLR2004  # likewise
                seen.last_win_started = max(seen.last_win_started, wire.started)
        elif status in RETRIED:
            seen.unknown.append(wire.user)

    def _cut(self, wire: _Wire) -> None:
        self._close(wire)
        self._again(wire)

    def _close(self, wire: _Wire) -> None:
        self.busy -= wire.busy
        wire.busy = False
        if wire.sock is not None:
            self.wires.pop(wire.sock.fileno(), None)
            wire.sock.close()
            wire.sock = None

    def _again(self, wire: _Wire) -> None:
        self.seen.again += 1
        if time.monotonic() - wire.started > PATIENCE_SECONDS:
            raise TimeoutError(f"{wire.user} was not answered in {PATIENCE_SECONDS:.0f} s")
        self.later.append((time.monotonic() + AGAIN_SECONDS, wire))


def run_crowd(crowd: Crowd, told: Any = None) -> Seen:
    """Let it come, in processes of its own; ``told`` gets how many attempts are over, now and then."""
    spawn = multiprocessing.get_context("spawn")
    queue: Any = spawn.Queue()
    counters = [spawn.Value("q", 0, lock=False) for _ in range(crowd.processes)]
    processes = [
        spawn.Process(target=_share, args=(crowd, n, crowd.processes, counters[n], queue), daemon=True)
        for n in range(crowd.processes)
    ]
    for process in processes:
        process.start()
    seen, left = Seen(), len(processes)
    while left:
        try:
            other = queue.get(timeout=0.2)
        except Exception as nothing:  # the queue module's Empty, by whatever name
            if type(nothing).__name__ != "Empty":
                raise
            if any(process.exitcode for process in processes):
                raise ChildProcessError("a process of the crowd died") from None
        else:
            seen.merge(other)
            left -= 1
        if told is not None:
            told(sum(counter.value for counter in counters))
    for process in processes:
        process.join()
    return seen


def _share(crowd: Crowd, start: int, step: int, progress: Any, queue: Any) -> None:
    queue.put(Runner(crowd, start, step, progress).run())


def issuance_ids(seen: Seen) -> dict[str, str]:
    """User → the id that it was told."""
    return {user: str(json.loads(body)["issuance_id"]) for user, body in seen.won.items()}


def _connected(target: str) -> socket.socket:
    if target.startswith("http"):
        parts = urlsplit(target)
        made = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=5)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(5)
        made.connect(target)
    made.setblocking(False)
    return made
