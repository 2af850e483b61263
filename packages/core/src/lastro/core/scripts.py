"""Lua files as typed async functions.

A script is a ``.lua`` file next to a Python stub of the same name. The stub's signature is the script's contract:
``Key`` parameters become KEYS, the others ARGV, in order; a ``Sequence`` parameter is the last of its kind and takes
the rest. The header of the file says the same, and binding compares the two:

    @script
    async def reserve(redis: Client, *, hold: Key, amount_cents: int) -> Literal["ok", "taken"]: ...

    await reserve(hub.write, hold=keys.hold(h), amount_cents=100)          # one EVALSHA
    batch.submit(reserve, hold=keys.hold(h), amount_cents=100)             # many in one write (see Batch)
"""

import asyncio
import hashlib
import inspect
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, get_args, get_origin

import stamina
from prometheus_client import Histogram
from redis.exceptions import MovedError, NoScriptError, ResponseError

from lastro.core.errors import Busy, Fault, LastroError
from lastro.core.keys import Key
from lastro.core.metrics import BOUNDED, SIZES, Tally, counter, histogram
from lastro.core.redis import Hub
from lastro.core.redis.clients import Client
from lastro.core.redis.connections import Command
from lastro.core.redis.failures import ours

P = ParamSpec("P")
R = TypeVar("R")

SHARED = "lastro.core.lua"
BATCH_MAX = 256  # commands in one write: beyond it replies wait longer than the write saves
WAITING_MAX = 20_000  # submitted and not yet sent; then callers are told to come later
RESEND_MAX = 3  # a flush can come between our reload and our call; after that the text itself is sent

_INCLUDE = re.compile(r'^-- @include "((?:parts/)?\w+\.lua)"$')
_SLOT = re.compile(r"^--\s+(KEYS|ARGV)\[(\d+)(\.\.)?\] (\w+)")
_FLAGS = re.compile(r"^--\s+flags\s+(\S.*)$")
_LINE = re.compile(r"@?user_script: ?(\d+)")

SECONDS_OF = histogram(
    "script_seconds", "time of one script call, as the caller saw it", do="look at the slow ones", script=BOUNDED
)
NOSCRIPT = counter(
    "script_noscript_total", "scripts the server had forgotten and got again", do="who flushes?", script=BOUNDED
)
AMBIGUOUS = counter(
    "script_ambiguous_total",
    "script calls whose answer never came",
    do="look at the network and the server",
    script=BOUNDED,
)
ERRORS = counter(
    "script_errors_total",
    "script calls that the server refused",
    do="read the log: file and line are in it",
    script=BOUNDED,
)
BATCH_SECONDS = histogram("script_batch_seconds", "time of one write of many script calls", do="look at the server")
BATCH_SIZES = histogram("script_batch_size", "script calls sent in one write", do="none", buckets=SIZES)

REGISTRY: dict[str, "Script[Any, Any]"] = {}


class BadScript(LastroError):
    """The script {script} is not right: {reason}."""

    code = "lastro.bad_script"


