"""``lastro keys``: who may ask the services what."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from typer import Argument, Option, Typer, echo, secho

from lastro.core.access.keyring import FRESH_SECONDS, Keyring
from lastro.core.access.model import ApiKey, checked
from lastro.core.clock import iso, now_ms
from lastro.core.plugins import installed
from lastro.core.redis import connect
from lastro.core.settings import Settings

app = Typer(add_completion=False, no_args_is_help=True, help="API keys: create, list, rotate, revoke.")
Answer = TypeVar("Answer")
DAY_MS = 86_400_000
LAST_MS = 253_402_300_799_999  # 9999-12-31: no calendar goes on
Id = Annotated[str, Argument(help="as `lastro keys list` has it")]
Json = Annotated[bool, Option("--json", help="for scripts")]
Days = Annotated[float, Option(min=0, help="the secret expires after so many days; 0: never")]


@app.command()
def create(
    name: Annotated[str, Argument(help="who uses it: shown in the list, and nowhere else")],
    scope: Annotated[
        list[str], Option(help="pix:read, ledger:*, pix:participant=12345678, core:read, admin; repeat it")
    ],
    days: Days = 0,
    per_second: Annotated[float, Option(min=0, help="requests a second over all processes; 0: no limit")] = 0,
    burst: Annotated[int, Option(min=0, help="so many at once; 0: those of one second")] = 0,
    as_json: Json = False,  # noqa: FBT002  # a flag
) -> None:
    """Make a key. Its secret is shown once, here; the store keeps a hash of it."""
    scopes = checked(tuple(dict.fromkeys(scope)), installed("lastro.access"))

    async def make(ring: Keyring) -> tuple[ApiKey, str]:
        made = await ring.create(name, scopes, life_ms=days * DAY_MS, per_second=per_second, burst=burst)
        await asyncio.sleep(FRESH_SECONDS)  # once it is shown, every process knows it
        return made

    _tell_secret(*_run(make), as_json=as_json)


@app.command("list")
def list_keys(as_json: Json = False) -> None:  # noqa: FBT002  # a flag
    """Every key: id, name, scopes, until when. No secrets: nobody has them."""
    keys, unreadable = _run(_listed)
    for key_id in unreadable:
        secho(f"{key_id}  cannot be read, and opens nothing: lastro keys revoke {key_id}", err=True)
    if as_json:
        echo(json.dumps([_told(key) for key in keys], indent=2))
        return
    for key in keys:
        pace = f", {key.per_second:g}/s" if key.per_second else ""
        echo(f"{key.id}  {key.name}  {' '.join(key.scopes)}  {_until(key)}{pace}")


@app.command()
def rotate(
    key_id: Id,
    overlap_days: Annotated[float, Option(min=0, help="so long the secret before stays valid beside the new one")] = 1,
    days: Days = 0,
    as_json: Json = False,  # noqa: FBT002  # a flag
) -> None:
    """Give a key a new secret, shown once, here; the one before is valid until the overlap is over."""

    async def turn(ring: Keyring) -> tuple[ApiKey, str]:
        turned = await ring.rotate(key_id, overlap_ms=overlap_days * DAY_MS, life_ms=days * DAY_MS)
        await asyncio.sleep(FRESH_SECONDS)  # likewise
        return turned

    _tell_secret(*_run(turn), as_json=as_json)


@app.command()
def revoke(key_id: Id, as_json: Json = False) -> None:  # noqa: FBT002  # a flag
    """Take a key away, with all its secrets: within a second no process lets it in."""
    key = _run(lambda ring: ring.revoke(key_id))
    told, name = (_told(key), key.name) if key else ({"id": key_id}, "it could not be read")
    echo(json.dumps(told) if as_json else f"{key_id} ({name}) is revoked, everywhere in {FRESH_SECONDS:g} s")


async def _listed(ring: Keyring) -> tuple[list[ApiKey], list[str]]:
    return await ring.keys(), await ring.unreadable()


def _tell_secret(key: ApiKey, secret: str, *, as_json: bool) -> None:
    if as_json:
        echo(json.dumps({**_told(key), "secret": secret}))
        return
    echo(f"{key.id}  {key.name}  {' '.join(key.scopes)}  {_until(key)}")
    echo(secret)
    secho("It is shown this once. Send it as `Authorization: Bearer …`.", dim=True, err=True)


def _told(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "created_at": iso(key.created_ms),
        "per_second": key.per_second,
        "burst": key.burst,
        "secrets": [
            {"created_at": iso(one.created_ms), "expires_at": _moment(one.expires_ms) if one.expires_ms else None}
            for one in key.secrets
        ],
    }


def _until(key: ApiKey) -> str:
    now = now_ms()
    valid = [one for one in key.secrets if one.valid(now)]
    if not valid:
        return "expired"
    ends = ", ".join(f"until {_moment(one.expires_ms)}" if one.expires_ms else "for good" for one in valid)
    return ends if len(valid) == 1 else f"two secrets: {ends}"


def _moment(ms: int) -> str:
    """ISO 8601; of what was stored when a life had no bound, the last day there is."""
    return iso(min(ms, LAST_MS))


def _run(act: Callable[[Keyring], Awaitable[Answer]]) -> Answer:
    async def connected() -> Answer:
        async with await connect(Settings.read()) as hub:
            return await act(Keyring(hub))

    return asyncio.run(connected())
