"""The browser of the tests."""

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.anyio


async def test_a_page_runs_its_script(browser: "Browser") -> None:
    page = await browser.new_page()
    await page.set_content("<output></output><script>document.querySelector('output').value = 6 * 7</script>")
    assert await page.locator("output").text_content() == "42"


def test_without_a_chromium_such_tests_are_deselected_and_the_header_says_so() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", __file__, "-k", "page"]
    told = subprocess.run(command, env={**os.environ, "PATH": ""}, capture_output=True, text=True, check=False)
    assert "none installed: tests of web pages are deselected" in told.stdout
    assert "no tests collected (2 deselected)" in told.stdout
