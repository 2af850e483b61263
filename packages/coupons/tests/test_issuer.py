"""Attempts of many requests in one write, in a cluster of real servers."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from pydantic import SecretStr

from lastro.core.keys import slot
from lastro.core.redis import connect_url
from lastro.core.redis.clients import ClusterClient
from lastro.core.redis.slots import move_slot
from lastro.core.testing.topologies import Cluster, cluster
from lastro.coupons import keys
from lastro.coupons.engine import Coupons
from lastro.coupons.settings import CouponsSettings

from .conftest import opened

pytestmark = pytest.mark.anyio


@pytest.fixture
def three() -> Iterator[Cluster]:
    with cluster() as topology:
        yield topology


async def test_events_that_moved_are_asked_again_where_they_are_and_one_that_stayed_is_answered(
    three: Cluster, tmp_path: Path
) -> None:
    """Several redirects in one write: no attempt of it fails."""
    async with await connect_url(three.url) as hub, await connect_url(three.url) as mover:
        coupons = Coupons(hub, CouponsSettings(database_url=SecretStr(f"sqlite:///{tmp_path}/coupons.sqlite")))
        home, away = (node.name for node in three.nodes[:2])
        names = (f"e{number}" for number in count())
        moved, other, stays = [next(name for name in names if hub.place(keys.stock(name)) == home) for _ in range(3)]
        for event_id in (moved, other, stays):
            await opened(coupons, event_id, total=10)
            await coupons.issue(event_id, "first")
        assert isinstance(mover.write, ClusterClient)
        for event_id in (moved, other):
            await move_slot(mover.write, slot(keys.stock(event_id)), away)
        attempts = [coupons.issue(event_id, user) for event_id in (moved, other, stays) for user in ("ana", "bia")]
        told = await asyncio.gather(*attempts)
        assert sorted(given.issuance.seq for given in told) == [2, 2, 2, 3, 3, 3]
        await coupons.aclose()
