"""The one way to connect: nothing is repeated behind our back, every failure is told for what it is."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import ResponseError

from lastro.core import local
from lastro.core.errors import Fault, LastroError, Misconfigured, OutcomeUnknown, Unreachable
from lastro.core.redis import Hub, connect_url
from lastro.core.redis.connections import RECONNECTS
from lastro.core.testing import start_server, wait_for

pytestmark = pytest.mark.anyio


@pytest.fixture
def own_server() -> Iterator[local.Server]:
    """A server that the test may kill."""
    with TemporaryDirectory(prefix="lastro-") as folder:
        running = start_server(Path(folder), durability="always")
        yield running
        local.down(Path(folder))
        if running.process is not None:
            running.process.wait()


@pytest.mark.parametrize(
    "url", ["", "localhost", "http://h:1", "redis://h:port/0", "redis+sentinel://h:26379", "redis+sentinel://h:x/s"]
)
async def test_a_malformed_url_is_refused_by_the_name_of_its_setting(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"^LASTRO_REDIS_URL: "):
        await connect_url(url)


async def test_a_password_in_a_url_is_not_shown_in_its_error() -> None:
    with pytest.raises(LastroError) as refused:
        await connect_url("redis://u:hunter2@127.0.0.1:1/0")
    assert "hunter2" not in str(refused.value)


async def test_nobody_there_is_unreachable_and_nothing_was_changed() -> None:
    with pytest.raises(Unreachable):
        await connect_url("redis://127.0.0.1:1/0")


async def test_two_word_commands_are_split_as_the_server_wants_them(hub: Hub) -> None:
    assert await hub.write.config_get("appendonly") == {"appendonly": "no"}
    await hub.write.xgroup_create("s", "g", mkstream=True)
    await hub.write.expire("s", 60)


async def test_a_line_answers_in_order_with_each_refusal_in_its_place(hub: Hub) -> None:
    line = hub.line(hub.place("k"))
    replies = await line.send([("SET", "k", b"\x00\xff", "EX", 60), ("INCR", "k"), ("GET", "k"), ("NOSUCH",)])
    assert (replies[0], replies[2]) == (b"OK", b"\x00\xff")
    assert isinstance(replies[1], ResponseError)
    assert isinstance(replies[3], ResponseError)


async def test_lines_of_many_tasks_do_not_mix_their_answers(hub: Hub) -> None:
    line = hub.line(hub.place("k"))
    answers = await asyncio.gather(*(line.send([("ECHO", f"{n}")] * 3) for n in range(50)))
    assert answers == [[f"{n}".encode()] * 3 for n in range(50)]


async def test_a_cancelled_batch_leaves_no_answer_for_the_next_one(hub: Hub) -> None:
    line = hub.line(hub.place("k"))
    waiting = asyncio.create_task(line.send([("BLPOP", "k", 5)]))
    await wait_for(lambda: hub.read.info("clients"), "the server")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await line.send([("ECHO", "mine")]) == [b"mine"]


async def test_after_a_restart_of_the_server_clients_and_lines_go_on(own_server: local.Server) -> None:
    async with await connect_url(own_server.url) as hub:
        await hub.write.set("k", 1)
        await hub.line().send([("INCR", "k")])
        reconnects = RECONNECTS.of()._value.get()
        own_server.kill()
        with pytest.raises((Unreachable, OutcomeUnknown)):
            await hub.write.incr("k")
        with pytest.raises((Unreachable, OutcomeUnknown)):
            await hub.line().send([("INCR", "k")])
        again = start_server(own_server.folder, durability="always")
        assert await hub.write.incr("k") == 3
        assert await hub.line().send([("INCR", "k")]) == [4]
        assert RECONNECTS.of()._value.get() == reconnects + 2
    again.stop()


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_a_connection_counts_as_lost_when_it_was_and_not_when_it_is_new(server: local.Server) -> None:
    async with await connect_url(server.url) as hub:
        before = RECONNECTS.of()._value.get()
        await asyncio.gather(*(hub.write.ping() for _ in range(10)))
        await hub.line().send([("PING",)])
        assert RECONNECTS.of()._value.get() == before
        own = await hub.write.client_id()
        with suppress(Unreachable, OutcomeUnknown):
            await hub.line().send([("CLIENT", "KILL", "ID", own, "SKIPME", "no")])
        await wait_for(partial(_answers, hub), "the connection's end")
        await asyncio.gather(*(hub.write.ping() for _ in range(10)))
        assert RECONNECTS.of()._value.get() == before + 1


async def _answers(hub: Hub) -> bool:
    try:
        return bool(await hub.write.ping())
    except (Unreachable, OutcomeUnknown):
        return False


@pytest.mark.parametrize("server", ["embedded"], indirect=True)
async def test_once_a_hub_is_closed_nothing_opens_a_connection_any_more(server: local.Server) -> None:
    """Whatever is under way then: nobody would close it."""
    hub = await connect_url(server.url)
    clients = (hub.write, hub.read, hub.blocking(1))
    late = [asyncio.create_task(client.execute_command("PING")) for client in clients for _ in range(3)]
    for _ in range(3):  # some are connecting, some have not begun
        await asyncio.sleep(0)
    await hub.aclose()
    told = await asyncio.gather(*late, return_exceptions=True)
    assert all(isinstance(answer, (Unreachable, OutcomeUnknown, bool)) for answer in told), told
    for client in clients:
        with pytest.raises(Unreachable):
            await client.execute_command("PING")


async def test_a_hash_is_read_whole_or_not_at_all_when_the_server_restarts_meanwhile(own_server: local.Server) -> None:
    fields = {str(n).encode(): b"x" * 80 for n in range(5_000)}
    async with await connect_url(own_server.url) as hub:
        await hub.write.hset("h", mapping=fields)  # type: ignore[arg-type]  # theirs wants text
        pages = [page async for page in hub.hash_pages("h", 500)]
        assert len(pages) > 5
        assert {name: value for page in pages for name, value in page.items()} == fields
        half = hub.hash_pages("h", 500)
        await anext(half)
        own_server.kill()
        again = start_server(own_server.folder, durability="always")
        with pytest.raises((Unreachable, OutcomeUnknown)):
            await anext(half)
        await hub.write.set("text", 1)
        with pytest.raises(Fault):
            await anext(hub.hash_pages("text", 500))
    again.stop()


async def test_a_command_that_is_not_answered_in_time_is_of_unknown_outcome(own_server: local.Server) -> None:
    async with await connect_url(own_server.url, timeout_seconds=0.5) as hub:
        await hub.line().send([("PING",)])
        await hub.write.execute_command("CLIENT PAUSE", 60_000, "WRITE")
        told = await asyncio.gather(hub.write.incr("k"), hub.line().send([("INCR", "k")]), return_exceptions=True)
        assert [type(answer) for answer in told] == [OutcomeUnknown, OutcomeUnknown]


async def test_a_wrong_command_is_a_fault_and_not_repeated(hub: Hub) -> None:
    await hub.write.set("text", "x", ex=60)
    with pytest.raises(Fault, match="WRONGTYPE"):
        await hub.write.lpush("text", "y")


async def test_a_full_server_refuses_and_says_so(own_server: local.Server) -> None:
    async with await connect_url(own_server.url) as hub:
        await hub.write.config_set("maxmemory", 1)
        with pytest.raises(Unreachable, match=r"OOM|maxmemory"):
            await hub.write.set("k", "x")


async def test_a_cluster_is_reached_by_its_own_scheme() -> None:
    with TemporaryDirectory(prefix="lastro-") as folder:
        server = start_server(Path(folder), "cluster")
        async with await connect_url(server.url) as local_hub:
            port = (await local_hub.read.config_get("port"))["port"]
        async with await connect_url(f"redis+cluster://127.0.0.1:{port}") as hub:
            assert hub.capabilities.cluster
            await hub.write.set("{a}k", "1", ex=60)
            assert await hub.line(hub.place("{a}k")).send([("INCR", "{a}k")]) == [2]
            assert isinstance(hub.write.get_node_from_key("{a}k"), ClusterNode)  # type: ignore[union-attr]  # a cluster
        server.stop()
