"""A queue on Amazon SQS: ``sqs://region/name?endpoint=…&key=…``; credentials as any program of Amazon's finds them.

A name that ends in ``.fifo`` is one of a FIFO queue: messages with the same value in their field ``key`` come in order,
one after the other, and an operation id is remembered for five minutes. Others come in no order, and may be put off,
for up to 15 minutes. Dead letters are a second queue, ``name-dead``, which is listed by receiving all of it. SQS knows
whole seconds, and no bound.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from lastro.core.keys import QUEUES
from lastro.core.queue import BLOCK_SECONDS, LEASE_SECONDS, PUBLISHED, Fields, NotOffered, Offers, Value, flattened
from lastro.core.queue.wire import key_of, packed, unpacked
from lastro.core.redis import Hub
from lastro.core.streams import Measure
from lastro.core.streams.letters import DeadLetter

from .client import Client
from .reader import Reader

BATCH_MAX = 10
BATCH_BYTES_MAX = 250_000  # of 262,144: attributes count, too
LOOK_SECONDS = 5  # that dead letters are away for others while they are listed
LOOK_MAX = 1_000
OFFERS = Offers(begun=False, once=False, bounded=False)
FIFO = Offers(begun=False, delayed=False, bounded=False, keyed=True)
COUNTS = tuple(f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed"))


@dataclass(slots=True)
class SqsQueue:
    """A queue and that of its dead letters; both are made when they are missing."""

    client: Client
    key: str = "key"
    hub: Hub | None = None

    @property
    def name(self) -> str:
        """The queue's."""
        return self.client.queue

    @property
    def offers(self) -> Offers:
        """By its kind."""
        return FIFO if self.client.fifo else OFFERS

    async def publish(self, fields: Fields, *, op_id: str | None = None, delay_seconds: float = 0) -> bytes | None:
        """Send one."""
        if op_id is not None and not self.offers.once:
            raise NotOffered(kind="sqs", what="publishing once, unless its name ends in .fifo")
        if delay_seconds and not self.offers.delayed:
            raise NotOffered(kind="sqs", what="publishing for later, if its name ends in .fifo")
        entry = self._entry(flattened(fields), op_id)
        if delay_seconds:
            entry["DelaySeconds"] = math.ceil(delay_seconds)
        return (await self._send([entry]))[0]

    async def publish_many(self, many: Sequence[Fields]) -> list[bytes]:
        """Ten in a request; of a FIFO queue never two of one key, since a part of a request may fail."""
        return await self._send([self._entry(flat) for flat in [flattened(fields) for fields in many]])

    def _entry(self, flat: Sequence[Value], op_id: str | None = None) -> dict[str, Any]:
        entry: dict[str, Any] = {"MessageBody": packed(flat)}
        if self.client.fifo:
            key = key_of(flat, self.key)
            entry["MessageGroupId"] = uuid4().hex if key is None else key.hex()[-128:]
            entry["MessageDeduplicationId"] = op_id or uuid4().hex
        return entry

    async def _send(self, entries: Sequence[dict[str, Any]]) -> list[bytes]:
        ids: list[bytes] = []
        for chunk in _chunks(entries):
            ids += await self.client.send(chunk)
        PUBLISHED.of(queue=self.name).inc(len(ids))
        return ids

    def consumer(
        self, name: str, *, lease_seconds: float = LEASE_SECONDS, block_seconds: float = BLOCK_SECONDS
    ) -> Reader:
        """A reader; its lease is the visibility timeout."""
        return Reader(self.client, name, max(1, math.ceil(lease_seconds)))

    async def tend(self, *, idle_seconds: float) -> None:
        """Note the queue's name."""
        if self.hub is not None:
            await self.hub.write.hset(QUEUES, self.name, f"{self.client.url}key={self.key}")

    async def measure(self) -> Measure:
        """About, as SQS says; the age of the oldest it does not say."""
        lag, pending, delayed = await self._counts(dead=False)
        return Measure(lag, pending, delayed, sum(await self._counts(dead=True)))

    async def _counts(self, *, dead: bool) -> list[int]:
        told = await self.client.ask("get_queue_attributes", dead=dead, AttributeNames=list(COUNTS))
        return [int(told["Attributes"][name]) for name in COUNTS]

    async def letters(self, *, count: int = 500, after: bytes = b"") -> list[DeadLetter]:
        """The oldest dead letters after that one, of the first 1,000; who lists at the same time sees fewer."""
        found = await self._dead()
        letters = sorted((letter for letter, _ in found), key=lambda letter: (letter.last_ms, letter.id))
        start = next((at + 1 for at, letter in enumerate(letters) if letter.id == after), 0)
        await self._let_go([receipt for _, receipt in found])
        return letters[start : start + count]

    async def letter(self, id_: bytes) -> DeadLetter | None:
        """One dead letter of the first 1,000, or None."""
        found = await self._dead()
        await self._let_go([receipt for _, receipt in found])
        return next((letter for letter, _ in found if letter.id == id_), None)

    async def replay(self, ids: Sequence[bytes]) -> int:
        """Send them anew, then delete them here; a crash between leaves both."""
        return await self._settle(ids, again=True)

    async def discard(self, ids: Sequence[bytes]) -> int:
        """Delete them."""
        return await self._settle(ids, again=False)

    async def _settle(self, ids: Sequence[bytes], *, again: bool) -> int:
        found = await self._dead()
        chosen = [(letter, receipt) for letter, receipt in found if letter.id in set(ids)]
        if again and chosen:
            await self.publish_many([letter.fields for letter, _ in chosen])
        for _, receipt in chosen:
            await self.client.ask("delete_message", dead=True, ReceiptHandle=receipt)
        await self._let_go([receipt for letter, receipt in found if letter.id not in set(ids)])
        return len(chosen)

    async def _dead(self) -> list[tuple[DeadLetter, str]]:
        """All dead letters, with what settles each; for LOOK_SECONDS nobody else gets them."""
        found: list[tuple[DeadLetter, str]] = []
        while len(found) < LOOK_MAX and (page := await self.client.receive(BATCH_MAX, 0, LOOK_SECONDS, dead=True)):
            for raw in page:
                about = json.loads(raw["MessageAttributes"]["about"]["StringValue"])
                about["message_id"] = about["message_id"].encode()
                letter = DeadLetter(raw["MessageId"].encode(), fields=unpacked(raw["Body"]), **about)
                found.append((letter, raw["ReceiptHandle"]))
        return found

    async def _let_go(self, receipts: Sequence[str]) -> None:
        for receipt in receipts:
            await self.client.hide(receipt, 0, dead=True)

    async def aclose(self) -> None:
        """Close the connection."""
        await self.client.aclose()


def _chunks(entries: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    size, groups = 0, set[str]()
    for entry in entries:
        own, group = len(entry["MessageBody"]), entry.get("MessageGroupId")
        if chunk and (len(chunk) == BATCH_MAX or size + own > BATCH_BYTES_MAX or group in groups):
            yield chunk
            chunk, size, groups = [], 0, set()
        chunk.append(entry)
        size += own
        if group is not None:
            groups.add(group)
    if chunk:
        yield chunk
