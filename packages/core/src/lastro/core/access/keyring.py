"""The keys of an engine: made, rotated, revoked, and known to every process within FRESH_SECONDS."""

import asyncio
import math
import secrets
from time import monotonic
from typing import Any

import msgspec
import structlog

from lastro.core.clock import now_ms
from lastro.core.errors import Busy, Invalid, NotFound, Refused
from lastro.core.keys import API_KEYS
from lastro.core.redis import Hub

from . import scripts
from .model import NAME, ApiKey, Grant, Secret, digest, grant_of, made

FRESH_SECONDS = 1.0  # what a process knows of the keys is never older: a revocation bites within it
READS_MAX = 2  # waited for by one who asks: the one under way, which may be too old, and one of its own
KEYS_MAX = 1000
SECRETS_MAX = 2
LIFE_MS_MAX = 36_500 * 86_400_000
PER_SECOND_MIN, PER_SECOND_MAX = 0.001, 1e6  # of a limit: one in 17 minutes; the limiter counts in µs
BURST_MAX = 1_000_000

_decode = msgspec.json.Decoder(ApiKey).decode

log = structlog.get_logger()


class UnknownKey(NotFound):
    """There is no key {id}; `lastro keys list` has those that are."""

    code = "access.unknown_key"


class TooManyKeys(Refused):
    """There are {keys_max} keys already: revoke those that nobody uses."""

    code = "access.too_many_keys"


class ChangedMeanwhile(Refused):
    """Somebody else changed the key {id} just now; look again."""

    code = "access.changed_meanwhile"


class RotatedAlready(Refused):
    """The key {id} has two secrets that are valid; the older one is until {until_ms} ms. Rotate it after that."""

    code = "access.rotated_already"


class UnreadableKey(Refused):
    """What the store has of the key {id} is no key: revoke it, and make another."""

    code = "access.unreadable_key"


