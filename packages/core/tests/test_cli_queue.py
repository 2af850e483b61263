"""``lastro queue``: what an operator sees of dead letters, and does about them."""

import asyncio
import json

import pytest

from lastro.core import local
from lastro.core.cli import main
from lastro.core.queue import open_queue
from lastro.core.redis import connect_url

NAME = "queue:letters"


async def _bury_two(url: str) -> list[str]:
    async with await connect_url(url) as hub:
        await hub.write.flushall()
        queue = open_queue(f"stream://{NAME}", hub)
        consumer = queue.consumer("one")
        await consumer.turn(0)
        await queue.publish_many([{"n": 1}, {"n": 2}])
        for message in await consumer.read(2, block_seconds=0):
            await consumer.bury(message, reason="failed", error="ValueError: no", deliveries=8)
        await queue.tend(idle_seconds=60)
        return [letter.id.decode() for letter in await queue.letters()]


def test_dead_letters_are_listed_shown_discarded_and_replayed(
    server: local.Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = asyncio.run(_bury_two(server.url))
    monkeypatch.setenv("LASTRO_REDIS_URL", server.url)

    def told(*args: str) -> str:
        main(["queue", *args])
        return capsys.readouterr().out

    assert NAME in told("list")
    assert f"{first}  failed after 8" in told("dead", "list", NAME)
    assert json.loads(told("list", "--json"))[NAME]["dead"] == 2
    assert f"{NAME}  {first}  failed after 8" in told("dead", "list")
    letters = json.loads(told("dead", "list", NAME, "--json"))
    assert json.loads(told("dead", "list", "--json")) == {NAME: letters}
    assert json.loads(told("dead", "list", NAME, "--json", "--after", first)) == letters[1:]
    assert json.loads(told("dead", "show", NAME, second)) == letters[1]
    assert [(letter["id"], letter["reason"], letter["deliveries"]) for letter in letters] == [
        (first, "failed", 8),
        (second, "failed", 8),
    ]
    for act, letter in (("show", "1-1"), ("discard", "1-1"), ("replay", "1-1"), ("replay", "no-id")):
        with pytest.raises(SystemExit) as ended:
            told("dead", act, NAME, letter)
        assert ended.value.code == 1
        assert f"The queue {NAME} has no dead letter {letter}." in capsys.readouterr().err
    assert told("dead", "discard", NAME, first) == "1 discarded\n"
    assert told("dead", "replay", NAME, "all") == "1 replayed\n"
    assert told("dead", "list", NAME) == ""
    asyncio.run(_clean(server.url))


async def _clean(url: str) -> None:
    async with await connect_url(url) as hub:
        await hub.write.flushall()


@pytest.mark.parametrize(
    "args",
    [
        ["list", "queue:none"],
        ["list", "--after", "1-1"],
        ["list", "queue:none", "--after", "x"],
        ["discard", "queue:none", "all"],
    ],
)
def test_an_unknown_queue_or_an_ambiguous_choice_is_an_error_that_names_it(
    server: local.Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: list[str]
) -> None:
    monkeypatch.setenv("LASTRO_REDIS_URL", server.url)
    with pytest.raises(SystemExit):
        main(["queue", "dead", *args])
    assert capsys.readouterr().err.startswith(
        ("No worker ever tended a queue 'queue:none'", "--after: of which queue", "--after: no id")
    )
