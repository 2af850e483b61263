"""A cluster of real servers: redirects are followed where that is safe, and copies are waited for."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lastro.core.errors import Busy, Fault, OutcomeUnknown, Unreachable
from lastro.core.keys import slot
from lastro.core.redis import Hub, connect_url
from lastro.core.redis.clients import ClusterClient
from lastro.core.redis.copies import Copies
from lastro.core.redis.slots import AGAIN_SECONDS, NoSuchServer, move_slot
from lastro.core.testing import wait_for
from lastro.core.testing.topologies import Cluster, cluster

pytestmark = pytest.mark.anyio
KEY = "{k}:n"
COUNT = ("EVAL", "return redis.call('INCR', KEYS[1])", 1, KEY)
"""Repeated, it would count on from nothing wherever the key is not."""
ASK = ("EVAL", "return redis.call('GET', KEYS[1])", 1, KEY)
BACK_SECONDS = 30.0  # an election that nobody wins is held again after four


@pytest.fixture(scope="module", params=["valkey", pytest.param("redis", marks=pytest.mark.needs("redis-server"))])
def topology(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Of both makes: they move slots in different ways."""
    with cluster(binary=Path("/usr/bin/redis-server") if request.param == "redis" else None) as running:
        yield running


async def fresh(hub: Hub) -> ClusterClient:
    assert isinstance(hub.write, ClusterClient)
    await hub.write.delete(KEY)
    return hub.write


def others(topology: Cluster, place: str) -> list[str]:
    return [node.name for node in topology.nodes[:3] if node.name != place]


async def test_a_line_and_a_client_follow_a_slot_that_moved(topology: Cluster) -> None:
    async with await connect_url(topology.url) as hub, await connect_url(topology.url) as mover:
        client = await fresh(hub)
        assert await hub.line(hub.place(KEY)).send([COUNT]) == [1]
        place = others(topology, hub.place(KEY))[0]
        assert await move_slot(await fresh_client(mover), slot(KEY), place) is not None
        assert await move_slot(await fresh_client(mover), slot(KEY), place) is None
        assert await client.execute_command(*COUNT) == 2
        assert hub.place(KEY) == place
        assert await hub.line(hub.place(KEY)).send([COUNT]) == [3]
        with pytest.raises(NoSuchServer):
            await move_slot(client, slot(KEY), "127.0.0.1:1")


async def fresh_client(hub: Hub) -> ClusterClient:
    assert isinstance(hub.write, ClusterClient)
    return hub.write


async def test_no_script_runs_on_a_slot_that_is_between_two_servers(topology: Cluster) -> None:
    """On the server that gets it a key not yet there looks like one that never was."""
    async with await connect_url(topology.url) as hub:
        client = await fresh(hub)
        home, away = hub.place(KEY), others(topology, hub.place(KEY))[0]
        source, target = client.get_node(node_name=home), client.get_node(node_name=away)
        ids = [(await client.execute_command("CLUSTER MYID", target_nodes=node)).decode() for node in (source, target)]
        await client.execute_command("CLUSTER SETSLOT", slot(KEY), "IMPORTING", ids[0], target_nodes=target)
        await client.execute_command("CLUSTER SETSLOT", slot(KEY), "MIGRATING", ids[1], target_nodes=source)
        with pytest.raises(Unreachable):
            await client.execute_command(*COUNT)
        (reply,) = await hub.line(home).send([COUNT])
        assert str(reply).startswith(f"{slot(KEY)} ")
        assert isinstance(reply, Exception)
        for node in (source, target):
            await client.execute_command("CLUSTER SETSLOT", slot(KEY), "STABLE", target_nodes=node)
        assert await client.execute_command(*COUNT) == 1


async def test_redirects_end_no_command_of_another_caller(topology: Cluster) -> None:
    """However many: whoever waits at a server goes on waiting."""
    async with await connect_url(topology.url, timeout_seconds=60) as hub, await connect_url(topology.url) as mover:
        client = await fresh(hub)
        waiting = asyncio.create_task(client.execute_command("BLPOP", "waited", 50))
        for _ in range(6):
            await move_slot(await fresh_client(mover), slot(KEY), others(topology, mover.place(KEY))[0])
            await client.exists(KEY)
        await mover.write.rpush("waited", "come")
        assert await waiting == (b"waited", b"come")


async def test_a_move_whose_connections_are_lost_goes_on(topology: Cluster) -> None:
    async with await connect_url(topology.url) as hub:
        client, begun = by_key(await fresh(hub)), time.monotonic()
        names = [f"{KEY}:{number}" for number in range(2_000)]
        await client.mset(dict.fromkeys(names, "x" * 20_000))
        source, away = topology.owner(slot(KEY)), others(topology, hub.place(KEY))[0]
        target = next(node for node in topology.nodes if node.name == away)
        moving = asyncio.create_task(move_slot(client, slot(KEY), away))
        await wait_for(lambda: target.ask("CLUSTER", "COUNTKEYSINSLOT", slot(KEY)), "the first keys")
        source.ask("CLIENT", "KILL", "TYPE", "normal")
        assert await moving == "by key"
        assert time.monotonic() - begun > AGAIN_SECONDS, "it was not interrupted"
        assert hub.place(KEY) == away
        assert await client.delete(*names) == len(names)


