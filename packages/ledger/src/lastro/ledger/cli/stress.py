"""Load on a ledger, measured from both ends, with a consistency check of what it left behind."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from lastro.core.errors import Invalid
from lastro.ledger.engine import Ledger
from lastro.ledger.engine.check import check
from lastro.ledger.model.codes import TransferFlag
from lastro.ledger.model.ids import new_id
from lastro.ledger.model.records import Account, Outcome, Transfer

WORKLOADS = ("transfer", "two-phase", "lookup", "mixed")
HOT_ACCOUNTS = 10
REPORT_EVERY_SECONDS = 0.1
Told: TypeAlias = Callable[[float, float], None]
"""Hears how many seconds are over, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, how much of it and for how long."""

    accounts: int
    workers: int
    seconds: float
    batch: int
    workload: str
    hot_percent: int

    def __post_init__(self) -> None:
        for name in ("workers", "batch"):
            if getattr(self, name) < 1:
                raise Invalid(field=name, reason="must be at least 1")
        if self.accounts < HOT_ACCOUNTS + 2:
            raise Invalid(field="accounts", reason=f"must be at least {HOT_ACCOUNTS + 2}")
        if self.seconds <= 0:
            raise Invalid(field="seconds", reason="must be more than 0")
        if not 0 <= self.hot_percent <= 100:  # noqa: PLR2004  # per cent
            raise Invalid(field="hot", reason="must be from 0 to 100")
        if self.workload not in WORKLOADS:
            raise Invalid(field="workload", reason=f"must be one of {', '.join(WORKLOADS)}")


class Target(Protocol):
    """What is put under load: a Ledger, or its rival."""

    async def create_accounts(self, accounts: Sequence[Account]) -> list[Outcome]:
        """All of them."""

    async def create_transfers(self, transfers: Sequence[Transfer]) -> list[Outcome]:
        """All of them, in one request if it takes that many."""

    async def create_transfer(self, transfer: Transfer) -> Outcome:
        """One."""

    async def lookup_accounts(self, ids: Sequence[int]) -> list[Account]:
        """Those that are there."""


@dataclass(slots=True)
class Report:
    """What came of it."""

    events: int = 0
    refused: int = 0
    seconds: float = 0
    cpu_seconds: float | None = None
    """Of the server, if it tells."""
    latencies: list[float] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    proof: str = "debits equal credits"
    """What holds when there are no findings."""

    def told(self) -> dict[str, Any]:
        """As JSON."""
        waits = sorted(self.latencies) or [0.0]
        return {
            "events": self.events,
            "refused": self.refused,
            "seconds": self.seconds,
            "events_per_second": self.events / self.seconds,
            "server_cpu_us": None if self.cpu_seconds is None else self.cpu_seconds / max(self.events, 1) * 1e6,
            "request_ms": {
                name: waits[min(len(waits) - 1, int(len(waits) * share))] * 1000 for name, share in PERCENTILES.items()
            },
            "findings": self.findings,
        }

    def lines(self) -> list[str]:
        """As text."""
        told = self.told()
        cpu = told["server_cpu_us"]
        return [
            f"{self.events} events in {self.seconds:.1f} s, {self.refused} refused",
            f"{told['events_per_second']:,.0f} events/s",
            "server CPU not told" if cpu is None else f"server CPU {cpu:.1f} us per event",
            "request " + ", ".join(f"{name} {value:.2f} ms" for name, value in told["request_ms"].items()),
            *(self.findings or [self.proof]),
        ]


PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}


async def stress_ledger(ledger: Ledger, plan: Plan, told: Told) -> Report:
    """The load, the server's CPU, and every balance recomputed."""
    before = await _cpu_seconds(ledger)
    report = await stress(ledger, plan, told)
    report.cpu_seconds = await _cpu_seconds(ledger) - before
    report.findings += await check(ledger)
    report.proof = "debits equal credits, and every balance is the sum of its transfers"
    return report


async def stress(target: Target, plan: Plan, told: Told) -> Report:
    """Make the accounts, keep the workers busy for the time, then compare debits with credits."""
    accounts = [new_id() for _ in range(plan.accounts)]
    await target.create_accounts([Account(id=each, ledger=1, code=1) for each in accounts])
    report, started = Report(), time.perf_counter()
    until = started + plan.seconds
    async with asyncio.TaskGroup() as group:
        group.create_task(_progress(plan, started, told))
        for _ in range(plan.workers):
            group.create_task(_work(target, plan, accounts, report, until))
    report.seconds = time.perf_counter() - started
    found = await target.lookup_accounts(accounts)
    debits, credits_ = sum(each.debits_posted for each in found), sum(each.credits_posted for each in found)
    if debits != credits_:
        report.findings.append(f"posted debits are {debits}, posted credits {credits_}")
    return report


async def _work(target: Target, plan: Plan, accounts: list[int], report: Report, until: float) -> None:
    while time.perf_counter() < until:
        act = plan.workload if plan.workload != "mixed" else random.choice(WORKLOADS[:3])
        started = time.perf_counter()
        if act == "lookup":
            await target.lookup_accounts(random.sample(accounts, min(plan.batch, len(accounts))))
            report.events += plan.batch
        else:
            await _move(target, plan, accounts, report, pending=act == "two-phase")
        report.latencies.append(time.perf_counter() - started)


async def _move(target: Target, plan: Plan, accounts: list[int], report: Report, *, pending: bool) -> None:
    flags = TransferFlag.PENDING if pending else 0
    transfers = [_transfer(plan, accounts, flags) for _ in range(plan.batch)]
    await _create(target, plan, transfers, report)
    if pending:
        settling = [_settling(each) for each in transfers]
        await _create(target, plan, settling, report)


def _settling(pending: Transfer) -> Transfer:
    post = random.random() < POSTED_SHARE
    flag = TransferFlag.POST_PENDING_TRANSFER if post else TransferFlag.VOID_PENDING_TRANSFER
    return Transfer(id=new_id(), pending_id=pending.id, amount=pending.amount, flags=flag)


POSTED_SHARE = 0.8


async def _create(target: Target, plan: Plan, transfers: list[Transfer], report: Report) -> None:
    outcomes = (
        await target.create_transfers(transfers) if plan.batch > 1 else [await target.create_transfer(transfers[0])]
    )
    report.events += len(outcomes)
    report.refused += sum(not outcome.ok for outcome in outcomes)


def _transfer(plan: Plan, accounts: list[int], flags: int) -> Transfer:
    debit, credit = random.sample(accounts, 2)
    if random.random() * 100 < plan.hot_percent:
        hot = random.choice(accounts[:HOT_ACCOUNTS])
        debit = hot if hot != credit else debit
    amount = random.randint(1, 10_000)
    return Transfer(
        id=new_id(), debit_account_id=debit, credit_account_id=credit, amount=amount, ledger=1, code=1, flags=flags
    )


async def _progress(plan: Plan, started: float, told: Told) -> None:
    while (gone := time.perf_counter() - started) < plan.seconds:
        told(round(gone, 1), plan.seconds)
        await asyncio.sleep(min(REPORT_EVERY_SECONDS, plan.seconds - gone))
    told(plan.seconds, plan.seconds)


async def _cpu_seconds(ledger: Ledger) -> float:
    info = await ledger.hub.write.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
