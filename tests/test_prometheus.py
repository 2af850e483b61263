"""The alert rules: right for promtool, made true one by one, about metrics that exist, explained in the runbook."""

import re
import subprocess
from pathlib import Path

import pytest

from lastro.core.measures import catalogue

ROOT = Path(__file__).parent.parent
OPS = ROOT / "ops" / "prometheus"
RULES = (OPS / "rules.yml").read_text()


def promtool(*words: str) -> "subprocess.CompletedProcess[str]":
    """Prometheus' own tool."""
    return subprocess.run(["promtool", *words], cwd=OPS, capture_output=True, text=True, check=False)


@pytest.mark.needs("promtool")
def test_every_alert_fires_when_its_condition_is_true_and_not_before() -> None:
    checked = promtool("check", "config", "--syntax-only", "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", "rules_test.yml", "rules_days_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    alerts = set(re.findall(r"alert: (\w+)", RULES))
    fired = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", (OPS / "rules_test.yml").read_text()))
    assert fired == alerts


def test_no_rule_names_a_metric_that_does_not_exist() -> None:
    named = {re.sub(r"_bucket$", "", name) for name in re.findall(r"\blastro_\w+", RULES)}
    assert named - catalogue().keys() == set()


def test_every_alert_leads_to_a_section_of_the_runbook() -> None:
    sections = {
        line[3:].strip().lower() for line in (ROOT / "ops/runbook.md").read_text().splitlines() if line[:3] == "## "
    }
    for link in re.findall(r"runbook: ops/runbook\.md#(\S+)", RULES):
        assert link in sections, link