class Keyring:
    """The keys on one hub. ``find`` asks the server at most once in half of FRESH_SECONDS, whoever asks."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._grants: dict[str, Grant] = {}
        self._read_at = -FRESH_SECONDS
        self._reading: asyncio.Task[None] | None = None
        self._told: frozenset[str] = frozenset()

    async def find(self, secret: bytes) -> Grant | None:
        """What a secret opens; None when it opens nothing. Raises Busy when that cannot be known."""
        await self._freshen()
        grant = self._grants.get(digest(secret))
        if grant is not None and grant.expires_ms and now_ms() >= grant.expires_ms:
            return None
        return grant

    async def _freshen(self) -> None:
        """Ask the server when it is time. Raises Busy when its answers are older than FRESH_SECONDS as they come."""
        for _ in range(READS_MAX):
            age = monotonic() - self._read_at
            if age > FRESH_SECONDS / 2 and (self._reading is None or self._reading.done()):
                self._reading = asyncio.create_task(self._take())
                self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())
            if age <= FRESH_SECONDS or self._reading is None:
                return
            await asyncio.shield(self._reading)
        if monotonic() - self._read_at > FRESH_SECONDS:
            raise Busy

    async def create(
        self, name: str, scopes: tuple[str, ...], *, life_ms: float = 0, per_second: float = 0.0, burst: int = 0
    ) -> tuple[ApiKey, str]:
        """Make a key; its secret is here now and nowhere afterwards. 0: for good, and without a limit."""
        if not NAME.fullmatch(name):
            raise Invalid(field="name", reason="1 to 100 letters, digits, spaces and . _ @ : / -")
        if per_second and not PER_SECOND_MIN <= per_second <= PER_SECOND_MAX:  # no order holds for NaN
            raise Invalid(field="per_second", reason=f"0, or {PER_SECOND_MIN:g} to {PER_SECOND_MAX:,.0f}")
        if not 0 <= burst <= BURST_MAX:
            raise Invalid(field="burst", reason=f"0 to {BURST_MAX:,}")
        id_ = secrets.token_hex(6)
        secret, record = self._secret(id_, life_ms)
        key = ApiKey(
            id=id_,
            name=name,
            scopes=scopes,
            secrets=(record,),
            created_ms=now_ms(),
            per_second=per_second,
            burst=burst or max(1, round(per_second)),
        )
        try:
            await self._put(id_, b"", msgspec.json.encode(key))
        except TooManyKeys:
            if not await self._sweep():
                raise
            await self._put(id_, b"", msgspec.json.encode(key))
        return key, secret

    async def _sweep(self) -> int:
        """Take away the keys whose secrets have all expired; how many those were."""
        now, swept = now_ms(), 0
        for key in await self.keys():
            if not any(one.valid(now) for one in key.secrets):
                await self.revoke(key.id)
                swept += 1
        return swept

    async def rotate(self, id_: str, *, overlap_ms: float, life_ms: float = 0) -> tuple[ApiKey, str]:
        """Give a key a new secret; the one before is valid for so long still."""
        overlap_ms = _bounded(overlap_ms, "overlap_ms")
        before = await self._record(id_)
        key = _read(before)
        if key is None:
            raise UnreadableKey(id=id_)
        now = now_ms()
        valid = [one for one in key.secrets if one.valid(now)]
        if len(valid) >= SECRETS_MAX:
            raise RotatedAlready(id=id_, until_ms=min(one.expires_ms for one in valid))
        secret, record = self._secret(id_, life_ms)
        until = now + overlap_ms
        old = [
            msgspec.structs.replace(one, expires_ms=min(until, one.expires_ms or until)) for one in valid if overlap_ms
        ]
        key = msgspec.structs.replace(key, secrets=(*old, record))
        await self._put(id_, before, msgspec.json.encode(key))
        return key, secret

    async def revoke(self, id_: str) -> ApiKey | None:
        """Take a key away; every process refuses it within FRESH_SECONDS. None: what was there could not be read."""
        before = await self._record(id_)
        await self._put(id_, before, b"")
        return _read(before)

    async def keys(self) -> list[ApiKey]:
        """All that can be read, the oldest first."""
        found = (await self._records()).values()
        return sorted((key for key in found if key), key=lambda key: (key.created_ms, key.id))

    async def unreadable(self) -> list[str]:
        """The ids under which the store has something else than a key: they open nothing, and take a place."""
        return sorted(id_ for id_, key in (await self._records()).items() if key is None)

    async def _records(self) -> dict[str, ApiKey | None]:
        found: Any = await self.hub.read.hgetall(API_KEYS)
        return {id_.decode(errors="replace"): _read(record) for id_, record in found.items()}

    async def _take(self) -> None:
        asked_at = monotonic()  # a revocation after this may not be in the answer
        records = await self._records()
        self._grants = {one.sha256: grant_of(key, one) for key in records.values() if key for one in key.secrets}
        self._read_at = asked_at
        unreadable = frozenset(id_ for id_, key in records.items() if key is None)
        for id_ in unreadable - self._told:
            log.error("access.unreadable_key", id=id_[:40])
        self._told = unreadable

    async def _record(self, id_: str) -> bytes:
        found: Any = await self.hub.write.hget(API_KEYS, id_)
        if found is None:
            raise UnknownKey(id=id_[:40])
        record: bytes = found
        return record

    async def _put(self, id_: str, before: bytes, after: bytes) -> None:
        word = await scripts.put(
            self.hub.write, api_keys=API_KEYS, key_id=id_, before=before, after=after, keys_max=KEYS_MAX
        )
        if word == "full":
            raise TooManyKeys(keys_max=KEYS_MAX)
        if word == "changed":
            raise ChangedMeanwhile(id=id_)

    @staticmethod
    def _secret(id_: str, life_ms: float) -> tuple[str, Secret]:
        life_ms = _bounded(life_ms, "life_ms")
        secret, now = made(id_), now_ms()
        return secret, Secret(
            sha256=digest(secret.encode()), created_ms=now, expires_ms=now + life_ms if life_ms else 0
        )


def _bounded(ms: float, field: str) -> int:
    """A time that a clock can show, in whole ms; up, since 0 is for good. Raises Invalid for others, and NaN."""
    if not 0 <= ms <= LIFE_MS_MAX:
        raise Invalid(field=field, reason=f"0 to {LIFE_MS_MAX:,} ms, which is a hundred years")
    return math.ceil(ms)


def _read(record: bytes) -> ApiKey | None:
    """The key that a record is; None when it is none: one alone must not take all others with it."""
    try:
        return _decode(record)
    except msgspec.DecodeError:
        return None
