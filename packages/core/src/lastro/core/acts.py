"""What a domain contributes to the demo: a fixed amount of work from outside, through real HTTP and streams.

A domain plugs an ``Act`` into ``lastro.demos``. Its work goes on through kills of any process of the engine: what was
not answered is asked again, with the same ids.
"""

import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from secrets import choice
from typing import TypeAlias

from lastro.core.redis import Hub

PORTS = range(10_240, 22_000)
"""Below what Linux gives to outgoing connections: one of those would take a port before its server is there, or while
it restarts, and who connects to it again and again may even meet himself."""
BUS_OFFSET = 10_000
"""A cluster's servers listen that much above their port, too."""
_given: set[int] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where an act is played."""

    url: str
    """Of the engine's services."""
    hub: Hub
    """To the engine's server: for what comes in by stream."""
    told: Callable[[int], None]
    """Call it with the number of steps done since the last call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was done, and what of it is not as the client saw it."""

    done: int
    unit: str
    notes: str = ""
    wrong: tuple[str, ...] = ()
    """In the eyes of the client: each a sentence that names an id or a sum."""


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody has, none of them given before; what is BUS_OFFSET above each is free, too."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = choice(PORTS)
        if port not in _given and _free(port) and _free(port + BUS_OFFSET):
            _given.add(port)
            chosen.append(port)
    return chosen


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def nothing() -> Mapping[str, str]:
    """No variables."""
    return {}


Play: TypeAlias = Callable[[Stage], Awaitable[Result]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A fixed job."""

    what: str
    """For the progress bar and the table."""
    steps: int
    play: Play
    environment: Callable[[], Mapping[str, str]] = nothing
    """Variables that the engine, and this act, need: addresses of what the act itself runs."""
