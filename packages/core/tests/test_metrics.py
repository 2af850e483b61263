"""Metrics are declared once, with closed labels, and right over several processes."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lastro.core.metrics import CATALOGUE, counter, exposition, histogram

COLOURS = ("red", "green")
SAMPLE = counter("sample_total", "a sample", do="none", colour=COLOURS)
ONE_BY_ONE, AT_ONCE = (
    histogram(f"sample_{name}", "a sample", do="none", buckets=(1, 2, 5)) for name in ("one_by_one", "at_once")
)


def test_a_label_outside_its_set_is_a_bug() -> None:
    SAMPLE.of(colour="red").inc()
    with pytest.raises(AssertionError, match="blue is not declared"):
        SAMPLE.of(colour="blue")
    assert b'lastro_sample_total{colour="red"} 1.0' in asyncio.run(exposition())


def test_values_that_are_handed_over_at_once_count_as_each_by_itself() -> None:
    tally = AT_ONCE.tally()
    for value in (0, 1, 1.5, 2, 2.0001, 5, 7, float("inf"), -1, 1):
        ONE_BY_ONE.of().observe(value)
        tally(value)
    lines = [
        line
        for line in asyncio.run(exposition()).decode().splitlines()
        if line.startswith("lastro_sample_") and "_created" not in line
    ]
    each = [line for line in lines if "one_by_one" in line]
    assert len(each) == 6
    assert [line.replace("at_once", "one_by_one") for line in lines if "at_once" in line] == each


def test_a_name_is_declared_once() -> None:
    with pytest.raises(AssertionError, match="declared twice"):
        counter("sample_total", "again", do="none")


def test_every_metric_says_what_it_means_and_what_to_do() -> None:
    assert all(metric.meaning and metric.do for metric in CATALOGUE.values())


def test_several_processes_are_one_sum(tmp_path: Path) -> None:
    count = (
        "from lastro.core.metrics import counter, gauge, exposition\n"
        "counter('jobs_total', 'jobs', do='none').of().inc(2)\n"
        "gauge('busy', 'busy', do='none', across='livesum').of().set(3)\n"
        "import asyncio; print(asyncio.run(exposition()).decode())"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for jobs in ("2.0", "4.0", "6.0"):
        told = subprocess.run(
            [sys.executable, "-c", count], env=environment, capture_output=True, text=True, check=True
        )
        assert f"lastro_jobs_total {jobs}" in told.stdout


def test_a_process_that_is_started_again_counts_on_where_it_was_and_leaves_no_files(tmp_path: Path) -> None:
    """What it forks counts beside it: two that write to one file would spoil it."""
    count = (
        "import asyncio, os\n"
        "from lastro.core.metrics import counter, exposition, gauge, go_on_as\n"
        "jobs, last = counter('jobs_total', 'jobs', do='none'), gauge('last', 'last', do='none')\n"
        "go_on_as('queue.work')\n"
        "jobs.of().inc(2), last.of().set(os.getpid())\n"
        "if not os.fork(): jobs.of().inc(5), os._exit(0)\n"
        "os.wait()\n"
        "print(asyncio.run(exposition()).decode(), os.getpid())"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for jobs in ("7.0", "14.0", "21.0"):
        told = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", count], env=environment, capture_output=True, text=True, check=True
        ).stdout
        assert f"lastro_jobs_total {jobs}" in told
        assert f"lastro_last {float(told.split()[-1])}" in told
    assert {path.name for path in tmp_path.iterdir() if "queue.work" in path.name} == {
        "counter_queue.work.db",
        "gauge_mostrecent_queue.work.db",
    }
    of_children = [path for path in tmp_path.glob("counter_*") if "queue.work" not in path.name]
    assert len(of_children) == 3 + 3  # and what each had from before it had its name