@dataclass(frozen=True)
class Source:
    """A script's text with its fragments spliced in, and where each line came from."""

    name: str
    body: tuple[str, ...]
    origin: tuple[str, ...]
    flags: str
    keys: tuple[str, ...]
    args: tuple[str, ...]

    @cached_property
    def text(self) -> str:
        """For servers from 7.0 on: with ``#!lua`` they refuse a key outside the declared slot."""
        return "\n".join([f"#!lua flags={self.flags}" if self.flags else "#!lua", *self.body])

    @cached_property
    def text_6(self) -> str:
        """For 6.2, where ``#!`` is a compile error; the empty comment keeps the line numbers.

        DragonflyDB's flags, if any, come first: elsewhere it does not look for them.
        """
        flags = 1 if self.body[0].startswith("--!df") else 0
        return "\n".join([*self.body[:flags], "--", *self.body[flags:]])

    @cached_property
    def sha(self) -> str:
        """What EVALSHA names ``text`` by."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    @cached_property
    def sha_6(self) -> str:
        """What EVALSHA names ``text_6`` by."""
        return hashlib.sha1(self.text_6.encode(), usedforsecurity=False).hexdigest()

    def located(self, message: str) -> str:
        """``user_script:7`` → ``money.lua:4``."""
        return _LINE.sub(lambda match: self.origin[int(match[1]) - 1], message)


def load(package: str, name: str) -> Source:
    """Read ``name``.lua from ``package`` and splice its fragments in, each once.

    Raises BadScript, with the chain of includes, for a missing or circular one.
    """
    label = f"{package.removeprefix('lastro.').removesuffix('.scripts')}.{name}"
    lines: list[str] = []
    origin: list[str] = [f"{name}.lua:0"]
    done: set[str] = set()

    def splice(where: str, path: str, chain: tuple[str, ...]) -> None:
        if path in chain:
            raise BadScript(script=label, reason=f"it includes itself: {' → '.join((*chain, path))}")
        if path in done:
            return
        done.add(path)
        try:
            text = files(where).joinpath(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise BadScript(script=label, reason=f"no such file: {' → '.join((*chain, path))}") from None
        for number, line in enumerate(text.splitlines(), 1):
            if match := _INCLUDE.match(line):
                splice(package if match[1].startswith("parts/") else SHARED, match[1], (*chain, path))
            else:
                lines.append(line)
                origin.append(f"{path}:{number}")

    splice(package, f"{name}.lua", ())
    own = files(package).joinpath(f"{name}.lua").read_text(encoding="utf-8").splitlines()
    said = [match for line in own if (match := _SLOT.match(line))]
    flags = next((match[1].strip() for line in own if (match := _FLAGS.match(line))), "")
    for kind in ("KEYS", "ARGV"):
        numbers = [int(match[2]) for match in said if match[1] == kind]
        if numbers != list(range(1, len(numbers) + 1)):
            raise BadScript(script=label, reason=f"its header numbers {kind} {numbers}")
    return Source(
        label,
        tuple(lines),
        tuple(origin),
        flags,
        tuple(match[4] + (match[3] or "") for match in said if match[1] == "KEYS"),
        tuple(match[4] + (match[3] or "") for match in said if match[1] == "ARGV"),
    )


@dataclass(eq=False)
class Script(Generic[P, R]):
    """A bound script: call it with a client, or hand it to a Batch."""

    source: Source
    keys: tuple[str, ...]
    args: tuple[str, ...]
    more_keys: str | None
    more_args: str | None
    decode: Callable[[Any], Any]

    def __post_init__(self) -> None:
        self._errors = ERRORS.of(script=self.source.name)

    @cached_property
    def _seconds(self) -> Histogram:
        """From the first call on: of a hundred scripts a process calls a few, and every series is written by each."""
        return SECONDS_OF.of(script=self.source.name)

    async def __call__(self, redis: Client, /, *_: P.args, **given: P.kwargs) -> R:
        """One EVALSHA. Raises Unreachable, OutcomeUnknown, or Fault with the Lua file and line."""
        body = self.body(given)
        shebang = redis.capabilities.shebang
        started = time.perf_counter()
        try:
            try:
                reply = await redis.execute_command("EVALSHA", self.source.sha if shebang else self.source.sha_6, *body)
            except NoScriptError:
                NOSCRIPT.of(script=self.source.name).inc()
                reply = await redis.execute_command("EVAL", self.source.text if shebang else self.source.text_6, *body)
        except Fault as fault:
            raise self.fault(str(fault.about["reason"])) from fault
        except Busy as busy:
            self.note(busy)
            raise
        self._seconds.observe(time.perf_counter() - started)
        return self.decode(reply)  # type: ignore[no-any-return]  # decode was made from R

    def body(self, given: dict[str, Any]) -> list[Any]:
        """What follows the SHA: the number of keys, the keys, the arguments."""
        keys = [given[name] for name in self.keys]
        if self.more_keys:
            keys.extend(given[self.more_keys])
        sent: list[Any] = [len(keys), *keys]
        sent.extend([given[name] for name in self.args])
        if self.more_args:
            sent.extend(given[self.more_args])
        return sent

    def fault(self, message: str) -> Fault:
        """A refused call as our error, counted, pointing at the Lua file and line."""
        self._errors.inc()
        return Fault(reason=f"{self.source.name}: {self.source.located(message)}")

    def note(self, error: Exception) -> None:
        """Count an answer that never came."""
        if error.__class__.__name__ == "OutcomeUnknown":
            AMBIGUOUS.of(script=self.source.name).inc()

    def forgotten(self) -> None:
        """Count a NOSCRIPT."""
        NOSCRIPT.of(script=self.source.name).inc()


def script(stub: Callable[Concatenate[Client, P], Coroutine[Any, Any, R]]) -> Script[P, R]:
    """Bind a stub to the Lua file of its name in its module's folder; BadScript if header and signature disagree."""
    hints = inspect.get_annotations(stub, eval_str=True)
    source = load(stub.__module__, stub.__name__)
    names = list(inspect.signature(stub).parameters)[1:]
    keys = [name + _rest(hints[name]) for name in names if _is_key(hints[name])]
    args = [name + _rest(hints[name]) for name in names if not _is_key(hints[name])]
    for kind, says, has in (("KEYS", source.keys, keys), ("ARGV", source.args, args)):
        if list(says) != has:
            raise BadScript(script=source.name, reason=f"its header says {kind} {list(says)}, its stub {has}")
        if any(name.endswith("..") for name in has[:-1]):
            raise BadScript(script=source.name, reason=f"only the last of {kind} may take the rest")
    bound: Script[P, R] = Script(
        source,
        tuple(name for name in keys if not name.endswith("..")),
        tuple(name for name in args if not name.endswith("..")),
        keys[-1][:-2] if keys and keys[-1].endswith("..") else None,
        args[-1][:-2] if args and args[-1].endswith("..") else None,
        _decoder(source.name, hints["return"]),
    )
    REGISTRY[source.name] = bound
    return bound


