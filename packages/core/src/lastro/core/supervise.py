"""Keeps the processes of an engine running, and stops them in order.

The supervisor imports everything once and forks: a part that was killed is back in milliseconds, and parts share the
memory of what they did not change. It runs no event loop and no threads of its own, so that a fork copies nothing half
done. Listening sockets are opened by the supervisor and inherited: while a part restarts, its callers wait in the
socket's queue instead of being refused.
"""

import ctypes
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from types import FrameType

import structlog

from lastro.core.errors import LastroError
from lastro.core.metrics import go_on_as

LOOK_SECONDS = 0.02
RESTART_SECONDS = 0.1
RESTART_SECONDS_MAX = 10.0
STEADY_SECONDS = 5.0  # a part that was killed after so long did not crash at its start: it is restarted without waiting
SOUND_SECONDS = 60.0  # one that ended by an error of its own has to have lived so long for that
KILL_MARGIN_SECONDS = 2.0
ORPHAN_LOOK_SECONDS = 1.0
TOLD_BY = (signal.SIGINT, signal.SIGTERM)
ONE_SIGNAL_SECONDS = 0.5  # `timeout`, make and the terminal may each pass on the same Ctrl-C

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process: ``run`` is called in it, and returns after SIGTERM when what it had in hand is finished."""

    name: str
    run: Callable[[], None]
    stage: int
    """Parts of a lower stage are stopped, and have ended, before those of a higher one are told."""


@dataclass(slots=True)
class _Kept:
    part: Part
    pid: int = 0
    started: float = 0.0
    crashes: int = 0
    due: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Runs the parts until SIGINT or SIGTERM; the second signal ends everything at once."""

    parts: Iterable[Part]
    grace_seconds: float
    guard: Callable[[], None] = lambda: None
    """Called at every look, for what has to be kept alive besides the parts: the embedded server."""
    ended: Callable[[str], None] = lambda part: None
    """Called with the name of each part that ended."""
    _kept: list[_Kept] = field(default_factory=list)
    _told_at: float = 0.0

    def run(self) -> None:
        """Start everything, keep it running, and stop it in order. Returns when no part is left."""
        self._kept = [_Kept(part) for part in self.parts]
        for number in TOLD_BY:
            signal.signal(number, self._told)
        gc.freeze()  # what was imported is never collected, and so stays shared between the parts
        while not self._told_at:
            self._reap()
            self.guard()
            for kept in self._kept:
                if not kept.pid and time.monotonic() >= kept.due:
                    self._start(kept)
            time.sleep(LOOK_SECONDS)
        for stage in sorted({kept.part.stage for kept in self._kept}):
            self._stop([kept for kept in self._kept if kept.part.stage == stage])

    def _told(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._told_at:
            self._told_at = now
        elif now - self._told_at > ONE_SIGNAL_SECONDS:
            for kept in self._kept:
                if kept.pid:
                    os.kill(kept.pid, signal.SIGKILL)
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _start(self, kept: _Kept) -> None:
        _flush()
        parent = os.getpid()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, TOLD_BY)  # else a part could be told while it has our handler
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal group: we decide
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
                code = _run(kept.part, parent, self.grace_seconds + KILL_MARGIN_SECONDS)
            finally:  # whatever happens: what the supervisor cleans up on its way out is not the part's
                os._exit(code)
        kept.pid, kept.started = pid, time.monotonic()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _reap(self) -> None:
        """Take note of every part that ended, and say when it starts again."""
        for kept in self._kept:
            if not kept.pid:
                continue
            pid, status = os.waitpid(kept.pid, os.WNOHANG)
            if not pid:
                continue
            self.ended(kept.part.name)
            kept.pid = 0
            now = time.monotonic()
            code = os.waitstatus_to_exitcode(status)
            steady = now - kept.started >= (STEADY_SECONDS if code < 0 else SOUND_SECONDS)
            kept.crashes = 0 if steady else kept.crashes + 1
            wait = 0.0 if steady else min(RESTART_SECONDS * 2 ** (kept.crashes - 1), RESTART_SECONDS_MAX)
            kept.due = now + wait
            told = {"part": kept.part.name, "pid": pid, "code": code}
            if not self._told_at:
                log.warning("engine.part_ended", **told, crashes_in_a_row=kept.crashes, again_in_seconds=round(wait, 1))

    def _stop(self, kept: list[_Kept]) -> None:
        """Tell these, wait for what they have in hand, and end by force what does not end."""
        for one in kept:
            if one.pid:
                os.kill(one.pid, signal.SIGTERM)
        deadline = time.monotonic() + self.grace_seconds + KILL_MARGIN_SECONDS
        while any(one.pid for one in kept):
            self._reap()
            self.guard()
            if time.monotonic() > deadline:
                for one in kept:
                    if one.pid:
                        log.warning("engine.part_killed", part=one.part.name, reason="it did not end within its grace")
                        os.kill(one.pid, signal.SIGKILL)
                deadline += KILL_MARGIN_SECONDS
            time.sleep(LOOK_SECONDS)


def _end_with(parent: int, margin_seconds: float) -> None:
    """When the supervisor is gone nobody else ends a part that does not end: it would keep its port for ever."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_LOOK_SECONDS)
    time.sleep(margin_seconds)
    os._exit(1)


def _run(part: Part, parent: int, margin_seconds: float) -> int:
    """In the new process: the part's work, and how it ended as an exit code."""
    if sys.platform == "linux":
        pr_set_pdeathsig, pr_set_name = 1, 15
        libc = ctypes.CDLL(None)
        libc.prctl(pr_set_pdeathsig, signal.SIGTERM)
        libc.prctl(pr_set_name, part.name.encode()[:15])  # what ps and top show
        if os.getppid() != parent:  # it went before we asked to be told
            return 0
    go_on_as(part.name)
    Thread(target=_end_with, args=(parent, margin_seconds), daemon=True).start()
    try:
        part.run()
    except LastroError as error:
        log.error("engine.part_failed", part=part.name, code=error.code, reason=str(error))  # noqa: TRY400  # it says it
        return 1
    except ExceptionGroup as group:  # of workers, each told with its sentence as it failed
        if group.split(LastroError)[1] is not None:
            traceback.print_exc()
        return 1
    except BaseException:  # noqa: BLE001  # whatever it was, this process ends with it, and says what it was
        traceback.print_exc()
        return 1
    finally:
        _flush()
    return 0


def _flush() -> None:
    """What a full disk does not take stays in the buffers, and stops nobody."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
