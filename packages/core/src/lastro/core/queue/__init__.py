"""Queues: at least once, with a lease, retries, dead letters and a bound, on whatever the URL names.

    queue = open_queue("stream://pix_payments?group=pix_consumers", hub)
    await queue.publish({"amount_cents": 100}, op_id=end_to_end_id)

``stream://`` is Redis Streams, ``list://`` a Redis list with an in-hand list per consumer, ``fifo://`` the plain
LPUSH/BRPOP list (what is popped is gone), ``memory://`` this process; ``kafka://`` and ``sqs://`` are brokers outside
(extras ``kafka`` and ``sqs`` of lastro-core). Each says in ``offers`` what it can do; what it does not offer raises
NotOffered. ``lastro.core.testing.queues`` holds the suite they all pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import uniform
from typing import Literal, Protocol, TypeAlias, cast, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

from lastro.core.errors import Busy, Invalid, Misconfigured, Refused
from lastro.core.keys import Key
from lastro.core.metrics import BOUNDED, counter
from lastro.core.redis import Hub
from lastro.core.streams import FIELDS_MAX, Measure, Message, Turn
from lastro.core.streams.letters import DeadLetter, Reason

Value: TypeAlias = bytes | str | int
Fields: TypeAlias = Mapping[str, Value] | Mapping[bytes, Value]
WhenFull = Literal["reject", "block", "drop"]

LEN_MAX = 1_000_000
DEAD_MAX = 100_000
REMEMBER_SECONDS = 3_600
LEASE_SECONDS = 30.0
BLOCK_SECONDS = 5.0

PUBLISHED = counter("queue_published_total", "messages accepted", do="none", queue=BOUNDED)
REPLAYED = counter(
    "op_replayed_total", "operations asked for again, answered as before", do="many: who repeats?", queue=BOUNDED
)
REFUSED = counter(
    "queue_full_total",
    "messages not accepted because the queue was full",
    do="add workers; is one stuck?",
    queue=BOUNDED,
)


class QueueFull(Busy):
    """The queue {queue} is full ({len_max}); {published} of these were accepted."""

    code = "queue.full"


class NotOffered(Refused):
    """A {kind} queue does not offer {what}."""

    code = "queue.not_offered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What an adapter can do."""

    durable: bool = True
    """Messages outlive the process (the server's own durability decides about power cuts)."""
    acknowledged: bool = True
    """A message not acknowledged is handed out again, at the latest when who had it is gone."""
    leased: bool = True
    """It has a lease of its own, which can be renewed, let go, and lost to another consumer."""
    delayed: bool = True
    """Publish for later, and retries after a delay."""
    dead_letters: bool = True
    counted: bool = True
    """Deliveries are counted, so poison ends."""
    begun: bool = True
    """From the third on only a delivery that was begun counts: what waited behind a killer is not blamed."""
    once: bool = True
    """Publishing twice under one operation id gives one message."""
    bounded: bool = True
    """It has the bound its URL says; otherwise the broker's own retention is the bound."""
    keyed: bool = False
    """Messages of one key come in order, however many consumers there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How long a queue may get, and what happens to a message that comes then.

    It is refused with QueueFull, its publisher waits up to ``block_seconds`` first, or it is dropped and counted. What
    was accepted is never touched.
    """

    len_max: int = LEN_MAX
    when_full: WhenFull = "reject"
    block_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Retries: the n-th after a random time up to ``base_seconds · 2^(n-1)``, capped; dead after ``attempts``."""

    base_seconds: float = 0.2
    cap_seconds: float = 60.0
    attempts: int = 8

    def seconds(self, deliveries: int) -> float:
        """Full jitter: anywhere between now and the ceiling, so that retries of one outage do not come together."""
        return uniform(0, min(self.cap_seconds, self.base_seconds * 2 ** min(deliveries - 1, 32)))


class Consumer(Protocol):
    """One reader of a queue, by name. Everything it holds, it holds on a lease."""

    name: str

    async def read(self, count: int, *, block_seconds: float) -> list[Message]:
        """Up to ``count`` new messages; waits for the first."""

    async def turn(self, count: int) -> Turn:
        """Move what came due; take over up to ``count`` messages whose lease is over."""

    async def begin(self, message: Message) -> bool:
        """Count the delivery of a suspect, right before handling it; False when it is no longer ours."""

    async def acknowledge(self, messages: Sequence[Message]) -> int:
        """These are done. How many were not done before."""

    async def retry(self, message: Message, *, delay_seconds: float) -> bool:
        """Hand it out again later; False when it is no longer ours."""

    async def bury(self, message: Message, *, reason: Reason, error: str, deliveries: int) -> bool:
        """Make it a dead letter; False when it is no longer ours or there are too many dead letters."""

    async def renew(self, messages: Sequence[Message]) -> list[bytes]:
        """Renew these leases; the ids of those that were lost."""

    async def release(self) -> int:
        """Let go of everything, at once; how many messages that were."""

    async def interrupt(self) -> None:
        """Make a waiting ``read`` return now."""

    async def aclose(self) -> None:
        """Close the consumer's own connection."""


