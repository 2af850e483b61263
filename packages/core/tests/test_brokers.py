"""The suite of queues on Kafka and SQS, and what happens when a broker goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from lastro.core.errors import Misconfigured
from lastro.core.queue import Backoff, Queue, open_queue
from lastro.core.queue.kafka import KafkaQueue
from lastro.core.queue.wire import BrokerAway, packed, unpacked
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.streams import Message
from lastro.core.testing import wait_for
from lastro.core.testing.brokers import Kafka, Sqs
from lastro.core.testing.queues import QueueCases
from lastro.core.worker import Run
from lastro.core.worker.consume import Worker

pytestmark = pytest.mark.anyio
strict = pytest.mark.parametrize("server", ["embedded"], indirect=True)


class TestKafkaQueue(QueueCases):
    @pytest.fixture
    def queue(self, kafka: Kafka) -> Queue:
        return open_queue(kafka.url())


class TestSqsQueue(QueueCases):
    told_when_due = False

    @pytest.fixture
    def queue(self, sqs: Sqs) -> Queue:
        return open_queue(sqs.url())


@pytest.mark.slow
class TestSqsFifoQueue(QueueCases):
    told_when_due = False
    told_the_id_again = False  # SQS passes the repeat over, and says an id of its own

    @pytest.fixture
    def queue(self, sqs: Sqs) -> Queue:
        return open_queue(sqs.url(".fifo"))


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("kafka://orders", "host:port,host:port/topic"),
        ("kafka://localhost:9092/orders?len_max=3", "len_max"),
        ("kafka://localhost:9092/orders?endpoint=x", "endpoint"),
        ("sqs://us-east-1", "region/name"),
        ("sqs://us-east-1/orders?group=g", "group"),
        ("sqs://us-east-1/orders?when_full=drop", "when_full"),
    ],
)
def test_what_a_broker_does_not_offer_is_refused_when_its_url_asks_for_it(url: str, names: str) -> None:
    with pytest.raises(Misconfigured, match=names):
        open_queue(url)


def test_a_message_is_json_that_any_program_reads_and_bytes_come_back_as_they_were() -> None:
    flat: list[bytes | str | int] = [b"name", "Jo\xe3o".encode(), b"bytes", b"\xff\x00", b"n", 7]
    assert packed(flat) == '{"name": "Jo\\u00e3o", "bytes": {"base64": "/wA="}, "n": "7"}'
    assert unpacked(packed(flat)) == {b"name": "Jo\xe3o".encode(), b"bytes": b"\xff\x00", b"n": b"7"}
    assert unpacked(b"[1]") == {b"body": b"[1]"}
    assert unpacked(b'{"amount": 3, "odd": {"base64": "?"}}') == {b"body": b'{"amount": 3, "odd": {"base64": "?"}}'}


@asynccontextmanager
async def working(hub: Hub, worker: Worker) -> AsyncIterator[None]:
    run = Run(hub=hub, settings=Settings(grace_seconds=2))
    task = asyncio.create_task(worker.run(run))
    try:
        yield
    finally:
        run.stopping.set()
        await task
        await worker.queue.aclose()


@strict
async def test_a_worker_on_kafka_tries_again_in_place_and_passes_over_what_is_hopeless(hub: Hub, kafka: Kafka) -> None:
    queue = open_queue(kafka.url())
    tries: dict[bytes, int] = {}

    async def handle(message: Message) -> None:
        body = message.fields[b"body"]
        tries[body] = tries.get(body, 0) + 1
        if body == b"bad" or (body == b"shaky" and tries[body] < 3):
            raise ValueError(body)

    worker = Worker.each(queue, handle, backoff=Backoff(0.01, attempts=4), lease_seconds=1.5, block_seconds=0.2)
    async with working(hub, worker):
        await queue.publish_many([{"body": body, "key": "k"} for body in ("good", "bad", "shaky", "last")])
        await wait_for(lambda: b"last" in tries, "the last message", 15)
        await wait_for(lambda: _empty(queue), "all to be committed", 15)
    assert tries == {b"good": 1, b"bad": 4, b"shaky": 3, b"last": 1}


@strict
async def test_a_worker_on_sqs_buries_what_is_hopeless_and_it_can_be_replayed(hub: Hub, sqs: Sqs) -> None:
    queue = open_queue(sqs.url())
    well = False

    async def handle(message: Message) -> None:
        if not well:
            raise ValueError(message.fields[b"body"])

    worker = Worker.each(queue, handle, backoff=Backoff(0.01, attempts=2), block_seconds=0.2)
    async with working(hub, worker):
        await queue.publish({"body": "bad"})
        (letter,) = await wait_for(queue.letters, "a dead letter", 15)
        assert (letter.reason, letter.deliveries) == ("failed", 2)
        well = True
        assert await queue.replay([letter.id]) == 1
        await wait_for(lambda: _empty(queue), "it to be done", 15)
        assert await queue.letters() == []


async def _empty(queue: Queue) -> bool:
    told = await queue.measure()
    return told.lag + told.pending + told.delayed == 0


async def away(kafka: Kafka, seconds: float) -> None:
    """Publish and consume through an outage: nothing is lost, and the order of each key stays."""
    queue = KafkaQueue(kafka.servers, open_queue(kafka.url()).name, timeout_seconds=min(2.0, seconds / 2))
    consumer = queue.consumer("one", lease_seconds=1.5)
    await consumer.turn(0)
    seen: dict[bytes, list[int]] = {}

    async def publish(numbers: range) -> None:
        while True:
            try:
                await queue.publish_many([{"n": n, "key": n % 3} for n in numbers])
            except BrokerAway:
                await asyncio.sleep(0.1)
            else:
                return

    async def consume() -> bool:
        try:
            found = await consumer.read(100, block_seconds=0.1)
            for message in found:
                mine = seen.setdefault(message.fields[b"key"], [])
                if int(message.fields[b"n"]) not in mine:  # idempotent, as everybody who reads here has to be
                    mine.append(int(message.fields[b"n"]))
            await consumer.acknowledge(found)
        except BrokerAway:
            pass
        return sum(map(len, seen.values())) == 60

    await publish(range(30))
    kafka.away()
    late = asyncio.create_task(publish(range(30, 60)))
    await asyncio.sleep(seconds)
    assert not late.done()
    kafka.back()
    await wait_for(consume, "all messages", 30)
    await late
    assert seen == {b"%d" % key: list(range(key, 60, 3)) for key in range(3)}
    await consumer.aclose()
    await queue.aclose()


async def test_kafka_away_for_seconds_loses_nothing_and_keeps_the_order_of_each_key(kafka: Kafka) -> None:
    await away(kafka, 3)


@pytest.mark.slow
async def test_kafka_away_for_a_minute_loses_nothing_and_keeps_the_order_of_each_key(kafka: Kafka) -> None:
    await away(kafka, 60)


async def test_when_a_member_leaves_a_group_others_get_what_it_had_not_acknowledged(kafka: Kafka) -> None:
    """Two members share a topic; one leaves with messages in hand, a third comes: none is lost."""
    queue = open_queue(kafka.url())
    one, other = (queue.consumer(name, lease_seconds=1.5) for name in ("one", "other"))
    await asyncio.gather(one.turn(0), other.turn(0))
    await queue.publish_many([{"n": n, "key": n} for n in range(80)])
    done: set[int] = set()

    async def work(consumer_name: str) -> bool:
        consumer = {"other": other, "third": third}[consumer_name]
        found = await consumer.read(10, block_seconds=0.05)
        done.update(int(message.fields[b"n"]) for message in found)
        await consumer.acknowledge(found)
        return len(done) == 80

    held = await wait_for(lambda: one.read(100, block_seconds=0.1), "messages")
    assert await one.acknowledge(held[:1]) == 1
    done.update(int(message.fields[b"n"]) for message in held[:1])
    assert await one.release() == len(held) - 1
    await one.aclose()
    third = queue.consumer("third", lease_seconds=1.5)
    await third.turn(0)

    async def both() -> bool:
        return await work("other") | await work("third")

    await wait_for(both, "all messages", 20)
    assert await other.renew(held) or await third.renew(held)  # what "one" had is not in one hand any more
    for consumer in (other, third):
        await consumer.aclose()
    assert (await queue.measure()).lag == 0
    await queue.aclose()


async def test_sqs_away_says_so_and_goes_on_when_it_is_back(sqs: Sqs) -> None:
    queue = open_queue(sqs.url())
    await queue.publish({"body": "before"})
    sqs.kill()
    with pytest.raises(BrokerAway):
        await queue.publish({"body": "while"})
    await queue.aclose()
    sqs.start()  # of moto, empty
    await queue.publish({"body": "after"})
    consumer = queue.consumer("one")
    assert [message.fields for message in await consumer.read(1, block_seconds=1)] == [{b"body": b"after"}]
    await queue.aclose()
