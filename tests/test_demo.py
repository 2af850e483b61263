"""The demo, as `make demo` runs it: kills on the way, and everything adds up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_adds_up_although_parts_of_it_are_killed() -> None:
    lastro = str(Path(sys.executable).parent / "lastro")
    told = subprocess.run([lastro, "demo", "--json"], capture_output=True, text=True, check=False)
    report = json.loads(told.stdout)
    assert (told.returncode, report["adds_up"], len(report["killed"])) == (0, True, 3), told.stdout
    assert report["total_seconds"] < 180
    assert {name: result["done"] >= 20_000 for name, result in report["results"].items()} == dict.fromkeys(
        ("coupons", "ledger", "payments", "pix"), True
    )
