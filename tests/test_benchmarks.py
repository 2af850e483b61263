"""Every benchmark runs, for a second a row, so that none rots; what it measures is not judged here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEEDS = {"payments": "haproxy"}
"""What a benchmark needs beside our own packages: without it there is nothing to run."""
QUICK = {"core", "ledger"}
"""What `make test` runs; the others start a whole system each, and belong to `make test-all`."""

RUNNABLE = [
    name
    for name in sorted(path.stem.removeprefix("bench_") for path in (ROOT / "benchmarks").glob("bench_*.py"))
    if name not in NEEDS or shutil.which(NEEDS[name], path="/usr/sbin:/usr/bin:/usr/local/bin")
]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in RUNNABLE]
)
def test_a_benchmark_runs_beside_its_floor(name: str) -> None:
    command = [sys.executable, "benchmarks", name, "--quick"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert told.returncode == 0, told.stderr[-2000:]
    assert "floor" in told.stdout
