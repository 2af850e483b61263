"""The programs that tests need beside packages, and what is not tested because one of them is not there.

A test says ``@pytest.mark.needs("haproxy")``, or asks for ``browser``. Where that program is missing the test is
deselected, and the run ends with its name, with the files that were not tested, and with 1: the others have passed, the
suite has not. Servers of ``make legs`` that are missing are named by a run of slow tests; they fail nothing.
"""

import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from lastro.core.testing import lacking_legs
from lastro.core.testing.browser import chromium

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:{Path(sys.executable).parent}"
"""Servers are where not everybody looks; programs of Python packages are beside the interpreter."""
Lacking: TypeAlias = dict[str, dict[str, int]]
"""Program → test file → how many of its tests need it."""
LACKING = pytest.StashKey[Lacking]()
LEGS = pytest.StashKey[list[str]]()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what needs a program that is not there; last, since what -m and -k leave out lacks nothing."""
    config.stash[LEGS] = lacking_legs() if any(item.get_closest_marker("slow") for item in items) else []
    without = {item: programs for item in items if (programs := _lacks(item))}
    if without:
        config.hook.pytest_deselected(items=list(without))
        items[:] = [item for item in items if item not in without]
    found: dict[str, Counter[str]] = {}
    for item, programs in without.items():
        for name in programs:
            found.setdefault(name, Counter())[item.nodeid.partition("::")[0]] += 1
    config.stash[LACKING] = {name: dict(files) for name, files in found.items()}
    if (told := getattr(config, "workeroutput", None)) is not None:  # of xdist: it collects, another process reports
        told["lacking"], told["legs"] = config.stash[LACKING], config.stash[LEGS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take over what one of xdist's workers lacked; each of them collects everything."""
    told = getattr(node, "workeroutput", {})  # one that crashed has told nothing, and its successor does
    if "lacking" in told:
        node.config.stash[LACKING], node.config.stash[LEGS] = told["lacking"], told["legs"]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail what would have passed, had nobody asked what was left out."""
    if exitstatus == pytest.ExitCode.OK and session.config.stash.get(LACKING, {}):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say at the end what is not there, and whose tests were not run."""
    if lacking := config.stash.get(LACKING, {}):
        terminalreporter.section("not installed, and what needs it not tested")
        for name, files in sorted(lacking.items()):
            told = ", ".join(f"{file} ({count})" for file, count in sorted(files.items()))
            terminalreporter.line(f"{name}: {told}")
    if legs := config.stash.get(LEGS, []):
        terminalreporter.section("servers that `make legs` brings, and nothing was tested on")
        terminalreporter.line(", ".join(legs))


def _lacks(item: pytest.Item) -> list[str]:
    lacking = [mark.args[0] for mark in item.iter_markers("needs") if shutil.which(mark.args[0], path=PATH) is None]
    if "browser" in getattr(item, "fixturenames", ()) and chromium() is None:
        lacking.append("chromium")
    return lacking
