"""Lua files as typed functions: the loader as a compiler, the call as a promise."""

import asyncio
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from lastro.core.errors import Fault
from lastro.core.redis import Hub
from lastro.core.scripts import BadScript, Batch, load

pytestmark = pytest.mark.anyio

COUNT = """-- Add to a counter.
--   KEYS[1] counter   string
--   ARGV[1] step
--   returns the sum
redis.call("INCRBY", KEYS[1], ARGV[1])
redis.call("EXPIRE", KEYS[1], 60)
return redis.call("GET", KEYS[1])
"""
COUNT_STUB = "async def count(redis: Client, *, counter: Key, step: int) -> int: ..."
WORD = """-- Answer with the word that was sent.
--   KEYS[1] first
--   KEYS[2..] others
--   ARGV[1] word
--   ARGV[2..] rest
--   returns the word
return ARGV[1]
"""
WORD_STUB = (
    "async def word(redis: Client, *, first: Key, others: Sequence[Key], word: str, rest: Sequence[str])"
    ' -> Literal["yes", "no"]: ...'
)
HEAD = """from collections.abc import Sequence
from typing import Literal
from lastro.core.keys import Key
from lastro.core.redis.clients import Client
from lastro.core.scripts import script
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable folder for scripts, of its own name in each test."""
    folder = tmp_path / f"scripts_{uuid4().hex}"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def bind(package: Path, lua: str, stub: str) -> Any:
    """Write a script and its stub, import them, and give the bound script."""
    name = stub.split("(", 1)[0].rsplit(" ", 1)[1]
    (package / f"{name}.lua").write_text(lua)
    (package / "__init__.py").write_text(f"{HEAD}@script\n{stub}\n")
    sys.modules.pop(package.name, None)
    return getattr(import_module(package.name), name)


async def test_a_script_is_called_by_its_names(hub: Hub, package: Path) -> None:
    count = bind(package, COUNT, COUNT_STUB)
    assert await count(hub.write, counter="c", step=2) == b"2"
    assert await count(hub.write, counter="c", step=3) == b"5"


async def test_an_outcome_is_decoded_and_one_that_the_stub_does_not_know_is_a_bug(hub: Hub, package: Path) -> None:
    word = bind(package, WORD, WORD_STUB)
    assert await word(hub.write, first="{a}", others=["{a}b", "{a}c"], word="yes", rest=["x"]) == "yes"
    with pytest.raises(AssertionError, match="perhaps"):
        await word(hub.write, first="{a}", others=[], word="perhaps", rest=[])


@pytest.mark.parametrize(
    ("lua", "says"),
    [
        (COUNT.replace("ARGV[1] step", "ARGV[1] amount"), "ARGV"),
        (COUNT.replace("KEYS[1] counter", "KEYS[1] total"), "KEYS"),
        (COUNT.replace("--   ARGV[1] step\n", ""), "ARGV"),
        (COUNT.replace("ARGV[1] step", "ARGV[2] step"), "numbers"),
    ],
)
def test_a_header_that_disagrees_with_its_stub_is_refused_by_name(package: Path, lua: str, says: str) -> None:
    with pytest.raises(BadScript, match=says) as refused:
        bind(package, lua, COUNT_STUB)
    assert package.name in str(refused.value)


def test_a_stub_without_its_file_is_refused_with_the_file_name(package: Path) -> None:
    (package / "__init__.py").write_text(f"{HEAD}@script\n{COUNT_STUB}\n")
    with pytest.raises(BadScript, match=r"count\.lua"):
        import_module(package.name)


def test_includes_are_spliced_once_and_a_missing_or_circular_one_names_the_chain(package: Path) -> None:
    parts = package / "parts"
    parts.mkdir()
    (parts / "a.lua").write_text('-- @include "parts/b.lua"\nlocal function a() return b() end')
    (parts / "b.lua").write_text("local function b() return 1 end")
    both = '-- @include "parts/a.lua"\n-- @include "parts/b.lua"\n'
    (package / "good.lua").write_text(both + "return a()")
    source = load(package.name, "good")
    assert source.text.count("local function b()") == 1
    assert source.located("user_script:3: x") == "parts/a.lua:2: x"
    (parts / "b.lua").write_text('-- @include "parts/a.lua"')
    with pytest.raises(BadScript, match=r"good\.lua → parts/a\.lua → parts/b\.lua → parts/a\.lua"):
        load(package.name, "good")
    (parts / "b.lua").unlink()
    with pytest.raises(BadScript, match=r"no such file: good\.lua → parts/a\.lua → parts/b\.lua"):
        load(package.name, "good")


