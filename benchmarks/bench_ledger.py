"""The ledger's cost: server CPU and wall clock per transfer, beside a script that does nothing and a bare SET.

Load: transfers between uniform pairs of 10,000 accounts, 128-bit time-based ids, indexes and change stream on, one
connection over a unix socket; single transfers in pipelines of 1,000. Every answer is checked to be "created". Batches
go in calls of at most `batch_max` transfers, one after another, as the library sends them.
"""

import json
import os
import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from struct import Struct
from tempfile import TemporaryDirectory

from redis import Redis
from rich.console import Console
from rich.progress import track

from lastro.core import local
from lastro.core.scripts import REGISTRY
from lastro.ledger import keys, scripts
from lastro.ledger.engine import TRIM_MAX
from lastro.ledger.model.ids import new_id
from lastro.ledger.model.records import Account, AccountFilter
from lastro.ledger.settings import LedgerSettings

ACCOUNTS = 10_000
PIPELINE = 1_000
RECORD = Struct("<16s16s16sQQ16s28sIIHHQ")
NONE16, NONE28 = bytes(16), bytes(28)
SPACE = keys.keyspace("bench")
SETTINGS = LedgerSettings()
GROWTH = (100_000, 10_000_000)
HOT = 1_000_000
ROUNDS = 5  # of all rows: a machine that is slow for a minute falls into one of them
assert scripts  # importing them fills the registry


