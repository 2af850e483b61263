"""What the store has of keys: nothing is written that cannot be used, and one record never takes the others with it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lastro.core.access.keyring import BURST_MAX, LIFE_MS_MAX, Keyring, UnreadableKey
from lastro.core.cli import main
from lastro.core.errors import Invalid
from lastro.core.keys import API_KEYS
from lastro.core.redis import Hub
from lastro.core.testing import start_server

pytestmark = pytest.mark.anyio
one_server = pytest.mark.parametrize("server", ["embedded"], indirect=True)
"""For rules that do not depend on which server it is."""


@one_server
@pytest.mark.parametrize(
    "wrong",
    [
        {"per_second": math.inf, "burst": 5},
        {"per_second": math.nan, "burst": 5},
        {"per_second": 1e-300},
        {"per_second": -1.0},
        {"per_second": 1.0, "burst": BURST_MAX + 1},
        {"burst": -1},
        {"life_ms": math.inf},
        {"life_ms": math.nan},
        {"life_ms": LIFE_MS_MAX + 1},
        {"life_ms": -1},
    ],
)
async def test_a_key_with_a_limit_or_a_life_that_is_none_is_refused_and_nothing_is_written(
    hub: Hub, wrong: dict[str, Any]
) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong)) if len(wrong) == 1 else "per_second|burst"):
        await Keyring(hub).create("a test", ("admin",), **wrong)
    assert await hub.read.exists(API_KEYS) == 0


@one_server
async def test_an_overlap_that_is_none_is_refused_and_the_key_stays_as_it_is(hub: Hub) -> None:
    ring = Keyring(hub)
    key, _ = await ring.create("a test", ("admin",))
    for wrong in (math.inf, math.nan, LIFE_MS_MAX + 1):
        with pytest.raises(Invalid, match="overlap_ms"):
            await ring.rotate(key.id, overlap_ms=wrong)
    assert await ring.keys() == [key]


@one_server
@pytest.mark.parametrize("record", [b'{"id":"5","per_second":null}', b"{", b"\xff", b"[]"])
async def test_a_record_that_is_no_key_opens_nothing_and_takes_no_other_with_it(hub: Hub, record: bytes) -> None:
    ring = Keyring(hub)
    key, secret = await ring.create("a test", ("admin",))
    await hub.write.hset(API_KEYS, "bad", record)
    grant = await ring.find(secret.encode())
    assert grant is not None
    assert grant.key_id == key.id
    assert await ring.keys() == [key]
    assert await ring.unreadable() == ["bad"]
    with pytest.raises(UnreadableKey):
        await ring.rotate("bad", overlap_ms=0)
    assert await ring.revoke("bad") is None
    assert await ring.unreadable() == []


def test_at_a_terminal_what_is_out_of_range_is_a_sentence_and_what_is_stored_is_listed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from redis import Redis

    store = start_server(tmp_path)
    try:
        monkeypatch.setenv("REDIS_URL", store.url)
        for words in (["--per-second", "inf", "--burst", "5"], ["--days", "4000000"]):
            with pytest.raises(SystemExit) as ended:
                main(["keys", "create", "x", "--scope", "core:read", *words])
            assert ended.value.code == 1
            assert "Traceback" not in capsys.readouterr().err
        main(["keys", "create", "x", "--scope", "core:read", "--days", "1e-12", "--json"])
        made = json.loads(capsys.readouterr().out)
        assert made["secrets"][0]["expires_at"], "the shortest life is not for good"
        with Redis.from_url(store.url) as client:
            record = json.loads(client.hget(API_KEYS, made["id"]) or "")
            record["secrets"][0]["expires_ms"] = 10**18
            client.hset(API_KEYS, mapping={made["id"]: json.dumps(record), "bad": "null"})
        main(["keys", "list", "--json"])
        said = capsys.readouterr()
        assert json.loads(said.out)[0]["secrets"][0]["expires_at"].startswith("9999-12-31")
        assert "lastro keys revoke bad" in said.err
        main(["keys", "revoke", "bad"])
        main(["keys", "list"])
        said = capsys.readouterr()
        assert "9999-12-31" in said.out
        assert not said.err
    finally:
        store.stop()
