"""The README's example runs."""

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from lastro.core.keys import Key
from lastro.core.redis import Hub
from lastro.pix.engine.pix import Pix
from lastro.pix.keys import Keys
from lastro.pix.settings import PixSettings

pytestmark = pytest.mark.anyio

README = Path(__file__).parent.parent / "README.md"


async def test_the_worked_example_works(hub: Hub) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    scope: dict[str, Any] = {"hub": hub}
    exec(f"async def example():\n{textwrap.indent(example, '    ')}", scope)  # noqa: S102 - our own README
    await scope["example"]()
    assert await hub.read.xlen(Pix.of(hub, PixSettings()).keys.payments) == 2


def test_the_key_map_is_whole() -> None:
    """Every key that `keys.py` can spell, and no other."""
    (table,) = re.findall(r"## Keys\n(.*?)\n## ", README.read_text(), re.DOTALL)
    told = {name for row in re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE) for name in re.findall(r"`(.*?)`", row)}
    keys = Keys.of("pix_payments", "backend_bacen_response_", cluster=False)
    spelt = {keys.payments}
    for name, made in vars(Keys).items():
        if isinstance(made, property):
            spelt.add(getattr(keys, name))
        elif inspect.isfunction(made) and made.__annotations__.get("return") is Key and not name.startswith("_"):
            (asked,) = made.__annotations__.keys() - {"return"}
            spelt.add(made(keys, f"<{asked.removesuffix('_id') if asked == 'backend_id' else asked}>"))
    assert told == {name.replace("{pix_payments}", "{…}") for name in spelt}