class Bench:
    """One server, its accounts, and what it takes."""

    def __init__(self, server: local.Server, client: "Redis") -> None:
        self.server, self.client = server, client
        self.shas: dict[str, str] = {}
        self.accounts = [new_id().to_bytes(16, "little") for _ in range(ACCOUNTS)]
        for start in range(0, ACCOUNTS, 2_000):
            wanted = self.accounts[start : start + 2_000]
            records = [Account(id=int.from_bytes(each, "little"), ledger=1, code=1).encode() for each in wanted]
            self.call("create_chained_accounts", b"".join(records))

    def sha(self, name: str) -> str:
        """The script of that name, which the server gets when it is first called, as the library does it."""
        if name not in self.shas:
            self.shas[name] = self.client.script_load(REGISTRY[f"ledger.{name}"].source.text)
        return self.shas[name]

    @property
    def retention(self) -> tuple[bytes | str, ...]:
        """What the worker does every second: the change stream is trimmed."""
        limits = str(SETTINGS.changes_keep), str(SETTINGS.changes_max), str(TRIM_MAX)
        return ("EVALSHA", self.sha("retain_changes"), "1", SPACE, *limits)

    def call(self, name: str, *arguments: bytes | str) -> bytes:
        """One script call."""
        answer: bytes = self.client.evalsha(self.sha(name), 1, SPACE, *arguments)
        return answer

    def transfers(self, count: int, debit: bytes | None = None) -> bytes:
        """That many records."""
        millis, random_bytes = int(time.time() * 1000).to_bytes(6, "little"), os.urandom(10 * count)
        records = []
        for at in range(0, 10 * count, 10):
            payer, payee = random.sample(self.accounts, 2)
            number = random_bytes[at : at + 10] + millis
            amount = random_bytes[at] + 1
            records.append(RECORD.pack(number, debit or payer, payee, amount, 0, NONE16, NONE28, 0, 1, 1, 0, 0))
        return b"".join(records)

    def cpu_seconds(self) -> float:
        """What the server has used so far."""
        info = self.client.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])

    def measure(self, requests: Iterable[list[tuple[bytes | str, ...]]], count: int) -> tuple[float, float]:
        """Microseconds of server CPU and of wall clock for each of ``count`` things in these pipelines."""
        sent = list(requests)
        cpu, started = self.cpu_seconds(), time.perf_counter()
        for commands in sent:
            pipeline = self.client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]  # theirs
            for answer in pipeline.execute():
                if isinstance(answer, bytes) and len(answer) % 16 == 0:
                    assert not any(answer[8::16]), f"refused with {sorted(set(answer[8::16]))}"
        wall = time.perf_counter() - started
        return (self.cpu_seconds() - cpu) / count * 1e6, wall / count * 1e6

    def batches(self, size: int, total: int) -> tuple[float, float]:
        """Transfers, so many at once, in calls of as many as the library makes of them."""
        name = "create_transfer" if size == 1 else "create_chained_transfers"
        parts = -(-size // SETTINGS.batch_max)
        sha, count, depth = self.sha(name), size // parts, max(1, PIPELINE // size)
        rounds = max(1, total // (size * depth)) * parts

        def requests() -> Iterator[list[tuple[bytes | str, ...]]]:
            yield [self.retention]
            for _ in range(rounds):
                yield [("EVALSHA", sha, "1", SPACE, self.transfers(count)) for _ in range(depth)]

        return self.measure(requests(), rounds * count * depth)


def main(*, quick: bool) -> None:
    """All tables."""
    total, rounds = (4_000, 1) if quick else (30_000, ROUNDS)
    kinds = [(name, binary, durability) for name, binary in servers() for durability in ("no", "everysec", "always")]
    measured: dict[tuple[str, str], list[list[tuple[float, float]]]] = {}
    for name, binary, durability in track(kinds * rounds, "rows", console=Console(stderr=True), transient=True):
        with running(binary, durability) as bench:
            measured.setdefault((name, durability), []).append(rows(bench, total))
    print(f"server CPU / wall clock, microseconds per transfer; floors per command; medians of {rounds}")
    print(f"{'server':8} {'appendfsync':11} {'no-op':>11} {'SET':>13} {'single':>13} {'JSON':>13}", end="")
    print("".join(f"{f'batch {size}':>14}" for size in (10, 100, 2000)))
    for (name, durability), runs in measured.items():
        medians = ((statistics.median(run[at][part] for run in runs) for part in (0, 1)) for at in range(len(runs[0])))
        print(f"{name:8} {durability:11}", *(f"{f'{cpu:.1f} / {wall:.1f}':>13}" for cpu, wall in medians), flush=True)
    _, binary = servers()[0]
    with running(binary, "everysec") as bench:
        latency(bench, 200 if quick else 5_000)
    with running(binary, "no") as bench:
        hot(bench, 20_000 if quick else HOT)
    with running(binary, "no") as bench:
        growth(bench, (4_000, 20_000) if quick else GROWTH)


def servers() -> list[tuple[str, Path | None]]:
    """Redis of PATH, if there is one, and the embedded Valkey."""
    found = shutil.which("redis-server")
    return [*([("redis", Path(found))] if found else []), ("valkey", None)]


class running:  # noqa: N801  # read as: with running(…) as bench
    """A server for the time of a measurement."""

    def __init__(self, binary: Path | None, durability: str) -> None:
        self.folder = TemporaryDirectory(prefix="lastro-bench-")
        self.server = local.start(Path(self.folder.name), binary=binary, durability=durability)  # type: ignore[arg-type]  # one of the three words
        # without a timeout: after five seconds redis-py sends all again, and what was done is refused as done already
        self.client = Redis(unix_socket_path=str(self.server.socket), socket_timeout=None)

    def __enter__(self) -> Bench:
        return Bench(self.server, self.client)

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.stop()
        self.folder.cleanup()


def rows(bench: Bench, total: int) -> list[tuple[float, float]]:
    """The floors, then every way to send transfers."""
    sha = bench.client.script_load("return 1")
    noop: list[list[tuple[bytes | str, ...]]] = [[("EVALSHA", sha, "0")] * PIPELINE] * max(1, total // PIPELINE)
    bare: list[list[tuple[bytes | str, ...]]] = [
        [("SET", f"bare:{number % 10_000}", "x" * 128) for number in range(PIPELINE)]
    ] * max(1, total // PIPELINE)
    measured = [bench.measure(noop, len(noop) * PIPELINE), bench.measure(bare, len(bare) * PIPELINE)]
    measured.append(bench.batches(1, total))
    measured.append(bench.measure(*json_requests(bench, total // 4)))
    measured.extend(bench.batches(size, total * 2) for size in (10, 100, 2000))
    return measured


def json_requests(bench: Bench, total: int) -> tuple[list[list[tuple[bytes | str, ...]]], int]:
    """Single transfers as the original document sends them."""
    sha, pipelines = bench.sha("create_transfer"), max(1, total // PIPELINE)

    def event() -> str:
        debit, credit = (str(int.from_bytes(each, "little")) for each in random.sample(bench.accounts, 2))
        fields = {"id": str(new_id()), "debit_account_id": debit, "credit_account_id": credit}
        return json.dumps({**fields, "amount": 10, "ledger": 1, "code": 1, "flags": 0})

    requests: list[list[tuple[bytes | str, ...]]] = [
        [("EVALSHA", sha, "1", SPACE, event()) for _ in range(PIPELINE)] for _ in range(pipelines)
    ]
    return requests, pipelines * PIPELINE


def latency(bench: Bench, count: int) -> None:
    """One transfer at a time, waiting for each answer."""
    waits = timed(lambda: bench.call("create_transfer", bench.transfers(1)), count)
    print(f"single, unpipelined, everysec: p50 {waits[count // 2]:.3f} ms, p99 {waits[count * 99 // 100]:.3f} ms")


def hot(bench: Bench, count: int) -> None:
    """Ten of an account's many transfers."""
    account = bench.accounts[0]
    others, bench.accounts = bench.accounts, bench.accounts[1:]
    for _ in range(count // 2_000):
        bench.call("create_chained_transfers", bench.transfers(2_000, debit=account))
    bench.accounts = others
    for reverse in (0, 4):
        number = int.from_bytes(account, "little")
        wanted = AccountFilter(account_id=number, limit=10, flags=3 | reverse).encode()
        waits = timed(lambda wanted=wanted: bench.call("get_account_transfers", wanted), 500)  # type: ignore[misc]
        print(f"10 of {count:,}, {'newest' if reverse else 'oldest'} first: {statistics.median(waits):.3f} ms")


def growth(bench: Bench, sizes: tuple[int, ...]) -> None:
    """Cost and memory as the ledger grows."""
    before, stored = bench.client.info("memory")["used_memory"], 0
    for size in sizes:
        while stored < size - 10_000:
            bench.call("create_chained_transfers", bench.transfers(2_000))
            bench.client.execute_command(*bench.retention)  # type: ignore[no-untyped-call]  # theirs
            stored += 2_000
        many, one = bench.batches(2_000, 10_000), bench.batches(1, 10_000)
        stored += 20_000
        bench.client.execute_command(*bench.retention)  # type: ignore[no-untyped-call]  # theirs
        memory = (bench.client.info("memory")["used_memory"] - before) / stored
        print(
            f"at {stored:>10,} transfers: batch 2000 {many[0]:.1f} us, single {one[0]:.1f} us of server CPU, "
            f"{memory:.0f} bytes each",
            flush=True,
        )


def timed(act: Callable[[], object], count: int) -> list[float]:
    """Milliseconds of each call, ascending."""
    waits = []
    for _ in range(count):
        started = time.perf_counter()
        act()
        waits.append((time.perf_counter() - started) * 1000)
    return sorted(waits)
