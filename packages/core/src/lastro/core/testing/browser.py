"""A real browser for tests: the Chromium of this machine, driven by playwright.

Without a Chromium the tests that ask for ``browser`` are deselected, and pytest's header says so.
"""

import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Browser

OPTIONS = ["--no-sandbox"] if os.getuid() == 0 else []
"""Chromium's sandbox refuses root."""
LACKING = pytest.StashKey[list[str]]()
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:{Path(sys.executable).parent}"
"""Servers are where not everybody looks; programs of Python packages are beside the interpreter."""
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """Where the Chromium of this machine is."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def pytest_report_header() -> str:
    """Say with which browser, or what is not run without one."""
    return f"browser: {chromium() or 'none installed: tests of web pages are deselected'}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what needs a browser, or a program by ``@pytest.mark.needs(name)``, where there is none."""
    lacking = {item: _lacks(item) for item in items}
    without = [item for item in items if lacking[item]]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if not lacking[item]]
        config.stash[LACKING] = sorted({name for item in without for name in lacking[item]})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say at the end what is not installed, whose tests were not run."""
    if names := config.stash.get(LACKING, []):
        terminalreporter.section("not installed, and what needs it not tested")
        terminalreporter.line(", ".join(names))


def _lacks(item: pytest.Item) -> list[str]:
    lacking = [mark.args[0] for mark in item.iter_markers("needs") if shutil.which(mark.args[0], path=PATH) is None]
    if "browser" in getattr(item, "fixturenames", ()) and chromium() is None:
        lacking.append("chromium")
    return lacking


@pytest.fixture
async def browser() -> "AsyncIterator[Browser]":
    """A browser without a window; ``await browser.new_page()``."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        yield running
        await running.close()
