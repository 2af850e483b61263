"""What a key is and what it opens. Pure."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

import msgspec

from lastro.core.errors import Forbidden, Invalid

from .routes import Access

ADMIN = "admin"
CORE = "core"
"""The domain of what no domain serves: metrics, dashboard."""
Right = Literal["read", "write"]
NAME = re.compile(r"[\w .@:/-]{1,100}")
SCOPES_MAX = 50
_SCOPE = re.compile(r"(?P<domain>[a-z]+):(?:(?P<right>read|write|\*)|(?P<kind>[a-z]+)=(?P<value>[^\s=]{1,64}))")


class Outside(Forbidden):
    """This key is for another {kind}."""

    code = "access.outside"


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """One secret of a key, as its hash; 0 never expires."""

    sha256: str
    created_ms: int
    expires_ms: int = 0

    def valid(self, now_ms: int) -> bool:
        """Whether it still opens something."""
        return not self.expires_ms or now_ms < self.expires_ms


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key. While it is rotated it has two secrets."""

    id: str
    name: str
    scopes: tuple[str, ...]
    secrets: tuple[Secret, ...]
    created_ms: int
    per_second: float = 0.0
    burst: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """The values that a request may touch; None stands for all."""

    kind: str
    values: frozenset[str] | None

    def hold(self, *values: str) -> bool:
        """Whether one of these is among them."""
        return self.values is None or not self.values.isdisjoint(values)

    def require(self, *values: str) -> None:
        """Raise Outside unless all of these are among them."""
        if self.values is not None and not self.values.issuperset(values):
            raise Outside(kind=self.kind)


EVERYTHING = Bounds("", None)


@dataclass(frozen=True, slots=True)
class Grant:
    """What the scopes of a key come to."""

    key_id: str
    rights: frozenset[tuple[str, Right]]
    admin: bool = False
    expires_ms: int = 0
    per_second: float = 0.0
    burst: int = 0
    narrowed: Mapping[str, Bounds] = field(default_factory=dict)

    def bounds_of(self, domain: str) -> Bounds:
        """What of a domain it is narrowed to."""
        return self.narrowed.get(domain, EVERYTHING)

    def may(self, domain: str, right: Right) -> bool:
        """Whether it opens that at all."""
        return self.admin or (domain, right) in self.rights


def grant_of(key: ApiKey, secret: Secret) -> Grant:
    """Read the scopes of a key; those that nobody knows any more open nothing."""
    rights: set[tuple[str, Right]] = set()
    narrowed: dict[str, Bounds] = {}
    for scope in key.scopes:
        match = _SCOPE.fullmatch(scope)
        if match is None:
            continue
        domain, right = match["domain"], match["right"]
        if right in {"read", "*"}:
            rights.add((domain, "read"))
        if right in {"write", "*"}:
            rights.add((domain, "write"))
        if match["kind"]:
            before = narrowed.get(domain, EVERYTHING).values or frozenset()
            narrowed[domain] = Bounds(match["kind"], before | {match["value"]})
    admin = ADMIN in key.scopes
    return Grant(
        key_id=key.id,
        rights=frozenset(rights),
        admin=admin,
        expires_ms=secret.expires_ms,
        per_second=key.per_second,
        burst=key.burst,
        narrowed={} if admin else narrowed,
    )


def checked(scopes: tuple[str, ...], domains: Mapping[str, Access]) -> tuple[str, ...]:
    """The scopes, each known and each narrowing something. Raises Invalid with what there is."""
    if not 0 < len(scopes) <= SCOPES_MAX:
        raise Invalid(field="scope", reason=f"1 to {SCOPES_MAX} of them: {_examples(domains)}")
    for scope in scopes:
        match = _SCOPE.fullmatch(scope)
        if scope == ADMIN:
            continue
        if match is None or match["domain"] not in {CORE, *domains}:
            raise Invalid(field="scope", reason=f"{scope!r} is none of {_examples(domains)}")
        if not match["kind"]:
            continue
        access = domains.get(match["domain"], Access())
        if match["kind"] != access.bound or not re.fullmatch(access.value, match["value"]):
            told = f"{match['domain']}:{access.bound}={access.value}" if access.bound else "no narrower scope there"
            raise Invalid(field="scope", reason=f"{scope!r}: {told}")
        if not {f"{match['domain']}:{right}" for right in ("read", "write", "*")} & set(scopes):
            raise Invalid(field="scope", reason=f"{scope!r} narrows nothing without {match['domain']}:read or :write")
    return scopes


def made(prefix: str) -> str:
    """A new secret, for this key; 256 bits of chance, and searchable in what should not have it."""
    return f"lastro_{prefix}_{secrets.token_urlsafe(32)}"


def digest(secret: bytes) -> str:
    """What the store knows of a secret. It is random and long: a plain hash cannot be guessed back."""
    return sha256(secret).hexdigest()


def _examples(domains: Mapping[str, Access]) -> str:
    narrow = [f"{name}:{access.bound}=…" for name, access in domains.items() if access.bound]
    return ", ".join([ADMIN, *(f"{name}:read|write|*" for name in (CORE, *domains)), *narrow])
