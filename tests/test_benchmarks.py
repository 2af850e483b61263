"""Every benchmark runs, for a second a row, so that none rots; what it measures is not judged here."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
QUICK = {"core", "ledger"}
"""What `make test` runs; the others start a whole system each, and belong to `make test-all`."""
MARKS = {"payments": [pytest.mark.needs("haproxy")]}
NAMES = sorted(path.stem.removeprefix("bench_") for path in (ROOT / "benchmarks").glob("bench_*.py"))


def marks(name: str) -> list[pytest.MarkDecorator]:
    """When it is run, and what it needs."""
    return [*MARKS.get(name, []), *([] if name in QUICK else [pytest.mark.slow])]


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in NAMES])
def test_a_benchmark_runs_beside_its_floor(name: str) -> None:
    command = [sys.executable, "benchmarks", name, "--quick"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert told.returncode == 0, told.stderr[-2000:]
    assert "floor" in told.stdout