async def test_a_key_at_both_servers_is_taken_from_the_one_that_says_it_moves_it(topology: Cluster) -> None:
    """A MIGRATE whose answer was lost leaves that. If nobody says so, both may have been used: that is for people."""
    async with await connect_url(topology.url) as hub:
        client = by_key(await fresh(hub))
        assert await client.execute_command(*COUNT) == 1
        home, away = hub.place(KEY), others(topology, hub.place(KEY))[0]
        source, target = client.get_node(node_name=home), client.get_node(node_name=away)
        assert target is not None
        ids = [(await client.execute_command("CLUSTER MYID", target_nodes=node)).decode() for node in (source, target)]

        async def say(*states: tuple[str, ...]) -> None:
            for node, state in zip((target, source), states, strict=True):
                await client.execute_command("CLUSTER SETSLOT", slot(KEY), *state, target_nodes=node)

        await say(("IMPORTING", ids[0]), ("MIGRATING", ids[1]))
        copied = ("MIGRATE", target.host, target.port, KEY, 0, 1_000, "COPY")
        await client.execute_command(*copied, target_nodes=source)
        assert await client.execute_command(*COUNT) == 2
        await say(("STABLE",), ("STABLE",))
        with pytest.raises(Fault, match="too"):
            await move_slot(client, slot(KEY), away)
        await say(("IMPORTING", ids[0]), ("MIGRATING", ids[1]))
        assert await move_slot(client, slot(KEY), away) == "by key"
        assert await client.execute_command(*COUNT) == 3
        assert hub.place(KEY) == away


async def test_who_was_not_told_that_a_slot_has_arrived_is_told_by_the_next_call(topology: Cluster) -> None:
    """A server that believes it still moves it would refuse every script, once the slot is back."""
    async with await connect_url(topology.url) as hub:
        client = by_key(await fresh(hub))
        home, away = hub.place(KEY), others(topology, hub.place(KEY))[0]
        source, target = client.get_node(node_name=home), client.get_node(node_name=away)
        ids = [(await client.execute_command("CLUSTER MYID", target_nodes=node)).decode() for node in (source, target)]
        assert target is not None
        assert await client.execute_command(*COUNT) == 1
        for node, *state in ((target, "IMPORTING", ids[0]), (source, "MIGRATING", ids[1])):
            await client.execute_command("CLUSTER SETSLOT", slot(KEY), *state, target_nodes=node)
        await client.execute_command("MIGRATE", target.host, target.port, KEY, 0, 1_000, target_nodes=source)
        await client.execute_command("CLUSTER SETSLOT", slot(KEY), "NODE", ids[1], target_nodes=target)
        await wait_for(lambda: topology.owner(slot(KEY)).name == away, "the others' knowledge", BACK_SECONDS)
        assert await move_slot(client, slot(KEY), away) is None
        assert await move_slot(client, slot(KEY), home) == "by key"
        assert await client.execute_command(*COUNT[:-1], f"{KEY}:new") == 1
        await client.delete(f"{KEY}:new")


def by_key(client: ClusterClient) -> ClusterClient:
    """It moves slots as it does on servers that cannot move them as a whole."""
    client.capabilities = replace(client.capabilities, name="redis")
    return client


async def test_without_its_copies_an_act_is_of_unknown_outcome_and_so_is_its_repeat(topology: Cluster) -> None:
    """Also over another connection, which wrote nothing itself; and when the copies are back, all is well."""
    async with (
        await connect_url(topology.url, copies=Copies(1, 10_000)) as patient,
        await connect_url(topology.url, copies=Copies(1, 200)) as hub,
        await connect_url(topology.url, copies=Copies(1, 200)) as second,
    ):
        client = await fresh(patient)
        assert await client.execute_command(*COUNT) == 1
        assert await patient.line(patient.place(KEY)).send([("GET", KEY), COUNT, COUNT]) == [b"1", 2, 3]
        owner = topology.owner(slot(KEY))
        copy = next(
            node for node in topology.nodes if node.ask("ROLE")[2] == owner.port and node.ask("ROLE")[0] == b"slave"
        )
        copy.stop()
        try:
            for act in (hub.write.execute_command(*COUNT), hub.line(hub.place(KEY)).send([COUNT])):
                with pytest.raises(OutcomeUnknown):
                    await act
            with pytest.raises(OutcomeUnknown):
                await second.write.execute_command(*ASK)
            with pytest.raises(OutcomeUnknown):
                await second.copied(KEY)
        finally:
            copy.go_on()
        await wait_for(lambda: asked(second), "the copy", BACK_SECONDS)
        await patient.copied(KEY)


async def asked(hub: Hub) -> int | None:
    try:
        return int(await hub.write.execute_command(*ASK))
    except Busy:
        return None


async def test_a_line_finds_the_server_that_took_over_although_no_command_was_redirected(topology: Cluster) -> None:
    async with await connect_url(topology.url, timeout_seconds=1.0) as hub:
        await fresh(hub)
        dead = topology.owner(slot(KEY))

        async def counted() -> bool:
            try:
                replies = await hub.line(hub.place(KEY)).send([COUNT])
            except Busy:
                return False
            return isinstance(replies[0], int)

        with topology.impatient():
            dead.kill()
            await wait_for(counted, "the other server", BACK_SECONDS)
        dead.start()
