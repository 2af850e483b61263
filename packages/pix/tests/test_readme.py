"""The README's example runs."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from lastro.core.redis import Hub
from lastro.pix.engine.pix import Pix
from lastro.pix.settings import PixSettings

pytestmark = pytest.mark.anyio

README = Path(__file__).parent.parent / "README.md"


async def test_the_worked_example_works(hub: Hub) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    scope: dict[str, Any] = {"hub": hub}
    exec(f"async def example():\n{textwrap.indent(example, '    ')}", scope)  # noqa: S102 - our own README
    await scope["example"]()
    assert await hub.read.xlen(Pix.of(hub, PixSettings()).keys.payments) == 2
