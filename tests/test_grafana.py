"""The dashboards: made from the catalogue, laid out without overlaps, and every panel has data in a run of the demo."""

import json
import math
import re
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from lastro.core.grafana import dashboards, queries
from lastro.core.measures import catalogue
from lastro.core.plugins import plugs
from lastro.core.testing import free_port
from lastro.core.testing.prometheus import watching

OPS = Path(__file__).parent.parent / "ops" / "prometheus"
LASTRO = str(Path(sys.executable).parent / "lastro")


@pytest.fixture
def written(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """As the command writes them: this process has metrics of other tests, too."""
    subprocess.run([LASTRO, "metrics", "--grafana", str(tmp_path)], check=True, capture_output=True)
    return {file.name: json.loads(file.read_text()) for file in tmp_path.iterdir()}


def test_there_is_one_over_all_and_one_for_each_domain_and_they_name_what_exists(
    written: dict[str, dict[str, Any]],
) -> None:
    domains = list(plugs("lastro.routers"))
    assert set(written) == {"lastro.json", *(f"lastro-{domain}.json" for domain in domains)}
    known = catalogue().keys()
    for dashboard in written.values():
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        for one, other in combinations([panel["gridPos"] for panel in panels], 2):
            apart = abs(one["x"] - other["x"]) >= one["w"] or abs(one["y"] - other["y"]) >= one["h"]
            assert apart, dashboard["title"]
        for _, expression in queries(dashboard):
            named = {re.sub("_bucket$", "", name) for name in re.findall(r"\blastro_\w+", expression)}
            assert named <= known, expression


def test_every_metric_is_on_a_dashboard() -> None:
    drawn = json.dumps(dashboards(catalogue(), list(plugs("lastro.routers"))))
    assert [name for name in catalogue() if not re.search(rf"\b{name}(_bucket)?\b", drawn)] == []


@pytest.mark.slow
@pytest.mark.needs("prometheus")
@pytest.mark.timeout(300)
def test_every_panel_has_data_in_a_run_of_the_demo(written: dict[str, dict[str, Any]]) -> None:
    port = free_port()
    began = time.time()
    with watching(OPS, f"http://127.0.0.1:{port}") as prometheus:
        demo = subprocess.run(
            [LASTRO, "demo", "--json", "--port", str(port)], capture_output=True, text=True, check=False
        )
        assert demo.returncode == 0, demo.stdout
        empty = []
        for dashboard in written.values():
            for title, expression in queries(dashboard):
                asked = expression.replace("$__rate_interval", "15s")
                found = prometheus.query(asked, "query_range", start=began, end=time.time(), step=1)
                if all(math.isnan(float(value)) for series in found for _, value in series["values"]):
                    empty.append(f"{dashboard['title']}: {title}: {asked}")
        assert empty == []
