"""What a real TigerBeetle answered to recorded requests, asked of our ledger: every code, object, order and timestamp.

The recordings are `traces.jsonl`, the 242 directed ones, and `traces_random.txt`, 147 of random requests: in each line
a name and, as zlib's in base 85, its JSON. All are played, and a field that an answer lacks is a difference. Timestamps
in them are names: a name is bound to the first value that comes, must have that value from then on, and the values must
rise in the order that the recording gives.
"""

import json
import re
import sys
import zlib
from base64 import b85decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lastro.core.local import Server
from lastro.core.testing.topologies import cluster

HERE = Path(__file__).parent
RECORDED = {True: 389, False: 344}
"""How many there are: all, and those that wait for no expiry."""
NAME = re.compile(r"^(T\d+)([+-]\d+)?$")
TIMES = {"timestamp", "timestamp_min", "timestamp_max"}
RECORD = ("user_data_128", "user_data_64", "user_data_32", "ledger", "code", "flags", "timestamp")
BALANCES = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
WINDOW = (
    "user_data_128",
    "user_data_64",
    "user_data_32",
    "code",
    "reserved",
    "timestamp_min",
    "timestamp_max",
    "limit",
)
FIELDS = {
    "create_accounts": ("id", *BALANCES, "reserved", *RECORD),
    "create_transfers": ("id", "debit_account_id", "credit_account_id", "amount", "pending_id", "timeout", *RECORD),
    "get_account_transfers": ("account_id", *WINDOW, "flags"),
    "get_account_balances": ("account_id", *WINDOW, "flags"),
    "query_accounts": ("ledger", *WINDOW, "flags"),
    "query_transfers": ("ledger", *WINDOW, "flags"),
}
OBJECTS = {
    "lookup_accounts": FIELDS["create_accounts"],
    "lookup_transfers": FIELDS["create_transfers"],
    "get_account_transfers": FIELDS["create_transfers"],
    "get_account_balances": (*BALANCES, "timestamp"),
    "query_accounts": FIELDS["create_accounts"],
    "query_transfers": FIELDS["create_transfers"],
}
"""What is in each object of an answer; in a recording a zero is left out, in ours nothing is."""
AT_ONCE = 8
"""Ledgers of their own, whose scenarios wait at the same time."""
IMPORTED = {"create_accounts": 0x10, "create_transfers": 0x100}


