"""What goes wrong, when, for how long: drawn from a seed, written as JSON, and shrunk to what matters."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Literal, TypeAlias, get_args

import msgspec

from lastro.core.errors import Invalid

Kind: TypeAlias = Literal[
    "kill",  # a process of the engine, or the server
    "stop",  # SIGSTOP, and SIGCONT after its time
    "cut",  # every connection to the server
    "half_open",  # requests go out, nothing comes back
    "delay",  # every reply
    "drop_replies",  # a share of them: executed, and then the connection is cut
    "disk_full",  # where the server and the databases write
    "memory_limit",  # the server takes nothing more in
    "clock",  # of the server, back or forth, and right again: it decides by it, and disagrees with the engine's
    "failover",  # the server is killed, or frozen for a while, and its replica takes its place
]
KINDS: tuple[Kind, ...] = get_args(Kind)
ALONE = KINDS[:-1]
TARGETS = ("server", "engine", "web.1", "pix.work", "ledger.work", "payments.work", "coupons.work")
STOPPED = TARGETS[:1] + TARGETS[2:]
REPLICA = ("replica",)
SHARE_KILLED = 0.5
"""Of the primaries that fail over; the others are frozen."""
GAP_SECONDS = (2.0, 6.0)
LAST_SECONDS = (0.2, 6.0)
DELAYS_SECONDS = (0.01, 0.3)
SHARES = (0.01, 0.2)
CLOCK_SECONDS = (-5.0, 60.0)
QUIET_SECONDS = 3.0  # before the first


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One fault."""

    at_seconds: float
    kind: Kind
    target: str = ""
    seconds: float = 0.0
    """How long it lasts."""
    amount: float = 0.0
    """Of a delay its seconds, of dropped replies their share, of a clock how far it is wrong."""

    def __str__(self) -> str:
        about = [self.kind.replace("_", " "), self.target]
        about += [f"{self.amount:+.2f}"] if self.amount else []
        about += [f"for {self.seconds:.1f} s"] if self.seconds else []
        return " ".join(filter(None, about))


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """Faults in their order."""

    seed: int
    minutes: float
    replicas: int = 0
    """Of the server, 0 or 1; with one, what is answered has a copy, and there are failovers."""
    steps: tuple[Step, ...]

    def write(self, path: Path) -> None:
        """For a person to read, and for a test to repeat."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")

    @classmethod
    def read(cls, path: Path) -> "Schedule":
        """From a file. Raises Invalid for what is no schedule."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except msgspec.DecodeError as error:  # ValidationError is one
            raise Invalid(field="schedule", reason=str(error)) from None


def drawn(seed: int, minutes: float) -> Schedule:
    """The schedule of a seed; the same on every machine. Even seeds have a replica, odd ones a server alone."""
    chance, replicas = Random(seed), 1 - seed % 2
    steps: list[Step] = []
    at = QUIET_SECONDS
    while at < minutes * 60 - LAST_SECONDS[1]:
        steps.append(_step(chance, round(at, 1), replicas))
        at += chance.uniform(*GAP_SECONDS)
    return Schedule(seed=seed, minutes=minutes, replicas=replicas, steps=tuple(steps))


def _step(chance: Random, at: float, replicas: int) -> Step:
    kind = chance.choice(KINDS if replicas else ALONE)
    seconds = round(chance.uniform(*LAST_SECONDS), 1)
    share = chance.random()
    target = chance.choice(TARGETS + REPLICA * replicas)
    other = chance.choice(STOPPED + REPLICA * replicas)
    if kind == "kill":
        return Step(at_seconds=at, kind=kind, target=target)
    if kind == "stop":
        return Step(at_seconds=at, kind=kind, target=other, seconds=seconds)
    if kind == "cut":
        return Step(at_seconds=at, kind=kind)
    if kind == "failover":
        if share < SHARE_KILLED:
            return Step(at_seconds=at, kind=kind, target="killed")
        return Step(at_seconds=at, kind=kind, target="frozen", seconds=seconds)
    ranges = {"delay": DELAYS_SECONDS, "drop_replies": SHARES, "clock": CLOCK_SECONDS}
    low, high = ranges.get(kind, (0.0, 0.0))
    return Step(at_seconds=at, kind=kind, seconds=seconds, amount=round(low + share * (high - low), 3))


async def shrunk(
    schedule: Schedule, fails: Callable[[Schedule], Awaitable[bool]], tries_max: int
) -> tuple[Schedule, int]:
    """A smaller schedule that still fails, by leaving out ever smaller parts; and after how many tries."""
    steps, size, tries = schedule.steps, max(1, len(schedule.steps) // 2), 0
    while size and tries < tries_max:
        at = 0
        while at < len(steps) and tries < tries_max:
            fewer = steps[:at] + steps[at + size :]
            tries += 1
            if fewer and await fails(_with(schedule, fewer)):
                steps = fewer
            else:
                at += size
        size //= 2
    return _with(schedule, steps), tries


def _with(schedule: Schedule, steps: Sequence[Step]) -> Schedule:
    return msgspec.structs.replace(schedule, steps=tuple(steps))
