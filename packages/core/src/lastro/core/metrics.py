"""Metrics are declared once, with type, meaning and what to do; that declaration is the catalogue.

``lastro metrics`` prints it, dashboards and alerts are made from it, and a label takes values from a closed set only:
never an id, a key or a document number. With several processes, set ``PROMETHEUS_MULTIPROC_DIR`` before the first
import (``lastro up`` does) and ``exposition()`` sums over all of them.

    PUBLISHED = counter("queue_published_total", "messages appended to a queue", do="none", queue=QUEUE_NAMES)
    PUBLISHED.of(queue="pix").inc(3)
"""

import asyncio
import os
from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Generic, Literal, TypeVar
from weakref import WeakSet

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess, values

Kind = Literal["counter", "gauge", "histogram"]
Instrument = TypeVar("Instrument", Counter, Gauge, Histogram)

NAMESPACE = "lastro"
VALUES_MAX = 250  # of a label whose set is closed by configuration or code (queues, the 79 scripts), not by a list here

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)

_NAMES: dict[int, str] = {}
"""Of this process, by its pid: what it forks has none, and counts for itself."""


def go_on_as(name: str) -> None:
    """Count on in the files of the process of that name, which has ended: they are as many as there are names."""
    _NAMES[os.getpid()] = name


def _process() -> str | int:
    pid = os.getpid()
    return _NAMES.get(pid, pid)


if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    values.ValueClass = values.MultiProcessValue(_process)  # type: ignore[no-untyped-call]  # likewise

CATALOGUE: dict[str, "Metric[Any]"] = {}


class Bounded:
    """A label closed by configuration: names of queues, scripts, workers. More than VALUES_MAX of them is a bug."""


BOUNDED = Bounded()
Values = Sequence[str] | Bounded


@dataclass(slots=True)
class Metric(Generic[Instrument]):
    """One declared metric; ``of(label=value)`` is the child to count on, worth keeping in hot paths."""

    name: str
    kind: Kind
    meaning: str
    do: str
    labels: dict[str, Values]
    instrument: Instrument
    summed: bool = False
    """Of a gauge: several processes' values are parts of one sum."""
    children: dict[tuple[str, ...], Instrument] = field(default_factory=dict)

    def of(self, **labels: str) -> Instrument:
        """The child for these label values. A value outside the declared set fails the assertion."""
        values = tuple(labels[name] for name in self.labels)
        child = self.children.get(values)
        if child is None:
            for value, (name, allowed) in zip(values, self.labels.items(), strict=True):
                assert isinstance(allowed, Bounded) or value in allowed, f"{self.name}: {name}={value} is not declared"
            assert len(self.children) < VALUES_MAX, f"{self.name}: more than {VALUES_MAX} label values"
            child = self.children[values] = self.instrument.labels(*values) if values else self.instrument
        return child

    def tally(self, **labels: str) -> "Tally":
        """For a hot path, the child for these label values: a counter's sum, a gauge's last, a histogram's all."""
        child: Any = self.of(**labels)
        match self.kind:
            case "counter":
                return Tally(lambda values: child.inc(sum(values)))
            case "gauge":
                return Tally(lambda values: child.set(values[-1]))
            case "histogram":
                return Tally(child.observe_all)


class Tally:
    """Values for one instrument, handed over once a second: for paths taken hundreds of times a second.

    An instrument costs 2 to 8 µs a value there, a list a tenth of it. ``exposition`` has everything handed over first.
    """

    __slots__ = ("__weakref__", "due", "hand_over", "values")

    def __init__(self, hand_over: Callable[[list[float]], None]) -> None:
        self.hand_over = hand_over
        self.values: list[float] = []
        self.due = 0.0
        TALLIES.add(self)

    def __call__(self, value: float = 1) -> None:
        """Count this one."""
        self.values.append(value)
        if (now := monotonic()) > self.due:
            try:
                asyncio.get_running_loop().call_later(TALLY_SECONDS, self.flush)
                self.due = now + 2 * TALLY_SECONDS  # later than that, the loop that was to do it has ended
            except RuntimeError:  # no loop: nobody is in a hurry
                self.flush()

    def flush(self) -> None:
        """Hand over what there is."""
        values, self.values, self.due = self.values, [], 0.0
        if values:
            self.hand_over(values)


TALLY_SECONDS = 1.0
TALLIES: "WeakSet[Tally]" = WeakSet()


class _Histogram(Histogram):
    """The library's, and many values at once: an addition a bucket, not a search and two additions a value (2 µs)."""

    def observe_all(self, values: list[float]) -> None:
        """As ``observe`` for each."""
        self._sum.inc(sum(values))
        for at, many in Counted(bisect_left(self._upper_bounds, value) for value in values).items():
            self._buckets[at].inc(many)


def counter(name: str, meaning: str, *, do: str, **labels: Values) -> Metric[Counter]:
    """Declare a counter; ``name`` ends in ``_total``."""
    assert name.endswith("_total"), name
    return _declare("counter", name, meaning, do, labels, Counter)


def gauge(
    name: str,
    meaning: str,
    *,
    do: str,
    across: Literal["mostrecent", "livesum", "livemax"] = "mostrecent",
    **labels: Values,
) -> Metric[Gauge]:
    """Declare a gauge. ``across`` processes: the newest value (facts about the server), the sum or the highest."""
    metric = _declare("gauge", name, meaning, do, labels, Gauge, multiprocess_mode=across)
    metric.summed = across == "livesum"
    return metric


def histogram(
    name: str, meaning: str, *, do: str, buckets: Sequence[float] = SECONDS, **labels: Values
) -> Metric[Histogram]:
    """Declare a histogram; ``name`` ends in its unit (``_seconds``, ``_bytes``) or names what is counted."""
    return _declare("histogram", name, meaning, do, labels, _Histogram, buckets=buckets)


async def exposition() -> bytes:
    """The text format of all metrics of this process, or of all processes that share the multi-process folder.

    Adding up many processes takes a tenth of a second: on a thread, so that no request waits for it.
    """
    for tally in list(TALLIES):
        tally.flush()
    return await asyncio.to_thread(_text)


def _text() -> bytes:
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types there
    return generate_latest(registry)


def _declare(
    kind: Kind, name: str, meaning: str, do: str, labels: dict[str, Values], of: type[Instrument], **options: Any
) -> Metric[Instrument]:
    full = f"{NAMESPACE}_{name}"
    assert full not in CATALOGUE, f"{full} is declared twice"
    metric = Metric(full, kind, meaning, do, labels, of(full, meaning, list(labels), **options))
    CATALOGUE[full] = metric
    return metric
