"""Plugs the ledger into the replay of recorded TigerBeetle traces (`replay.py --client trace_client:TraceClient`).

url=redis://…   the server; nothing else is needed
fresh=0         one store for all scenarios; otherwise this ledger's keys are deleted before each
form=json       requests and answers in JSON, by the scripts alone; otherwise records, through the engine
name=trace      the ledger, and so its keyspace; empty for the bare prefix (with form=json)
"""

import asyncio
import json
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from tbtrace import CREATED, LedgerClient, TooMuchData  # type: ignore[import-not-found]  # the replay's own

from lastro.core.errors import Fault
from lastro.core.redis import connect_url
from lastro.core.scripts import Script
from lastro.ledger import keys, scripts
from lastro.ledger.engine import Ledger
from lastro.ledger.errors import TooMuchData as TooMuch
from lastro.ledger.model.records import Account, AccountFilter, QueryFilter, Transfer
from lastro.ledger.settings import LedgerSettings

Event = Mapping[str, int]
Answer = TypeVar("Answer")
U32_MAX = (1 << 32) - 1
BARE = ("account:*", "transfer:*", "log:*", "state", "expiries", "changes")


class TraceClient(LedgerClient):  # type: ignore[misc]  # likewise
    """One ledger on one server, asked by the replay."""

    def __init__(self, url: str, fresh: str = "1", form: str = "record", name: str = "trace") -> None:
        self.loop = asyncio.Runner()
        self.hub = self.run(connect_url(url))
        self.ledger = Ledger(self.hub, LedgerSettings(), name=name)
        self.keyspace = [keys.keyspace(name)] if name else []
        self.patterns = (f"{keys.keyspace(name)}*",) if name else BARE
        self.fresh, self.json = fresh == "1", form == "json"
        self.run(self._empty())

    def run(self, act: Coroutine[Any, Any, Answer]) -> Answer:
        try:
            return self.loop.run(act)
        except TooMuch as refused:
            raise TooMuchData from refused
        except Fault as refused:
            raise (TooMuchData if "too much data" in str(refused) else refused) from refused

    async def _empty(self) -> None:
        for pattern in self.patterns:
            async for key in self.hub.write.scan_iter(match=pattern, count=1000):
                await self.hub.write.unlink(key)

    def begin(self, scenario_name: str) -> None:
        if self.fresh:
            self.run(self._empty())

    def sleep(self, ms: int) -> None:
        """The worker's part: what is over by now is released."""
        time.sleep(ms / 1000)
        self.run(scripts.expire_transfers(self.hub.write, keyspace=self.keyspace))

    def close(self) -> None:
        self.run(self.hub.aclose())
        self.loop.close()

    def create_accounts(self, events: Sequence[Event]) -> list[tuple[int, int]]:
        if self.json:
            return self._created(scripts.create_account, scripts.create_chained_accounts, events)
        accounts = [Account(**event) for event in events]
        return self._mapped(self.run(self.ledger.create_accounts(accounts)))

    def create_transfers(self, events: Sequence[Event]) -> list[tuple[int, int]]:
        if self.json:
            return self._created(scripts.create_transfer, scripts.create_chained_transfers, events)
        transfers = [Transfer(**event) for event in events]
        if len(transfers) == 1:
            return self._mapped([self.run(self.ledger.create_transfer(transfers[0]))])
        return self._mapped(self.run(self.ledger.create_transfers(transfers)))

    def _created(self, one: Script[Any, Any], many: Script[Any, Any], events: Sequence[Event]) -> list[tuple[int, int]]:
        if len(events) == 1:
            answers = [json.loads(self._told(one, events=_json(events[0])))]
        else:
            answers = json.loads(self._told(many, events=f"[{','.join(map(_json, events))}]"))
        return [(answer["result"] or CREATED, int(answer["timestamp"])) for answer in answers]

    @staticmethod
    def _mapped(outcomes: Sequence[Any]) -> list[tuple[int, int]]:
        return [(outcome.result or CREATED, outcome.timestamp) for outcome in outcomes]

    def _told(self, script: Script[Any, Any], **arguments: Any) -> Any:
        options: dict[str, Any] = {} if "events" not in arguments else {"options": []}
        return self.run(script(self.hub.write, keyspace=self.keyspace, **arguments, **options))

    def _read(self, script: Script[Any, Any], **arguments: Any) -> list[dict[str, int]]:
        return [
            {name: int(value) for name, value in found.items()} for found in json.loads(self._told(script, **arguments))
        ]

    def lookup_accounts(self, ids: Sequence[int]) -> list[dict[str, int]]:
        if self.json:
            return self._read(scripts.lookup_accounts, ids=json.dumps([str(number) for number in ids]))
        return [asdict(account) for account in self.run(self.ledger.lookup_accounts(ids))]

    def lookup_transfers(self, ids: Sequence[int]) -> list[dict[str, int]]:
        if self.json:
            return self._read(scripts.lookup_transfers, ids=json.dumps([str(number) for number in ids]))
        return [asdict(transfer) for transfer in self.run(self.ledger.lookup_transfers(ids))]

    def get_account_transfers(self, wanted: Event) -> list[dict[str, int]]:
        if self.json:
            return self._read(scripts.get_account_transfers, wanted=_json(wanted))
        found = self.run(self.ledger.get_account_transfers(AccountFilter(**wanted)))
        return [asdict(transfer) for transfer in found]

    def get_account_balances(self, wanted: Event) -> list[dict[str, int]]:
        if self.json:
            return self._read(scripts.get_account_balances, wanted=_json(wanted))
        return [asdict(balance) for balance in self.run(self.ledger.get_account_balances(AccountFilter(**wanted)))]

    def query_accounts(self, wanted: Event) -> list[dict[str, int]]:
        if self.json:
            return self._read(scripts.query_accounts, wanted=_json(wanted))
        return [asdict(account) for account in self.run(self.ledger.query_accounts(QueryFilter(**wanted)))]

    def query_transfers(self, wanted: Event) -> list[dict[str, int]]:
        if self.json:
            return self._read(scripts.query_transfers, wanted=_json(wanted))
        return [asdict(transfer) for transfer in self.run(self.ledger.query_transfers(QueryFilter(**wanted)))]


def _json(event: Event) -> str:
    return json.dumps({name: value if value <= U32_MAX else str(value) for name, value in event.items()})
