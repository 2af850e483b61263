"""What a handler's failure means for its message."""

import asyncio
from pathlib import Path
from random import uniform

import msgspec

from lastro.core.clock import now_ms
from lastro.core.errors import Busy, Invalid
from lastro.core.queue import Backoff
from lastro.core.streams import Message
from lastro.core.streams.letters import Reason


def later(message: Message, error: Exception, backoff: Backoff) -> tuple[float, Message | None]:
    """After how many seconds it is tried again, and as what; None when never. What is Busy is not counted."""
    if isinstance(error, Busy):
        waited = max(backoff.base_seconds, (now_ms() - _since_ms(message)) / 1000)
        uncounted = msgspec.structs.replace(message, deliveries=message.deliveries - 1)
        return uniform(0, min(backoff.cap_seconds, waited)), uncounted
    if isinstance(error, Invalid) or message.deliveries >= backoff.attempts:
        return 0, None
    return backoff.seconds(message.deliveries), message


def reason(error: Exception) -> Reason:
    """Why it is given up."""
    if isinstance(error, Invalid):
        return "invalid"
    return "timeout" if isinstance(error, TimeoutError) else "failed"


def told(error: Exception) -> str:
    """``ValueError: no amount [worker.py:31]``: what and where; equal places are equal words."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f" [{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}]" if last else ""
    return f"{type(error).__name__}: {error}{where}"


def _since_ms(message: Message) -> int:
    if message.first_ms:
        return message.first_ms
    ms = message.id.partition(b"-")[0]
    return int(ms) if ms.isdigit() else now_ms()


def its_own(raised: BaseException) -> Exception:
    """What a handler raised. A cancellation that was asked of this task is raised again; any other is a failure."""
    if isinstance(raised, Exception):
        return raised
    if (task := asyncio.current_task()) and task.cancelling():
        raise raised
    return RuntimeError("what the handler awaited was cancelled")
