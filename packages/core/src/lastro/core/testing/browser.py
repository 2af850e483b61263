"""A real browser for tests: the Chromium of this machine, driven by playwright.

Without a Chromium the tests that ask for ``browser`` are deselected; pytest's header says so, and its end (`programs`).
"""

import os
import shutil
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Browser

OPTIONS = ["--no-sandbox"] if os.getuid() == 0 else []
"""Chromium's sandbox refuses root."""
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """Where the Chromium of this machine is."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def pytest_report_header() -> str:
    """Say with which browser, or what is not run without one."""
    return f"browser: {chromium() or 'none installed: tests of web pages are deselected'}"


@pytest.fixture
async def browser() -> "AsyncIterator[Browser]":
    """A browser without a window; ``await browser.new_page()``."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        yield running
        await running.close()