def _is_key(hint: Any) -> bool:
    return hint is Key or get_args(hint) == (Key,)


def _rest(hint: Any) -> str:
    return ".." if get_origin(hint) is Sequence else ""


def _decoder(name: str, returns: Any) -> Callable[[Any], Any]:
    if get_origin(returns) is Literal:
        words = {word.encode() if isinstance(word, str) else word: word for word in get_args(returns)}

        def word(reply: Any) -> Any:
            assert reply in words, f"{name} answered {reply!r}, which its stub does not know"
            return words[reply]

        return word
    if returns is str:
        return bytes.decode
    return lambda reply: reply


Waiting = tuple[Script[Any, Any], list[Any], "asyncio.Future[Any]"]


@dataclass(eq=False, slots=True)
class Batch:
    """Collects script calls of many tasks and sends them together, over one connection per server.

    While one write is on its way the next one fills; nothing waits for a timer unless ``linger_ms`` says so. The
    calls of a batch do not depend on each other: each has its own answer or error, and one that the server had no
    script for is sent again alone.
    """

    hub: Hub
    size_max: int = BATCH_MAX
    linger_ms: float = 0
    _sizes: Tally = field(default_factory=BATCH_SIZES.tally)
    _seconds: Tally = field(default_factory=BATCH_SECONDS.tally)
    _waiting: dict[str, list[Waiting]] = field(default_factory=dict)
    _senders: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)

    def submit(self, script: Script[P, R], *_: P.args, **given: P.kwargs) -> "asyncio.Future[R]":
        """A future of the script's answer. Raises Busy when WAITING_MAX calls already wait."""
        body = script.body(given)
        where = self._where(body)
        waiting = self._waiting.setdefault(where, [])
        if len(waiting) >= WAITING_MAX:
            raise Busy
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        waiting.append((script, body, future))
        if where not in self._senders:
            self._senders[where] = asyncio.create_task(self._send_all(where))
        return future

    async def aclose(self) -> None:
        """Send what waits and return when all is answered."""
        while self._senders:
            await asyncio.gather(*self._senders.values())

    def _where(self, body: list[Any]) -> str:
        return self.hub.place(str(body[1])) if self.hub.capabilities.cluster and body[0] else ""

    async def _send_all(self, where: str) -> None:
        chunk: list[Waiting] = []
        try:
            if self.linger_ms:
                await asyncio.sleep(self.linger_ms / 1000)
            while waiting := self._waiting[where]:
                chunk, self._waiting[where] = waiting[: self.size_max], waiting[self.size_max :]
                self._sizes(len(chunk))
                started = time.perf_counter()
                try:
                    await self._send(where, chunk)
                    self._seconds(time.perf_counter() - started)
                except Exception as error:  # noqa: BLE001  # it is the callers' to handle: each gets it, and none waits
                    for script, _, future in chunk:
                        script.note(error)
                        if not future.done():
                            future.set_exception(error)
        finally:
            for _, _, future in [*chunk, *self._waiting.pop(where)]:
                future.cancel()  # only when this task was cancelled: all others are done
            del self._senders[where]

    async def _send(self, where: str, chunk: list[Waiting]) -> None:
        line = self.hub.line(where)
        shebang = self.hub.capabilities.shebang
        for attempt in range(RESEND_MAX + 1):
            replies = await line.send(_commands(chunk, shebang=shebang, again=attempt, last=attempt == RESEND_MAX))
            missing = []
            for item, reply in zip(chunk, replies, strict=True):
                if isinstance(reply, NoScriptError):
                    item[0].forgotten()
                    missing.append(item)
                else:
                    if isinstance(reply, MovedError):
                        await self.hub.moved(reply)
                    _settle(item, reply)
            if not missing:
                return
            chunk = missing


