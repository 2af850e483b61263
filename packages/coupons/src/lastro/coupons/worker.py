"""The background work of coupons: from the outboxes into the database, and what time brings about."""

import asyncio
from random import uniform

import structlog

from lastro.core.database import migrate
from lastro.core.errors import LastroError
from lastro.core.queue import open_queue
from lastro.core.redis import Hub
from lastro.core.streams import Message
from lastro.core.worker import Run
from lastro.core.worker.consume import Worker

from .engine import Coupons, passing_on, reconcile, spending
from .engine.database import TABLES
from .engine.persist import Persister, migrated
from .engine.upkeep import tend
from .settings import CouponsSettings

TEND_SECONDS = 2.0
CHARGE_SECONDS = 0.2

log = structlog.get_logger()


async def persist(run: Run) -> None:
    """Write what was issued into the database, until told to stop."""
    coupons = Coupons(run.hub, CouponsSettings.read())
    try:
        await Persister(coupons, run).persist()
    finally:
        await coupons.aclose()


async def relay(run: Run) -> None:
    """Tell a broker what was issued, where one is set."""
    coupons = Coupons(run.hub, CouponsSettings.read())
    if not coupons.settings.relay_url:
        await run.stopping.wait()
        return
    sink = open_queue(coupons.settings.relay_url, run.hub)
    try:
        await passing_on.relay(coupons, run, sink)
    finally:
        await sink.aclose()
        await coupons.aclose()


async def keep(run: Run) -> None:
    """Close events that ended, expire coupons, note dead letters."""
    coupons = Coupons(run.hub, CouponsSettings.read())
    try:
        if not await migrated(coupons, run):
            return
        while not await run.pause(uniform(0.5, 1) * TEND_SECONDS):
            try:
                await tend(coupons)
            except LastroError as error:
                log.warning("coupons.upkeep_waits", reason=str(error))
    finally:
        await coupons.aclose()


async def charge(run: Run) -> None:
    """Tell payments what orders with a coupon still cost, and follow what became of them."""
    coupons = Coupons(run.hub, CouponsSettings.read())

    async def tell() -> None:
        while not await run.pause(uniform(0.5, 1) * CHARGE_SECONDS):
            try:
                while await spending.relay(coupons) == spending.RELAY_MAX:
                    pass
                await spending.give_up(coupons)
            except LastroError as error:
                log.warning("coupons.charges_wait", reason=str(error))

    async def ended(message: Message) -> None:
        await spending.follow(coupons, message)

    try:
        if not await migrated(coupons, run):
            return
        async with asyncio.TaskGroup() as both:
            both.create_task(tell())
            both.create_task(Worker.each(spending.finals(coupons), ended, concurrency=8).run(run))
    finally:
        await coupons.aclose()


async def check(hub: Hub, told: reconcile.Told = reconcile.quietly) -> list[str]:
    """What of the coupons does not add up, for ``lastro check``."""
    coupons = Coupons(hub, CouponsSettings.read())
    try:
        await asyncio.to_thread(migrate.upgrade, coupons.database, TABLES)
        found = await reconcile.check(coupons, told)
        found += [f"{order}: charged after its coupon had gone back" for order in await spending.late(coupons)]
        return found + await spending.paid_otherwise(coupons)
    finally:
        await coupons.aclose()
