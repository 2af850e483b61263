"""The rush: crowds of both kinds, and a checker that sees each broken rule."""

from array import array

import pytest
import sqlalchemy as sa

from lastro.core.streams import AGAIN
from lastro.coupons import keys
from lastro.coupons.engine import Coupons
from lastro.coupons.engine.database import schema
from lastro.coupons.engine.outbox import GROUP, entries, outbox
from lastro.coupons.simulator.load import Crowd, Seen
from lastro.coupons.simulator.rush.checker import Evidence, broken
from lastro.coupons.simulator.rush.play import Scene, play

from .conftest import opened, persisted


@pytest.mark.parametrize(("users", "per_second"), [(400, 0.0), (2_000, 2_000.0)])
def test_a_crowd_of_repeated_users_and_one_at_a_fixed_rate_break_no_rule(users: int, per_second: float) -> None:
    scene = Scene(clients=2_000, coupons=300, users=users, per_second=per_second, connections=8, processes=2)
    rows, wrong = play(scene, lambda done: None)
    assert wrong == []
    assert "300 × 201" in rows["answers"]


async def evidence(coupons: Coupons, **seen: object) -> Evidence:
    """Two coupons, both given, both stored, and a crowd that saw it right."""
    await opened(coupons, total=2)
    given = [(await coupons.issue("e", user)).issuance for user in ("u0", "u1")]
    await persisted(coupons)
    told: dict[str, object] = {
        "won": {one.user_id: f'{{"issuance_id":"{one.issuance_id}"}}'.encode() for one in given},
        "new": 2,
        "latencies_us": array("I", [1]),
    }
    crowd = Crowd(event_id="e", targets=(), attempts=3, users=3)
    return Evidence(coupons=coupons, crowd=crowd, seen=Seen(**(told | seen)), samples=[], redis_bytes=0)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_what_went_well_breaks_no_rule(coupons: Coupons) -> None:
    assert await broken(await evidence(coupons)) == []


@pytest.mark.anyio
async def test_an_issuance_that_came_back_after_a_failure_is_told_once(coupons: Coupons) -> None:
    found, queue = await evidence(coupons), outbox(coupons.hub, "e")
    await coupons.hub.write.execute_command("XGROUP SETID", keys.events("e"), GROUP, "0")
    failing = queue.consumer("failing")
    told = await failing.read(9, block_seconds=0)
    assert [await failing.retry(message, delay_seconds=0) for message in told] == [True] * len(told)
    await failing.aclose()
    await persisted(coupons)
    assert sum(AGAIN in fields and b"winner" in fields for _, fields in [one async for one in entries(queue)]) == 2
    assert await broken(found) == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("seen", "rule"),
    [
        ({"new": 3}, "I1"),
        ({"differing": ["u0"]}, "I2"),
        ({"won": {"u0": b'{"issuance_id":"another"}'}}, "I3"),
        ({"won": {}}, "I4"),
        ({"last_win_started": 2.0, "first_sold_out": 1.0}, "I10"),
    ],
)
async def test_what_the_crowd_saw_wrong_is_told(coupons: Coupons, seen: dict[str, object], rule: str) -> None:
    told = await broken(await evidence(coupons, **seen))
    assert any(sentence.startswith(rule) for sentence in told), told


@pytest.mark.anyio
async def test_what_is_wrong_in_redis_and_in_the_database_is_told(coupons: Coupons) -> None:
    found = await evidence(coupons)
    found.samples.append("3 in stock, 2 issued of 2")
    await coupons.hub.write.incr(keys.stock("e"))
    change = sa.update(schema.issuances).where(schema.issuances.c.user_id == "u1").values(seq=9, issued_ms=-5)
    await coupons.database.run(lambda connection: connection.execute(change))
    told = {sentence.split(" ")[0] for sentence in await broken(found)}
    assert told >= {"I5", "I7", "I8", "I11"}
