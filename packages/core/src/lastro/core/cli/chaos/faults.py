"""How a fault is done, and undone."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import run as run_program

from redis.exceptions import RedisError

from lastro.core.cli.demo.stage import Theatre

from .pair import Pair
from .proxy import Proxy
from .schedule import Step

DISK_MB = 512
PIECE_BYTES = 1 << 20
FAKETIME = ("lib/*/faketime/libfaketimeMT.so.1", "lib*/faketime/libfaketimeMT.so.1")  # Debian; Fedora, Arch
RIGHT = "+0"
LEFT_OUT = "left out"


@dataclass(slots=True, kw_only=True)
class Ground:
    """Where faults happen."""

    theatre: Theatre
    proxy: Proxy
    pair: Pair
    disk: bool
    """The folder is a small disk of its own, which can be filled."""
    clock: Path | None
    """The file that says how wrong the clock is; None where no library can make it so."""

    async def do(self, step: Step) -> str:
        """One fault, from its beginning to its end; what was done, or why not."""
        told = str(step)
        match step.kind:
            case "kill":
                pid = self._signal(step.target, signal.SIGKILL)
                told = f"{step} (pid {pid})" if pid else f"{step}: no such process now"
            case "stop":
                told = await self._stop(step)
            case "cut":
                self.proxy.cut()
            case "half_open":
                self.proxy.half_open = True
                await asyncio.sleep(step.seconds)
                self.proxy.half_open = False
                self.proxy.cut()  # a router that lost its table never finds these again
            case "delay":
                self.proxy.delay_seconds = step.amount
                await asyncio.sleep(step.seconds)
                self.proxy.delay_seconds = 0.0
            case "drop_replies":
                self.proxy.drop_replies = step.amount
                await asyncio.sleep(step.seconds)
                self.proxy.drop_replies = 0.0
            case "disk_full":
                told = await self._fill(step.seconds)
            case "memory_limit":
                told = await self._limit(step.seconds)
            case "clock":
                told = await self._set_clock(step)
            case "failover":
                told = await self._fail_over(step)
        return told

    def heal(self) -> None:
        """Undo what may still be wrong."""
        self.proxy.half_open, self.proxy.delay_seconds, self.proxy.drop_replies = False, 0.0, 0.0
        (self.theatre.folder / "filler").unlink(missing_ok=True)
        if self.clock is not None:
            self.clock.write_text(RIGHT)
        for target in ("server", "replica", *self.theatre.parts()):
            self._signal(target, signal.SIGCONT)

    def _pid(self, target: str) -> int | None:
        if target == "server":
            return self.pair.primary.pid
        if target == "replica":
            return self.pair.replica.pid if self.pair.replica is not None else None
        if target == "engine":
            return self.theatre.process.pid if self.theatre.process is not None else None
        return self.theatre.parts().get(target)

    def _signal(self, target: str, number: int) -> int | None:
        pid = self._pid(target)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pid

    async def _stop(self, step: Step) -> str:
        pid = self._signal(step.target, signal.SIGSTOP)
        if pid is None:
            return f"{step}: no such process now"
        await asyncio.sleep(step.seconds)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        return str(step)

    async def _fill(self, seconds: float) -> str:
        folder = self.theatre.folder
        if not self.disk or not folder.is_mount():  # never the machine's own disk, whoever unmounted ours
            return f"disk full: {LEFT_OUT}, no small disk is mounted here"
        filler = folder / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            for _ in range(DISK_MB):
                file.write(b"\0" * PIECE_BYTES)
        await asyncio.sleep(seconds)
        filler.unlink(missing_ok=True)  # another one may have been first
        return f"disk full for {seconds:.1f} s"

    async def _limit(self, seconds: float) -> str:
        server = self.pair.primary  # and no other, when its replica takes its place meanwhile
        with suppress(RedisError):
            await server.ask("CONFIG", "SET", "maxmemory", "1mb")
            await asyncio.sleep(seconds)
        await server.insist("CONFIG", "SET", "maxmemory", "0")
        return f"memory limit for {seconds:.1f} s"

    async def _fail_over(self, step: Step) -> str:
        if not await self.pair.in_step():
            return f"{step}: {LEFT_OUT}, the replica is not in step now"
        old = await self.pair.fail_over(signal.SIGKILL if step.target == "killed" else signal.SIGSTOP)
        self.proxy.server = self.pair.primary.socket
        self.proxy.cut()
        await asyncio.sleep(step.seconds)
        await self.pair.take_back(old)
        return str(step)

    async def _set_clock(self, step: Step) -> str:
        if self.clock is None:
            return f"{step}: {LEFT_OUT}, libfaketime is not installed here"
        self.clock.write_text(f"{step.amount:+.1f}")
        await asyncio.sleep(step.seconds)
        self.clock.write_text(RIGHT)
        return str(step)


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount one at the folder, where that is allowed."""
    mounted = False
    if os.geteuid() == 0 and (mount := shutil.which("mount")):
        command = [mount, "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=755", "tmpfs", str(folder)]
        mounted = run_program(command, check=False, capture_output=True).returncode == 0  # noqa: S603  # as found on PATH
    try:
        yield mounted
    finally:
        if mounted:
            run_program(["umount", "-l", str(folder)], check=False)  # noqa: S603, S607  # likewise


def false_clock(folder: Path) -> tuple[Path | None, dict[str, str]]:
    """The file that sets it, and the variables of the server that follows it: Python cannot sleep on such a clock."""
    library = next((path for pattern in FAKETIME for path in Path("/usr").glob(pattern)), None)
    if library is None:
        return None, {}
    clock = folder / "clock"
    clock.write_text(RIGHT)
    return clock, {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DISABLE_SHM": "1",
    }


def lacking(*, disk: bool, clock: Path | None) -> list[str]:
    """Which faults will be left out here, and what they need."""
    said = [] if disk else ["no disk will be full: that needs root, and a system that mounts tmpfs"]
    return said if clock else [*said, "no clock will be wrong: that needs libfaketime (apt install faketime)"]