def _commands(chunk: list[Waiting], *, shebang: bool, again: int, last: bool) -> list[Command]:
    """EVALSHA each; on a second try the first call of each script carries the text; on the last try all do."""
    commands: list[Command] = []
    told: set[str] = set()
    for script, body, _ in chunk:
        source = script.source
        if last or (again and source.name not in told):
            told.add(source.name)
            commands.append(("EVAL", source.text if shebang else source.text_6, *body))
        else:
            commands.append(("EVALSHA", source.sha if shebang else source.sha_6, *body))
    return commands


def _settle(item: Waiting, reply: Any) -> None:
    script, _, future = item
    if future.done():
        return  # its caller has gone; the effect stands, as after any lost answer
    if isinstance(reply, ResponseError):
        known = ours(reply)
        future.set_exception(script.fault(str(reply)) if isinstance(known, Fault) or known is None else known)
    else:
        try:
            future.set_result(script.decode(reply))
        except AssertionError as bug:
            future.set_exception(bug)


async def insist(act: Callable[[], Awaitable[R]], *, within_seconds: float) -> R:
    """Repeat an act that carries its own id until it is answered: on Busy, with jitter, for at most this long.

    Only for acts whose script checks the id: the first try may have happened (OutcomeUnknown). Raises the last Busy.
    """
    try:
        return await act()  # nearly always the only try: a retry context costs 100 µs to make
    except Busy:
        pass
    async for attempt in stamina.retry_context(
        on=Busy, attempts=None, timeout=within_seconds, wait_initial=0.01, wait_max=0.5, wait_jitter=0.05
    ):
        with attempt:
            return await act()
    raise AssertionError("retry_context either returns or raises")
