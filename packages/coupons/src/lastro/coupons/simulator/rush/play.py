"""A rush from beginning to end: on a deployment of its own, or at a running service."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from lastro.core.access.client import own_key
from lastro.core.redis import connect, connect_url
from lastro.core.settings import Settings
from lastro.coupons.engine import Coupons
from lastro.coupons.model.event import Durability
from lastro.coupons.settings import CouponsSettings
from lastro.coupons.simulator.load import Crowd
from lastro.coupons.simulator.stack import Stack, deployed, resident_mb

from . import Report, rush


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What to play."""

    clients: int
    coupons: int
    users: int
    per_second: float = 0.0
    connections: int = 64
    processes: int = 1
    apis: int = 1
    durability: Durability = "fsync"
    urls: tuple[str, ...] = ()

    def crowd(self, targets: tuple[str, ...], key: str = "") -> Crowd:
        """Its crowd, at an event of its own."""
        return Crowd(
            event_id=f"rush-{uuid4().hex[:8]}",
            targets=targets,
            attempts=self.clients,
            users=self.users,
            connections=self.connections,
            processes=self.processes,
            per_second=self.per_second,
            key=key,
        )


def play(scene: Scene, told: Callable[[int], Any]) -> tuple[dict[str, Any], list[str]]:
    """Rows for people, and the rules that did not hold."""
    if scene.urls:
        report = asyncio.run(_at_service(scene, told))
        return _rows(report), report.broken
    with TemporaryDirectory(prefix="lastro-") as folder:
        given = os.environ.get("LASTRO_COUPONS_DATABASE_URL", f"sqlite:///{folder}/coupons.sqlite")
        with deployed(Stack(Path(folder), given, apis=scene.apis)) as stack:
            before, api_mb, worker_mb = stack.cpu_seconds(), _resident(stack, "api"), _resident(stack, "worker")
            report = asyncio.run(_at_stack(scene, stack, told))
            spent = {name: cpu - before[name] for name, cpu in stack.cpu_seconds().items()}
            rows = _rows(report)
            rows["CPU us per attempt: API, Redis, worker"] = ", ".join(
                f"{spent[name] * 1e6 / scene.clients:.1f}" for name in ("api", "store", "worker")
            )
            rows["API memory grew by, MB a process"] = round((_resident(stack, "api") - api_mb) / scene.apis, 1)
            rows["worker memory grew by, MB"] = round(_resident(stack, "worker") - worker_mb, 1)
        return rows, report.broken


async def _at_service(scene: Scene, told: Callable[[int], Any]) -> Report:
    settings = Settings.read()
    async with await connect(settings) as hub:
        crowd = scene.crowd(scene.urls, own_key(settings))
        return await _rushed(Coupons(hub, CouponsSettings.read()), scene, crowd, told)


async def _at_stack(scene: Scene, stack: Stack, told: Callable[[int], Any]) -> Report:
    async with await connect_url(stack.store.url) as hub:
        settings = CouponsSettings(database_url=SecretStr(stack.database_url))
        return await _rushed(Coupons(hub, settings), scene, scene.crowd(tuple(stack.targets)), told)


async def _rushed(coupons: Coupons, scene: Scene, crowd: Crowd, told: Callable[[int], Any]) -> Report:
    try:
        return await rush(coupons, crowd, scene.coupons, durability=scene.durability, alone=not scene.urls, told=told)
    finally:
        await coupons.aclose()


def _rows(report: Report) -> dict[str, Any]:
    return {
        "answers": ", ".join(f"{count:,} × {status}" for status, count in report.statuses.items()),
        "made again": report.again,
        "seconds": report.seconds,
        "attempts per second": round(report.attempts / report.seconds),
        "seconds until all were in the database": report.drained_seconds,
        "p50, p99 ms": f"{report.p50_ms:.2f}, {report.p99_ms:.2f}",
        "CPU us per attempt: the crowd": report.client_cpu_us,
        "Redis grew by, bytes": report.redis_bytes,
    }


def _resident(stack: Stack, kind: str) -> float:
    return sum(resident_mb(part.pid) for name, part in stack.parts.items() if name.startswith(kind))
