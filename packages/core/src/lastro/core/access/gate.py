"""The gate: every request passes it before any route, the fast paths of the domains included."""

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Literal, Protocol
from urllib.parse import urlsplit

from starlette.types import Message, Receive, Scope

from lastro.core import docs
from lastro.core.errors import Busy, Forbidden, LastroError, NotFound, TooFast, Unauthorized
from lastro.core.keys import key_limit
from lastro.core.limits.scripts import take
from lastro.core.metrics import counter
from lastro.core.redis import Hub

from . import GRANT, is_local
from .keyring import FRESH_SECONDS, Keyring
from .model import CORE, Grant, Outside
from .routes import READING, Access

PROBES = frozenset({"/livez", "/readyz"})
DESCRIBING = frozenset({"/docs", "/openapi.json", *(f"/docs/{name}" for name in docs.KINDS)})
"""For whoever has a key at all."""
SECRET_MAX = 512
HELD_MAX = 1000
LOOK_SECONDS = (
    FRESH_SECONDS / 4
)  # at the key of a stream: what is known then is half as old, so it ends within FRESH_SECONDS
REASONS = ("missing", "unknown", "scope", "outside", "too_fast", "exposed", "other_site")
REFUSED = counter(
    "access_refused_total",
    "requests that were refused for their key",
    do="missing, unknown: who asks without? scope, outside: does its owner need more? exposed: set LASTRO_API_KEYS",
    reason=REASONS,
)
Headers = Mapping[bytes, bytes]
Presented = tuple[bytes, bytes]
"""The Authorization and X-Api-Key headers of a request; empty where it has none."""


class Begun(Protocol):
    """An answer, as far as it got."""

    started: bool
    cut: bool


class NoKey(Unauthorized):
    """This needs a key: send Authorization: Bearer, or X-Api-Key."""

    code = "access.no_key"


class BadKey(Unauthorized):
    """This key opens nothing: it was never made, has expired, or was revoked."""

    code = "access.bad_key"


class NotOpened(Forbidden):
    """This needs a key with the scope {scope}."""

    code = "access.not_opened"


class NotNarrowed(Forbidden):
    """This is not for a key that is narrowed to one {kind}."""

    code = "access.not_narrowed"


class Exposed(Unauthorized):
    """The services stand on a network without keys: the operator has to set LASTRO_API_KEYS to on, or to off."""

    code = "access.exposed"


class OtherSite(Forbidden):
    """A browser sent this for a page of another site."""

    code = "access.other_site"


class Watched:
    """What an admitted request receives. A body on its way and a stream end when their key opens nothing any more.

    Where no answer has begun receiving raises BadKey; a stream hears of a disconnect, and its answer is marked ``cut``.
    """

    __slots__ = ("answer", "incoming", "looked_at", "still")

    def __init__(self, incoming: Receive, answer: Begun, still: Callable[[], Awaitable[bool]]) -> None:
        self.incoming = incoming
        self.answer = answer
        self.still = still
        self.looked_at = monotonic()

    async def __call__(self) -> Message:
        """The next message of the request."""
        while True:
            left = self.looked_at + LOOK_SECONDS - monotonic()
            if left > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        return await self.incoming()
            if not await self.still():
                if not self.answer.started:
                    raise BadKey
                self.answer.cut = True
                return {"type": "http.disconnect"}
            self.looked_at = monotonic()