async def test_an_error_points_at_the_lua_file_and_line(hub: Hub, package: Path) -> None:
    broken = bind(package, COUNT.replace('return redis.call("GET", KEYS[1])', 'error("here")'), COUNT_STUB)
    with pytest.raises(Fault, match=r"count\.lua:7: here"):
        await broken(hub.write, counter="c", step=1)
    with pytest.raises(Fault, match=r"count\.lua:7: here"):
        await Batch(hub).submit(broken, counter="c", step=1)


async def test_a_script_that_leaves_its_slot_is_refused_in_cluster_mode(hub: Hub, package: Path) -> None:
    stray = bind(package, COUNT.replace('"GET", KEYS[1]', '"GET", "elsewhere"'), COUNT_STUB)
    if hub.capabilities.cluster:
        with pytest.raises(Fault, match="slot"):
            await stray(hub.write, counter="c", step=1)
    else:
        assert await stray(hub.write, counter="c", step=1) is None


async def test_a_flushed_script_comes_back_without_anybody_noticing(hub: Hub, package: Path) -> None:
    count = bind(package, COUNT, COUNT_STUB)
    for expected in (b"1", b"2", b"3"):
        await hub.write.execute_command("SCRIPT FLUSH")
        assert await count(hub.write, counter="c", step=1) == expected


async def test_in_a_batch_only_the_calls_that_failed_are_sent_again(hub: Hub, package: Path) -> None:
    """Of a flushed script's calls none was executed, of the others each was, and each counts once."""
    count = bind(package, COUNT, COUNT_STUB)
    batch = Batch(hub)
    for _ in range(5):
        await hub.write.execute_command("SCRIPT FLUSH")
        await asyncio.gather(*(batch.submit(count, counter="c", step=1) for _ in range(300)))
    assert await hub.read.get("c") == b"1500"


async def test_one_refused_call_of_a_batch_does_not_touch_the_others(hub: Hub, package: Path) -> None:
    count = bind(package, COUNT, COUNT_STUB)
    await hub.write.set("wrong", "text", ex=60)
    batch = Batch(hub)
    answers = await asyncio.gather(
        *(batch.submit(count, counter=name, step=1) for name in ("a", "wrong", "b")), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [bytes, Fault, bytes]


async def test_an_answer_that_the_stub_does_not_know_is_its_own_callers_and_the_batch_goes_on(
    hub: Hub, package: Path
) -> None:
    word = bind(package, WORD, WORD_STUB)
    batch = Batch(hub)
    sent = [batch.submit(word, first="{a}", others=[], word=text, rest=[]) for text in ("yes", "perhaps", "no")]
    answers = await asyncio.gather(*sent, return_exceptions=True)
    assert [type(answer) for answer in answers] == [str, AssertionError, str]
    assert await batch.submit(word, first="{a}", others=[], word="no", rest=[]) == "no"


async def test_a_caller_that_leaves_does_not_disturb_its_batch(hub: Hub, package: Path) -> None:
    count = bind(package, COUNT, COUNT_STUB)
    batch = Batch(hub)
    futures = [batch.submit(count, counter="c", step=1) for _ in range(10)]
    futures[3].cancel()
    await asyncio.gather(*futures, return_exceptions=True)
    await batch.aclose()
    assert await hub.read.get("c") == b"10"


def test_on_a_6_2_server_the_first_line_is_a_comment_and_the_lines_keep_their_numbers(package: Path) -> None:
    count = bind(package, COUNT.replace("--   returns", "--   flags  allow-oom\n--   returns"), COUNT_STUB)
    assert count.source.text.splitlines()[0] == "#!lua flags=allow-oom"
    assert count.source.text_6.splitlines()[0] == "--"
    assert count.source.text.splitlines()[1:] == count.source.text_6.splitlines()[1:]
    assert count.source.sha != count.source.sha_6


def test_only_the_last_parameter_of_its_kind_takes_the_rest(package: Path) -> None:
    stub = "async def word(redis: Client, *, others: Sequence[Key], first: Key) -> int: ..."
    lua = "-- Say.\n--   KEYS[1..] others\n--   KEYS[2] first\n--   returns 1\nreturn 1"
    with pytest.raises(BadScript, match="only the last"):
        bind(package, lua, stub)
