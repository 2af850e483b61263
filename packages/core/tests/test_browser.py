"""The browser of the tests."""

import os
import subprocess
import sys
from pathlib import Path
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
    assert "no tests collected (3 deselected)" in told.stdout


def test_a_program_that_is_missing_is_named_at_the_end(tmp_path: Path) -> None:
    sample = tmp_path / "test_sample.py"
    sample.write_text("import pytest\n\n@pytest.mark.needs('no-such-program')\ndef test_it() -> None: ...\n")
    command = [sys.executable, "-m", "pytest", "-p", "lastro.core.testing", str(sample)]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "not installed, and what needs it not tested" in told.stdout
    assert "no-such-program" in told.stdout
