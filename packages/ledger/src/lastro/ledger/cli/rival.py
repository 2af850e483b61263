"""A TigerBeetle server as a target of the stress test, through its own client package."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from importlib import import_module
from typing import Any

from lastro.core.errors import Misconfigured
from lastro.ledger.model.records import Account, Outcome, Transfer

from .stress import Plan, Report, Told, stress

CREATED = 4_294_967_295
"""Its word for success; ours is 0."""
ANSWER_SECONDS = 10.0
"""Its client waits for ever for a server that is not there."""


class TigerBeetle:
    """What the stress test asks of a ledger, asked of TigerBeetle."""

    def __init__(self, package: Any, client: Any) -> None:
        self.package, self.client = package, client

    async def create_accounts(self, accounts: Sequence[Account]) -> list[Outcome]:
        """All of them, in requests of the size it takes."""
        made = [self.package.Account(**_fields(each)) for each in accounts]
        return [outcome for page in _pages(made) for outcome in await self._told(self.client.create_accounts(page))]

    async def create_transfers(self, transfers: Sequence[Transfer]) -> list[Outcome]:
        """Likewise."""
        made = [self.package.Transfer(**asdict(each)) for each in transfers]
        return [outcome for page in _pages(made) for outcome in await self._told(self.client.create_transfers(page))]

    async def create_transfer(self, transfer: Transfer) -> Outcome:
        """A request of one: it has no pipeline."""
        return (await self.create_transfers([transfer]))[0]

    async def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """Those that are there."""
        found = [each for page in _pages(ids) for each in await self._answer(self.client.lookup_accounts(list(page)))]
        return [Account(**{name: int(getattr(each, name)) for name in _NAMES}) for each in found]

    async def _told(self, request: Any) -> list[Outcome]:
        return [
            Outcome(
                result=0 if (code := int(each.status)) == CREATED else code,
                status="ok" if code == CREATED else each.status.name.lower(),
                timestamp=each.timestamp,
            )
            for each in await self._answer(request)
        ]

    async def _answer(self, request: Any) -> Any:
        asked = asyncio.ensure_future(request)
        done, _ = await asyncio.wait({asked}, timeout=ANSWER_SECONDS)  # its client cannot bear a cancelled request
        if not done:
            asked.add_done_callback(lambda ended: ended.exception())
            raise Misconfigured(setting="--tigerbeetle", reason=f"no answer in {ANSWER_SECONDS:g} s")
        return asked.result()


PAGE = 8_189
_NAMES = tuple(name for name in asdict(Account()) if name != "reserved")


def _fields(account: Account) -> dict[str, int]:
    return {name: value for name, value in asdict(account).items() if name != "reserved"}


def _pages(things: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (things[start : start + PAGE] for start in range(0, len(things), PAGE))


@asynccontextmanager
async def connect_tigerbeetle(address: str, cluster: int) -> AsyncIterator[TigerBeetle]:
    """Its client, if it is installed. Raises Misconfigured."""
    try:
        package = import_module("tigerbeetle")
    except ImportError:
        reason = "its client is not installed: pip install 'lastro-ledger[tigerbeetle]'"
        raise Misconfigured(setting="--tigerbeetle", reason=reason) from None
    try:
        client = package.ClientAsync(cluster_id=cluster, replica_addresses=address)
    except Exception as error:  # its own class, which is not exported
        reason = getattr(error.args[0], "name", str(error)).lower() if error.args else str(error)
        raise Misconfigured(setting="--tigerbeetle", reason=f"{address!r}: {reason}") from error
    try:
        yield TigerBeetle(package, client)
    finally:
        await client.close()


async def stress_rival(address: str, cluster: int, plan: Plan, told: Told) -> Report:
    """The same load on TigerBeetle."""
    async with connect_tigerbeetle(address, cluster) as target:
        return await stress(target, plan, told)