class Told:
    """One scenario's timestamps: names and values, both ways."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}

    def resolve(self, text: object) -> int:
        match = NAME.match(str(text))
        return self.values[match[1]] + int(match[2] or 0) if match else int(str(text))

    def agree(self, expected: str, actual: int) -> None:
        if not NAME.match(expected):
            assert int(expected) == actual
        elif expected in self.values:
            assert self.values[expected] == actual, expected
        else:
            assert actual not in self.values.values(), f"{expected} must be new"
            assert actual > 0
            self.values[expected] = actual

    def fields(self, act: str, given: dict[str, Any]) -> dict[str, int]:
        return {
            name: self.resolve(given.get(name, 0)) if name in TIMES else int(given.get(name, 0)) for name in FIELDS[act]
        }


@pytest.fixture(scope="module")
def client_module() -> Iterator[ModuleType]:
    """`trace_client`, which imports the replay's own module: here is the little of it that it needs."""
    replay = ModuleType("tbtrace")
    replay.__dict__.update(
        CREATED=(1 << 32) - 1, LedgerClient=object, TooMuchData=type("TooMuchData", (Exception,), {})
    )
    sys.modules["tbtrace"] = replay
    spec = spec_from_file_location("trace_client", HERE / "trace_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["tbtrace"]


def scenarios(*, sleeping: bool) -> list[dict[str, Any]]:
    directed, random = ((HERE / name).read_text().splitlines() for name in ("traces.jsonl", "traces_random.txt"))
    every = [json.loads(line) for line in directed]
    every += [json.loads(zlib.decompress(b85decode(line.split()[1]))) for line in random]
    return [each for each in every if sleeping or not sleeps(each)]


def sleeps(scenario: dict[str, Any]) -> bool:
    return any(step["op"] == "sleep" for step in scenario["steps"])


def play(client: Any, too_much: type[Exception], scenario: dict[str, Any]) -> None:
    told = Told()
    client.begin(scenario["name"])
    for step in scenario["steps"]:
        if step["op"] == "sleep":
            client.sleep(step["ms"])
            continue
        try:
            compare(told, step, ask(client, told, step))
        except too_much:
            assert step["expect"] == {"error": "too_much_data"}
    rising = [told.values[name] for name in scenario["ts_order"] if name in told.values]
    assert rising == sorted(set(rising))


def ask(client: Any, told: Told, step: dict[str, Any]) -> Any:
    act = getattr(client, step["op"])
    if "ids" in step:
        return act([int(number) for number in step["ids"]])
    if "filter" in step:
        return act(told.fields(step["op"], step["filter"]))
    events = []
    for given in step["events"]:
        events.append(told.fields(step["op"], given))
        own = str(given.get("timestamp", ""))
        if events[-1]["flags"] & IMPORTED[step["op"]] and NAME.match(own):
            told.values.setdefault(own, events[-1]["timestamp"])  # an import chooses its timestamp
    return act(events)


def compare(told: Told, step: dict[str, Any], answer: Any) -> None:
    expected = step["expect"]
    assert isinstance(expected, list), step
    assert len(answer) == len(expected)
    for want, got in zip(expected, answer, strict=True):
        if "events" in step:
            assert (want["code"], step["op"]) == (got[0], step["op"]), want["status"]
            told.agree(want["timestamp"], got[1])
            continue
        assert set(got) == set(OBJECTS[step["op"]])
        for name in OBJECTS[step["op"]]:
            if name in TIMES:
                told.agree(want[name], got[name])
            else:
                assert int(want.get(name, 0)) == got[name], name


def test_an_answer_that_lacks_a_recorded_field_is_not_the_same() -> None:
    """Each field of an object is looked for, the ones that are zero, too."""
    step = {"op": "get_account_balances", "expect": [{"debits_posted": "5", "timestamp": "T1"}]}
    whole = {"debits_pending": 0, "debits_posted": 5, "credits_pending": 0, "credits_posted": 0, "timestamp": 7}
    compare(Told(), step, [whole])
    for name in whole:
        with pytest.raises(AssertionError):
            compare(Told(), step, [{each: value for each, value in whole.items() if each != name}])


CASES = [("record", "1", True), ("record", "0", False), ("json", "1", False), ("json", "0", False)]


@pytest.mark.parametrize(("form", "fresh", "sleeping"), CASES)
def test_a_recorded_tigerbeetle_is_answered_the_same(
    client_module: ModuleType, server: Server, form: str, fresh: str, *, sleeping: bool
) -> None:
    """Both forms, one store for all scenarios and an empty one for each; those that wait for an expiry once."""
    _play_all(client_module, server.url, form, fresh, sleeping=sleeping)


@pytest.mark.slow
@pytest.mark.parametrize(("form", "fresh"), [("record", "0"), ("json", "1"), ("json", "0")])
def test_every_recording_is_answered_the_same_in_every_form(
    client_module: ModuleType, server: Server, form: str, fresh: str
) -> None:
    _play_all(client_module, server.url, form, fresh, sleeping=True)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["record", "json"])
def test_a_cluster_of_three_answers_every_recording_the_same(client_module: ModuleType, form: str) -> None:
    with cluster(replicas=0) as topology:
        _play_all(client_module, topology.url, form, "0", sleeping=True)


def _play_all(client_module: ModuleType, url: str, form: str, fresh: str, *, sleeping: bool) -> None:
    """All in one store one after another; where each has its own, those that wait for an expiry wait together."""
    every = scenarios(sleeping=sleeping)
    waiting = [each for each in every if fresh == "1" and sleeps(each)]
    parts = [[each for each in every if each not in waiting], *(waiting[at::AT_ONCE] for at in range(AT_ONCE))]
    with ThreadPoolExecutor(len(parts)) as pool:
        played = [
            pool.submit(_play, client_module, (url, fresh, form, f"trace{n}"), part)
            for n, part in enumerate(parts)
            if part
        ]
    count = sum(each.result() for each in played)
    print(f"{count} recorded scenarios played")
    assert count == RECORDED[sleeping]


def _play(client_module: ModuleType, options: tuple[str, str, str, str], part: list[dict[str, Any]]) -> int:
    """How many were answered the same; AssertionError names the first that was not."""
    client = client_module.TraceClient(*options)
    try:
        for scenario in part:
            try:
                play(client, client_module.TooMuchData, scenario)
            except AssertionError as differs:
                raise AssertionError(f"{scenario['name']}: {differs}") from differs
        return len(part)
    finally:
        client.close()
