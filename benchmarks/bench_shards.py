"""One Redis server against two on two cores: what shards of a ledger carry together, and what crossing costs.

The requests, batches of 2,000 transfers between uniform pairs of 2,000 accounts, are packed before the clock starts
and sent by processes of lower priority than the servers', one for each and some requests ahead; each server has a core
of its own. Rounds of
one and of two servers alternate; medians. Crossings go through the engine, on a cluster of two.
"""

import asyncio
import multiprocessing
import os
import random
import socket
import statistics
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hiredis
from redis import Redis

from lastro.core import local
from lastro.core.redis import connect_url
from lastro.core.redis.connections import packed
from lastro.core.testing.topologies import Node, cluster
from lastro.ledger import keys, scripts
from lastro.ledger.engine.shards import Shards
from lastro.ledger.model.ids import new_id
from lastro.ledger.model.records import Account, Transfer
from lastro.ledger.settings import LedgerSettings

ACCOUNTS = 2_000
BATCH = 2_000
AHEAD = 16
"""Requests that wait in the socket: a sender that does not get its turn at once leaves the server with work."""
REPLY_BYTES = 16 * BATCH
SERVER_PRIORITY, SENDER_PRIORITY = 2, 1
"""Real-time, where we may: else on a machine that others use no server has its core to itself. Rounds are short."""
BUFFER_BYTES = AHEAD * BATCH * 160
SO_SNDBUFFORCE = 32
SPACE = keys.keyspace("bench")


@dataclass(slots=True)
class Shard:
    """A server with accounts."""

    server: local.Server
    client: "Redis"
    sha: str
    accounts: list[int]

    @classmethod
    def on(cls, folder: Path, core: int) -> "Shard":
        """Start it on a core of its own."""
        server = local.start(folder, durability="no")
        os.sched_setaffinity(server.pid, {core % (os.cpu_count() or 1)})
        _prefer(server.pid, SERVER_PRIORITY)
        client = Redis(unix_socket_path=str(server.socket))
        accounts = [new_id() for _ in range(ACCOUNTS)]
        events = b"".join(Account(id=each, ledger=1, code=1).encode() for each in accounts)
        client.evalsha(client.script_load(scripts.create_chained_accounts.source.text), 1, SPACE, events)
        return cls(server, client, client.script_load(scripts.create_chained_transfers.source.text), accounts)

    def request(self) -> bytes:
        """One batch, packed."""
        pairs = (random.sample(self.accounts, 2) for _ in range(BATCH))
        events = b"".join(
            Transfer(id=new_id(), debit_account_id=debit, credit_account_id=credit, amount=1, ledger=1, code=1).encode()
            for debit, credit in pairs
        )
        return packed(("EVALSHA", self.sha, 1, SPACE, events))

    def cpu_seconds(self) -> float:
        """What the server has used so far."""
        info: Any = self.client.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])


def send(path: str, requests: list[bytes], ready: Barrier, times: Any) -> None:
    """In a process of its own: all requests, a few ahead; every answer is looked at. When it began and ended."""
    _prefer(os.getpid(), SENDER_PRIORITY)
    with socket.socket(socket.AF_UNIX) as wire:
        with suppress(PermissionError):  # without the right to it, fewer requests wait
            wire.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES)
        wire.connect(path)
        reader, waiting, answered = hiredis.Reader(), 0, 0
        ready.wait()
        times[0] = time.monotonic()
        for request in requests:
            wire.sendall(request)
            waiting += 1
            while waiting > AHEAD:
                answered += _heard(wire, reader)
                waiting -= 1
        while waiting:
            answered += _heard(wire, reader)
            waiting -= 1
        times[1] = time.monotonic()
    assert answered == len(requests) * BATCH


def _prefer(pid: int, priority: int) -> None:
    """Put a process before all that are not real-time."""
    with suppress(PermissionError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(priority))


def _heard(wire: socket.socket, reader: Any) -> int:
    while (reply := reader.gets()) is False:
        reader.feed(wire.recv(1 << 20))
    assert isinstance(reply, bytes), reply
    assert len(reply) == REPLY_BYTES
    assert not any(reply[8::16]), "refused"
    return len(reply) // 16


