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
    tests = (OPS / "rules_test.yml").read_text()
    assert set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", tests)) == alerts
    assert set(re.findall(r"alertname: (\w+), exp_alerts: \[\]", tests)) == alerts


def test_no_rule_names_a_metric_that_does_not_exist() -> None:
    named = {re.sub(r"_bucket$", "", name) for name in re.findall(r"\blastro_\w+", RULES)}
    assert named - catalogue().keys() == set()


def test_every_alert_leads_to_what_is_seen_where_to_look_and_what_to_do() -> None:
    """Each of the three says something, in this order."""
    told = (ROOT / "ops/runbook.md").read_text().partition("\n# Alerts\n")[2]
    sections = {section.partition("\n")[0].lower(): section for section in told.split("\n## ")[1:]}
    alerts = re.findall(r"alert: (\w+)", RULES)
    assert [link.lower() for link in re.findall(r"runbook: ops/runbook\.md#(\S+)", RULES)] == [*map(str.lower, alerts)]
    assert sections.keys() == {name.lower() for name in alerts}
    for section in sections.values():
        parts = re.split(r"^\*(\w+):\*", section, flags=re.MULTILINE)[1:]
        assert parts[::2] == ["Symptom", "Look", "Act"], section
        assert all(len(part.split()) > 2 for part in parts[1::2]), section  # words