class Gate:
    """Lets requests pass, or raises why not. ``domains`` says whose the first part of a path is."""

    def __init__(
        self, mode: Literal["auto", "on", "off"], domains: Mapping[str, str], routes: Mapping[str, Access]
    ) -> None:
        self.mode = mode
        self.domains = dict(domains)
        self.routes = dict(routes)
        self._held: dict[str, float] = {}

    def is_core(self, scope: Scope) -> bool:
        """Whether this is core's own and no domain's: probes, metrics, documents, the dashboard."""
        return _path(scope)[1:].partition("/")[0] not in self.domains

    def stands_open(self, scope: Scope) -> bool:
        """Whether this needs no key: keys are off, or nothing was said of them and it came from this machine."""
        return self.mode == "off" or (self.mode == "auto" and _reached_locally(scope))

    async def admit(self, scope: Scope, presented: Presented) -> None:
        """Raise Unauthorized, Forbidden or TooFast, unless this request may be answered."""
        if self.stands_open(scope):
            return
        path = _path(scope)
        if path in PROBES:
            return
        if self.mode == "auto":
            raise self._refused(Exposed(), "exposed")
        if "\n" in path:  # the routes' patterns end in `$`, which also matches before a last newline; ours do not
            raise NotFound
        secret = _secret(presented)
        if not secret:
            raise self._refused(NoKey(), "missing")
        hub: Hub = scope["app"].state.hub
        try:
            grant = await hub.one(Keyring, lambda: Keyring(hub)).find(secret)
        except Busy as busy:
            raise Busy from busy  # where the store is, is not for somebody who may have no key
        if grant is None:
            raise self._refused(BadKey(), "unknown")
        self._look(grant, scope["method"], path)
        if grant.per_second:
            await self._pace(hub, grant)
        scope[GRANT] = grant

    def refuse_foreign(self, scope: Scope, headers: Headers) -> None:
        """Raise OtherSite for a change that a browser sends for a page of another site, unless that page has a key.

        A browser adds Basic by itself, and needs nothing where nothing is needed.
        """
        if scope["method"] in READING or not _from_elsewhere(headers):
            return
        if self.stands_open(scope) or headers.get(b"authorization", b"")[:6].lower() == b"basic ":
            raise self._refused(OtherSite(), "other_site")

    async def still_opens(self, scope: Scope, presented: Presented) -> bool:
        """Whether the key of a request that was admitted has not ended; while that cannot be known, yes."""
        hub: Hub = scope["app"].state.hub
        try:
            return await hub.one(Keyring, lambda: Keyring(hub)).find(_secret(presented)) is not None
        except Busy:
            return True  # a store that is away gives nothing to a stream, either

    def _look(self, grant: Grant, method: str, path: str) -> None:
        if grant.admin or path in DESCRIBING:
            return
        domain = self.domains.get(path[1:].partition("/")[0], CORE)  # there is also OPTIONS *
        routes = self.routes.get(domain, Access())
        right = routes.right(method, path)
        if right == "admin" or not grant.may(domain, "read" if right == "read" else "write"):
            needed = "admin" if right == "admin" else f"{domain}:{right}"
            raise self._refused(NotOpened(scope=needed), "scope")
        bounds = grant.bounds_of(domain)
        if bounds.values is None:
            return
        value = routes.bounded(method, path)
        if value is None:
            raise self._refused(NotNarrowed(kind=bounds.kind), "outside")
        if value and value not in bounds.values:
            raise self._refused(Outside(kind=bounds.kind), "outside")

    async def _pace(self, hub: Hub, grant: Grant) -> None:
        """The limit of a key, over all processes; one that is too fast is held here without asking again."""
        now = monotonic()
        wait = self._held.get(grant.key_id, 0.0) - now
        if wait <= 0:
            interval_us = max(1, round(1e6 / grant.per_second))
            limit = key_limit(grant.key_id)
            wait_us, _ = await take(hub.write, limit=limit, interval_us=interval_us, burst=grant.burst, cost=1)
            if not wait_us:
                return
            wait = wait_us / 1e6
            if len(self._held) >= HELD_MAX:
                self._held.clear()
            self._held[grant.key_id] = now + wait
        raise self._refused(TooFast(retry_after_seconds=max(1, -int(-wait // 1))), "too_fast")

    @staticmethod
    def _refused(error: LastroError, reason: str) -> LastroError:
        REFUSED.of(reason=reason).inc()
        return error


def _path(scope: Scope) -> str:
    """The path as the routes see it: without the prefix under which a proxy serves all of this."""
    path: str = scope["path"]
    prefix: str = scope.get("root_path", "")
    return path.removeprefix(prefix) if prefix and path.startswith(f"{prefix}/") else path


def _secret(presented: Presented) -> bytes:
    """The secret that was sent; as Basic it is the password."""
    authorization, api_key = presented
    kind, _, value = authorization.partition(b" ")
    match kind.lower():
        case b"bearer":
            return value.strip()[:SECRET_MAX]
        case b"basic":
            try:
                return b64decode(value, validate=True).partition(b":")[2][:SECRET_MAX]
            except ValueError:
                return b""
        case _:
            return api_key[:SECRET_MAX]


def _reached_locally(scope: Scope) -> bool:
    """Whether the address that took this request is one of this machine alone; a unix socket has no port."""
    server = scope.get("server")
    return server is not None and (server[1] is None or is_local(server[0]))


def _from_elsewhere(headers: Headers) -> bool:
    """By Fetch Metadata; without, as over plain HTTP, by the name of the site that the page is of."""
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in {b"same-origin", b"none"}
    return _host(headers.get(b"origin", b"")) != _host(b"//" + headers.get(b"host", b""))


def _host(url: bytes) -> str | None:
    try:
        return urlsplit(url.decode("latin-1")).hostname
    except ValueError:
        return None
