"""A consumer of an SQS queue: what it has in hand, with what settles each, and until when."""

import asyncio
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lastro.core.clock import now_ms
from lastro.core.queue import NotOffered
from lastro.core.queue.interruptible import unless
from lastro.core.queue.wire import BrokerAway, unpacked
from lastro.core.streams import Message, Turn
from lastro.core.streams.letters import DEAD, Reason

from .client import WAIT_SECONDS_MAX, Client

BATCH_MAX = 10
SUSPECT = 2  # deliveries without a word
ERROR_CHARS_MAX = 500


@dataclass(slots=True)
class _Held:
    receipt: str
    until: float
    """By our clock, from before we asked: SQS's own lease ends later."""
    body: str
    group: str | None


@dataclass(slots=True)
class Reader:
    """One consumer."""

    client: Client
    name: str
    lease_seconds: int
    held: dict[bytes, _Held] = field(default_factory=dict)
    _interrupted: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, count: int, *, block_seconds: float) -> list[Message]:
        """Ten at a time, for as long as there are as many; waits for the first by whole seconds."""
        self._interrupted.clear()
        messages: list[Message] = []
        while len(messages) < count:
            wanted = min(BATCH_MAX, count - len(messages))
            got = await self._received(wanted, 0 if messages else block_seconds)
            messages += got
            if len(got) < wanted:
                break
        return messages

    async def _received(self, count: int, block_seconds: float) -> list[Message]:
        until = time.monotonic() + self.lease_seconds
        seconds = int(min(block_seconds, WAIT_SECONDS_MAX))
        asked = self.client.receive(count, seconds, self.lease_seconds)
        raw = await unless(self._interrupted, asked)  # what was on its way comes again when its lease is over
        if raw == [] and not seconds:
            await asyncio.sleep(block_seconds)  # less than a second
        return [self._message(each, until) for each in raw or ()]

    def _message(self, raw: Any, until: float) -> Message:
        facts, id_ = raw["Attributes"], raw["MessageId"].encode()
        earlier, first_ms = 0, facts["SentTimestamp"]
        if again := raw.get("MessageAttributes", {}).get("again"):
            told, _, first_ms = again["StringValue"].partition(" ")
            earlier = int(told)
        self.held[id_] = _Held(raw["ReceiptHandle"], until, raw["Body"], facts.get("MessageGroupId"))
        received = int(facts["ApproximateReceiveCount"])
        suspect = received > SUSPECT
        return Message(id_, unpacked(raw["Body"]), earlier + received, int(first_ms), earlier, suspect)

    async def turn(self, count: int) -> Turn:
        """SQS itself moves what is due, and hands out anew what was not settled."""
        return Turn([], 0, float("inf"), unfinished=False)

    async def begin(self, message: Message) -> bool:
        """A suspect's lease starts now."""
        return not await self.renew([message])

    async def acknowledge(self, messages: Sequence[Message]) -> int:
        """Delete them, ten in a request."""
        mine = [(message.id, held) for message in messages if (held := self.held.get(message.id)) is not None]
        for at in range(0, len(mine), BATCH_MAX):
            chunk = mine[at : at + BATCH_MAX]
            entries = [{"Id": str(n), "ReceiptHandle": held.receipt} for n, (_, held) in enumerate(chunk)]
            told = await self.client.ask("delete_message_batch", Entries=entries)
            for each in told.get("Successful", ()):
                del self.held[chunk[int(each["Id"])][0]]
            for failed in told.get("Failed", ()):
                raise BrokerAway(reason=failed.get("Message", failed["Code"]))
        return len(mine)

    async def retry(self, message: Message, *, delay_seconds: float) -> bool:
        """A copy for later, then this one is deleted; a crash between leaves both."""
        if self.client.fifo:
            raise NotOffered(kind="sqs", what="retries, if its name ends in .fifo")
        if (held := self._ours(message)) is None:
            return False
        again = {"DataType": "String", "StringValue": f"{message.deliveries} {message.first_ms}"}
        delay = math.ceil(delay_seconds)
        await self.client.send(
            [{"MessageBody": held.body, "MessageAttributes": {"again": again}, "DelaySeconds": delay}]
        )
        return await self.acknowledge([message]) > 0

    async def bury(self, message: Message, *, reason: Reason, error: str, deliveries: int) -> bool:
        """Into the queue of the dead, then this one is deleted."""
        if (held := self._ours(message)) is None:
            return False
        about = {
            "reason": reason,
            "error": error[:ERROR_CHARS_MAX],
            "deliveries": deliveries,
            "first_ms": message.first_ms,
            "last_ms": now_ms(),
            "message_id": message.id.decode(),
        }
        entry: dict[str, Any] = {
            "MessageBody": held.body,
            "MessageAttributes": {"about": {"DataType": "String", "StringValue": json.dumps(about)}},
        }
        if held.group is not None:
            entry |= {"MessageGroupId": held.group, "MessageDeduplicationId": message.id.decode()}
        await self.client.send([entry], dead=True)
        DEAD.of(queue=self.client.queue, reason=reason).inc()
        return await self.acknowledge([message]) > 0

    async def renew(self, messages: Sequence[Message]) -> list[bytes]:
        """Hide them for as long again."""
        lost = []
        for message in messages:
            until = time.monotonic() + self.lease_seconds
            held = self._ours(message)
            if held is not None and await self.client.hide(held.receipt, self.lease_seconds):
                held.until = until
            else:
                lost.append(message.id)
        return lost

    async def release(self) -> int:
        """Show them to others."""
        mine = [held for held in self.held.values() if held.until > time.monotonic()]
        self.held.clear()
        return sum([await self.client.hide(held.receipt, 0) for held in mine])

    async def interrupt(self) -> None:
        """End the wait."""
        self._interrupted.set()

    async def aclose(self) -> None:
        """The queue has the connections."""

    def _ours(self, message: Message) -> _Held | None:
        held = self.held.get(message.id)
        return held if held is not None and held.until > time.monotonic() else None