def carried(shards: list[Shard], requests: int) -> tuple[float, float]:
    """Transfers a second of all of these servers together, and server CPU µs for each."""
    sending = [[shard.request() for _ in range(requests)] for shard in shards]
    context = multiprocessing.get_context("fork")
    ready, times = context.Barrier(len(shards)), [context.Array("d", 2) for _ in shards]
    senders = [
        context.Process(target=send, args=(str(shard.server.socket), some, ready, own))
        for shard, some, own in zip(shards, sending, times, strict=True)
    ]
    used = sum(shard.cpu_seconds() for shard in shards)
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
        assert sender.exitcode == 0
    seconds, total = max(own[1] for own in times) - min(own[0] for own in times), len(shards) * requests * BATCH
    return total / seconds, (sum(shard.cpu_seconds() for shard in shards) - used) / total * 1e6


def inside(*, quick: bool) -> None:
    """One server against two, alternating."""
    requests, rounds = (4, 1) if quick else (20, 15)
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(TemporaryDirectory(prefix="lastro-bench-"))) for _ in range(2)]
        shards = [Shard.on(folder, core) for core, folder in enumerate(folders)]
        for shard in shards:
            stack.callback(shard.server.stop)
            stack.callback(shard.client.close)
        one, two = [], []
        for at in range(rounds):
            one.append(carried([shards[at % 2]], requests))
            two.append(carried(shards, requests))
        noop = floor(shards[0])
    spent = []
    for name, told in (("one server", one), ("two servers", two)):
        rate, cpu = (statistics.median(some) for some in zip(*told, strict=True))
        spent.append(cpu)
        least, most = min(rate for rate, _ in told), max(rate for rate, _ in told)
        print(f"{name:28} {rate:>10,.0f}/s ({least:,.0f} to {most:,.0f})   server CPU {cpu:5.1f} µs a transfer")
    ratio = statistics.median(b[0] / a[0] for a, b in zip(one, two, strict=True))
    print(f"{'two over one, by rounds':28} {ratio:>10.2f}   bar 1.7; floor: an EVALSHA that does nothing {noop:.1f} µs")
    print(
        f"{'by server CPU alone':28} {2 * spent[0] / spent[1]:>10.2f}   were each core its server's and nobody else's"
    )


def floor(shard: Shard) -> float:
    """Server CPU µs of a script that does nothing."""
    sha, count = shard.client.script_load("return 1"), 20_000
    used = shard.cpu_seconds()
    for _ in range(count // 1_000):
        pipeline = shard.client.pipeline(transaction=False)
        for _ in range(1_000):
            pipeline.evalsha(sha, 0)
        pipeline.execute()
    return (shard.cpu_seconds() - used) / count * 1e6


async def crossing(nodes: list[Node], url: str, *, share: float, requests: int) -> None:
    """Batches of which that share goes from one shard to the other."""
    async with await connect_url(url) as hub:
        shards = await Shards.open(hub, LedgerSettings(), 2, name=f"bench-{share}")
        accounts = [new_id() for _ in range(ACCOUNTS)]
        await shards.create_accounts([Account(id=each, ledger=1, code=1) for each in accounts])
        homes = [[each for each in accounts if shards.home(each) == home] for home in (0, 1)]
        batches = [[_transfer(homes, share) for _ in range(BATCH)] for _ in range(requests)]
        await shards.create_transfers(batches.pop())  # accounts between shards are opened once
        used, own, started = _cpu(nodes), time.process_time(), time.perf_counter()
        for batch in batches:
            outcomes = await shards.create_transfers(batch)
            assert all(outcome.ok for outcome in outcomes)
        total = len(batches) * BATCH
        seconds, own = time.perf_counter() - started, time.process_time() - own
        cpu = (_cpu(nodes) - used) / total * 1e6
        assert await shards.check() == []
    print(
        f"{f'engine, {share:.0%} crossing':28} {total / seconds:>10,.0f}/s{'':26}server CPU {cpu:5.1f} µs a transfer, "
        f"client {own / total * 1e6:.1f}"
    )


def _transfer(homes: list[list[int]], share: float) -> Transfer:
    home = random.randrange(2)
    if random.random() < share:
        debit, credit = random.choice(homes[home]), random.choice(homes[1 - home])
    else:
        debit, credit = random.sample(homes[home], 2)
    return Transfer(id=new_id(), debit_account_id=debit, credit_account_id=credit, amount=1, ledger=1, code=1)


def _cpu(nodes: list[Node]) -> float:
    told = [node.ask("INFO", "cpu") for node in nodes]
    return float(sum(each["used_cpu_user"] + each["used_cpu_sys"] for each in told))


def main(*, quick: bool) -> None:
    """All rows."""
    inside(quick=quick)
    with cluster(primaries=2, replicas=0) as topology:
        for share in (0.0, 0.1, 0.5, 1.0):
            asyncio.run(crossing(list(topology.nodes), topology.url, share=share, requests=3 if quick else 21))
