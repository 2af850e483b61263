"""What a domain contributes to the demo: a fixed amount of work from outside, through real HTTP and streams.

A domain plugs an ``Act`` into ``lastro.demos``. Its work goes on through kills of any process of the engine: what was
not answered is asked again, with the same ids.
"""

import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from lastro.core.redis import Hub


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
    """Ports of this machine that nobody listens on, all different."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


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
