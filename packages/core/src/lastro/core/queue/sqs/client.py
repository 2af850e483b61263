"""Requests to SQS, one connection pool, and its errors as ours."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from lastro.core.errors import Invalid
from lastro.core.queue.wire import BrokerAway

WAIT_SECONDS_MAX = 20
TIMEOUT_SECONDS = 10.0
FIFO = ".fifo"
FAULTS = {"InvalidMessageContents", "InvalidParameterValue", "BatchRequestTooLong"}
GONE = {"ReceiptHandleIsInvalid", "MessageNotInflight"}


class Gone(BrokerAway):
    """The message is not in flight any more: {reason}."""

    code = "queue.gone"


@dataclass(slots=True)
class Client:
    """A queue and that of its dead letters."""

    region: str
    queue: str
    endpoint: str | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _client: Any = None
    _urls: tuple[str, str] = ("", "")
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def fifo(self) -> bool:
        """In order, and once."""
        return self.queue.endswith(FIFO)

    @property
    def url(self) -> str:
        """What opens it again; options may follow."""
        endpoint = f"{urlencode({'endpoint': self.endpoint})}&" if self.endpoint else ""
        return f"sqs://{self.region}/{self.queue}?{endpoint}"

    async def ask(self, act: str, *, dead: bool = False, **arguments: Any) -> Any:
        """One request. Raises BrokerAway; Invalid when the message is at fault, Gone when it is not in flight."""
        try:
            client = await self._opened()
            return await getattr(client, act)(QueueUrl=self._urls[dead], **arguments)
        except ClientError as error:
            code, reason = error.response["Error"].get("Code", "").rpartition(".")[2], str(error)
            if code in FAULTS:
                raise Invalid(field="fields", reason=reason) from error
            raise (Gone if code in GONE else BrokerAway)(reason=reason) from error
        except (BotoCoreError, OSError) as error:
            raise BrokerAway(reason=str(error)) from error

    async def send(self, entries: list[dict[str, Any]], *, dead: bool = False) -> list[bytes]:
        """A batch; the ids in its order."""
        numbered = [entry | {"Id": str(at)} for at, entry in enumerate(entries)]
        told = await self.ask("send_message_batch", dead=dead, Entries=numbered)
        for failed in told.get("Failed", ()):
            reason = failed.get("Message", failed["Code"])
            raise Invalid(field="fields", reason=reason) if failed["SenderFault"] else BrokerAway(reason=reason)
        return [each["MessageId"].encode() for each in sorted(told["Successful"], key=lambda each: int(each["Id"]))]

    async def receive(self, count: int, wait_seconds: int, lease_seconds: int, *, dead: bool = False) -> list[Any]:
        """Up to ten."""
        told = await self.ask(
            "receive_message", dead=dead, MaxNumberOfMessages=count, WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=lease_seconds, MessageAttributeNames=["All"],
            AttributeNames=["ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"],
        )  # fmt: skip
        return list(told.get("Messages", ()))

    async def hide(self, receipt: str, seconds: int, *, dead: bool = False) -> bool:
        """From others, for so long from now on; False when it is not in our hands."""
        try:
            await self.ask("change_message_visibility", dead=dead, ReceiptHandle=receipt, VisibilityTimeout=seconds)
        except Gone:
            return False
        return True

    async def _opened(self) -> Any:
        async with self._opening:
            if self._client is None:
                config = AioConfig(
                    connect_timeout=TIMEOUT_SECONDS,
                    read_timeout=TIMEOUT_SECONDS + WAIT_SECONDS_MAX,
                    retries={"max_attempts": 0},  # whoever calls repeats, and knows what that means
                )
                made = get_session().create_client(
                    "sqs", region_name=self.region, endpoint_url=self.endpoint, config=config
                )
                async with AsyncExitStack() as opening:
                    client: Any = await opening.enter_async_context(made)
                    base, kind = self.queue.removesuffix(FIFO), FIFO if self.fifo else ""
                    attributes = {"FifoQueue": "true"} if kind else {}
                    names = (self.queue, f"{base}-dead{kind}")
                    told = [await client.create_queue(QueueName=name, Attributes=attributes) for name in names]
                    self._stack = opening.pop_all()
                self._urls = told[0]["QueueUrl"], told[1]["QueueUrl"]
                self._client = client
            return self._client

    async def aclose(self) -> None:
        """Close the connections."""
        self._client = None
        await self._stack.aclose()
