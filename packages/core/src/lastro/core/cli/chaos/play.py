"""An engine with traffic, a schedule of faults against it, and the question whether it adds up."""

import asyncio
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from lastro.core import local
from lastro.core.acts import free_ports
from lastro.core.cli.demo.stage import NotUp, Theatre, checked
from lastro.core.settings import Settings

from .faults import LEFT_OUT, Ground, false_clock, lacking, small_disk
from .moving import idle
from .pair import Pair, environment
from .proxy import Proxy
from .schedule import Schedule, Step

HEALED_SECONDS = 30.0
ARCHIVED_SECONDS = 10
"""What is older goes to the archives; answers as old are trimmed."""
SETTLE_SECONDS = ARCHIVED_SECONDS + 2.0  # what was trimmed early, while the clock was ahead, is as old by then
GUARD_SECONDS = 0.1
BAR = (TextColumn("{task.description:<48}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn())


@dataclass(slots=True)
class Verdict:
    """What became of a schedule."""

    schedule: Schedule
    done: list[str] = field(default_factory=list)
    findings: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def adds_up(self) -> bool:
        """Nothing was found."""
        return not any(self.findings.values())

    @property
    def left_out(self) -> int:
        """How many faults could not be done here, or then."""
        return sum(LEFT_OUT in line for line in self.done)


async def play(schedule: Schedule, *, quiet: bool, keep: Path | None = None) -> Verdict:
    """Play a schedule on an engine of its own. All its data goes to the folder ``keep`` when it does not add up."""
    verdict, started, whole = Verdict(schedule), time.monotonic(), False
    with TemporaryDirectory(prefix="lastro-chaos-") as outer:
        folder = Path(outer) / "disk"
        folder.mkdir()
        with small_disk(folder) as disk:
            clock, variables = false_clock(Path(outer))
            for sentence in lacking(disk=disk, clock=clock):
                Console(stderr=True, quiet=quiet).print(f"[yellow]{sentence}[/]")
            try:
                await _played(verdict, folder, clock, variables, disk=disk, quiet=quiet)
                whole = verdict.adds_up
            finally:
                if keep is not None and not whole:
                    left_out = shutil.ignore_patterns("*.sock", "filler")
                    shutil.copytree(folder, keep, ignore=left_out, dirs_exist_ok=True)
    verdict.seconds = time.monotonic() - started
    return verdict


async def _played(
    verdict: Verdict, folder: Path, clock: Path | None, variables: dict[str, str], *, disk: bool, quiet: bool
) -> None:
    ports = free_ports(3)
    world = {
        "LASTRO_PAYMENTS_PROCESSOR_DEFAULT_URL": f"http://127.0.0.1:{ports[1]}",
        "LASTRO_PAYMENTS_PROCESSOR_FALLBACK_URL": f"http://127.0.0.1:{ports[2]}",
    }
    socket, replicas = folder.parent / "p.sock", verdict.schedule.replicas
    store = {"LASTRO_REDIS_URL": f"unix://{socket}", "LASTRO_REDIS_REPLICAS": str(replicas)}
    here = {**store, "LASTRO_DATA_DIR": str(folder), **world, **_archives(folder)}
    theatre = Theatre(folder, ports[0], words=("up", "--simulate"), variables=here)
    pair = Pair.started(folder, replicas, variables)
    async with Proxy.to(pair.primary.socket, socket, seed=verdict.schedule.seed) as proxy:
        ground = Ground(theatre=theatre, proxy=proxy, pair=pair, disk=disk, clock=clock)
        guarding = asyncio.create_task(_guard(ground))
        theatre.open()
        try:
            await theatre.ready()
            await _faults(ground, verdict, quiet=quiet)
            await _judged(ground, verdict, here)
        except NotUp as error:
            verdict.findings["engine"] = [str(error)]
        finally:
            ground.heal()
            guarding.cancel()
            at_rest = await asyncio.to_thread(theatre.close)  # its last check comes through the proxy, which is ours
            pair.stop()
    if at_rest and verdict.adds_up:
        log = (folder / "engine.log").read_text(errors="replace")
        verdict.findings["at rest"] = [log[-3000:]]


def _archives(folder: Path) -> dict[str, str]:
    """Young data goes to databases on the same disk, while everything else goes wrong."""
    url = f"sqlite:///{folder}/archive.sqlite"
    return {
        "LASTRO_PIX_ARCHIVE_URL": url,
        "LASTRO_PIX_RETENTION_SECONDS": str(ARCHIVED_SECONDS),
        "LASTRO_LEDGER_ARCHIVE_URL": url,
        "LASTRO_LEDGER_ARCHIVE_AFTER_SECONDS": str(ARCHIVED_SECONDS),
    }


async def _guard(ground: Ground) -> None:
    """What ended is started again, as whoever runs an engine does."""
    while True:
        with suppress(local.ServerFailed, OSError):  # the disk is full: again
            await asyncio.to_thread(ground.pair.start)
        process = ground.theatre.process
        if process is not None and process.poll() is not None:
            ground.theatre.open()
        await asyncio.sleep(GUARD_SECONDS)


async def _faults(ground: Ground, verdict: Verdict, *, quiet: bool) -> None:
    started = time.monotonic()
    total = verdict.schedule.minutes * 60
    with Progress(*BAR, console=Console(stderr=True, quiet=quiet)) as progress:
        bar = progress.add_task(f"seed {verdict.schedule.seed}", total=total)

        def now() -> float:
            seconds = time.monotonic() - started
            progress.update(bar, completed=min(seconds, total))
            return seconds

        async with asyncio.TaskGroup() as group:
            for step in verdict.schedule.steps:
                await _until(step.at_seconds, now)
                progress.update(bar, description=str(step))
                group.create_task(_done(ground, verdict, step))
            await _until(total, now)


async def _until(at_seconds: float, now: Callable[[], float]) -> None:
    while (left := at_seconds - now()) > 0:  # noqa: ASYNC110  # it also moves the bar
        await asyncio.sleep(min(left, 0.5))


async def _done(ground: Ground, verdict: Verdict, step: Step) -> None:
    verdict.done.append(f"{step.at_seconds:.1f} s: {await ground.do(step)}")


async def _judged(ground: Ground, verdict: Verdict, here: dict[str, str]) -> None:
    """Heal, wait until it serves, and every domain gets something done again; then ask the engine itself."""
    ground.heal()
    verdict.findings["engine"] = [] if await _serves(ground.theatre.url) else [f"not ready {HEALED_SECONDS} s later"]
    with environment({**here, "LASTRO_REDIS_URL": f"unix://{ground.pair.primary.socket}"}):
        still, _ = await asyncio.gather(idle(Settings.read()), asyncio.sleep(SETTLE_SECONDS))
        verdict.findings["engine"] += still
        verdict.findings |= await checked()


async def _serves(url: str) -> bool:
    deadline = time.monotonic() + HEALED_SECONDS
    async with httpx.AsyncClient(base_url=url, timeout=5) as client:
        while time.monotonic() < deadline:
            try:
                if (await client.get("/readyz")).is_success:
                    return True
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
    return False