class Queue(Protocol):
    """Where messages go in, and what an operator sees."""

    @property
    def name(self) -> str:
        """As metrics and the command line call it."""

    @property
    def offers(self) -> Offers:
        """What it can do."""

    async def publish(self, fields: Fields, *, op_id: str | None = None, delay_seconds: float = 0) -> bytes | None:
        """Put a message in; its id, or None when it was dropped. With ``op_id``, once. Raises QueueFull."""

    async def publish_many(self, many: Sequence[Fields]) -> list[bytes]:
        """Put many in, in order, at the price of a few; the ids of those accepted. Raises QueueFull."""

    def consumer(
        self, name: str, *, lease_seconds: float = LEASE_SECONDS, block_seconds: float = BLOCK_SECONDS
    ) -> Consumer:
        """A reader of that name; what it has in hand longer than its lease, without renewing it, others take over."""

    async def tend(self, *, idle_seconds: float) -> None:
        """Now and then: remove names of consumers that are gone, free what all are done with."""

    async def measure(self) -> Measure:
        """How it is doing."""

    async def letters(self, *, count: int = 500, after: bytes = b"") -> list[DeadLetter]:
        """The oldest dead letters after that one."""

    async def letter(self, id_: bytes) -> DeadLetter | None:
        """One dead letter, or None."""

    async def replay(self, ids: Sequence[bytes]) -> int:
        """Publish these dead letters anew; how many were there."""

    async def discard(self, ids: Sequence[bytes]) -> int:
        """Delete these dead letters; how many were there."""

    async def aclose(self) -> None:
        """Close what the queue itself opened; a hub is not its own."""


_PLAIN = frozenset({bytes, str, int})


def flattened(fields: Fields) -> list[Value]:
    """``{"a": 1}`` → ``["a", 1]``; Invalid when empty or too many, or when a value is none of bytes, str, int."""
    if not fields or len(fields) > FIELDS_MAX:
        raise Invalid(field="fields", reason=f"a message has 1 to {FIELDS_MAX} fields, not {len(fields)}")
    if "~" in fields or b"~" in fields:
        raise Invalid(field="~", reason="this field name is the queue's own")
    flat: list[Value] = []
    for name, value in fields.items():
        if value.__class__ not in _PLAIN:
            raise Invalid(field=str(name), reason=f"bytes, str or int, not {type(value).__name__}")
        flat.append(name)
        flat.append(value)
    return flat


def open_queue(url: str, hub: Hub | None = None) -> Queue:
    """The queue a URL names: ``stream://name?group=…``, ``list://name``, ``fifo://name``, ``memory://name``.

    Any of these takes ``len_max``, ``when_full`` (reject, block, drop) and ``block_seconds``. Brokers are
    ``kafka://host:port,host:port/topic?group=…&key=…`` and ``sqs://region/name?endpoint=…&key=…``.
    Raises Misconfigured, naming what is wrong.
    """
    parts = urlsplit(url)
    name = unquote(parts.netloc + parts.path)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    try:
        if not name:
            raise ValueError("it names no queue")
        if parts.scheme in {"kafka", "sqs"}:
            return _broker(parts.scheme, parts.netloc, unquote(parts.path.strip("/")), given, hub)
        group = given.pop("group", "workers")
        keep = given.pop("keep", "no")
        if keep not in {"yes", "no"}:
            raise ValueError(f"keep is yes or no, not {keep!r}")
        bound = _bound(given)
    except (ValueError, ImportError) as error:
        raise Misconfigured(setting=f"queue {url!r}", reason=str(error)) from None
    if parts.scheme == "memory":
        from .memory import MemoryQueue

        return MemoryQueue(name=name, bound=bound)
    if hub is None or parts.scheme not in {"stream", "list", "fifo"}:
        kinds = "stream, list, fifo, memory, kafka or sqs"
        known = "needs a hub" if parts.scheme in {"stream", "list", "fifo"} else f"is not {kinds}"
        raise Misconfigured(setting=f"queue {url!r}", reason=f"{parts.scheme or 'no scheme'!r} {known}")
    if parts.scheme == "stream":
        from .stream import StreamQueue

        return StreamQueue(hub, Key(name), group=group, keep=keep == "yes", bound=bound)
    if parts.scheme == "list":
        from .lists import ListQueue

        return ListQueue(hub, Key(name), bound=bound)
    from .fifo import FifoQueue

    return FifoQueue(hub, Key(name), bound=bound)


_BROKERS = {
    "kafka": ("kafka://host:port,host:port/topic", {"group", "key"}),
    "sqs": ("sqs://region/name", {"endpoint", "key"}),
}


def _broker(scheme: str, where: str, name: str, given: dict[str, str], hub: Hub | None) -> Queue:
    form, options = _BROKERS[scheme]
    if not where or not name or "/" in name:
        raise ValueError(f"its form is {form}")
    if unknown := set(given) - options:
        raise ValueError(f"a {scheme} queue has no option {', '.join(sorted(unknown))}")
    key = given.get("key", "key")
    if scheme == "kafka":
        from .kafka import KafkaQueue

        return KafkaQueue(where, name, group=given.get("group", "workers"), key=key, hub=hub)
    from .sqs import SqsQueue
    from .sqs.client import Client

    return SqsQueue(Client(where, name, given.get("endpoint")), key, hub)


def _bound(given: dict[str, str]) -> Bound:
    when_full = given.pop("when_full", "reject")
    if when_full not in get_args(WhenFull):
        raise ValueError(f"when_full is one of {', '.join(get_args(WhenFull))}, not {when_full!r}")
    bound = Bound(
        len_max=int(given.pop("len_max", LEN_MAX)),
        when_full=cast("WhenFull", when_full),
        block_seconds=float(given.pop("block_seconds", 30)),
    )
    if bound.len_max < 1 or given:
        raise ValueError(f"no option {', '.join(given)}" if given else "len_max is at least 1")
    return bound
