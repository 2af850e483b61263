"""The worked example of the README runs."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lastro.core.queue import open_queue
from lastro.core.redis import Hub
from lastro.core.settings import Settings
from lastro.core.testing import wait_for
from lastro.core.worker import Run

pytestmark = pytest.mark.anyio

README = Path(__file__).parent.parent / "README.md"


async def test_the_worked_example_greets_once_and_buries_nobody(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, Callable[[Run, Hub], Awaitable[None]]] = {}
    exec(compile(example, README.name, "exec"), names)  # noqa: S102  # our own text
    run = Run(hub=hub, settings=Settings())
    greeting = asyncio.ensure_future(names["greet"](run, hub))
    queue = open_queue("stream://queue:greetings?group=greeters", hub)
    (letter,) = await wait_for(queue.letters, "the dead letter")
    run.stopping.set()
    await greeting
    assert (letter.fields, letter.deliveries) == ({b"name": b"nobody"}, 3)
    assert capsys.readouterr().out.count("hello Ana") == 1
