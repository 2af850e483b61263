"""What deploys the images: the compose files by the specification, the chart by Helm and the schemas of Kubernetes."""

import os
import re
import shutil
import subprocess
import sys
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import helm_python
import kubernetes_validate  # type: ignore[import-untyped]  # theirs
import pytest
import yaml  # type: ignore[import-untyped]  # likewise
from compose_spec import PyCompose
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from redis import Redis
from redis.exceptions import AuthenticationError

from lastro.core.measures import catalogue
from lastro.core.plugins import installed
from lastro.core.settings import Settings, refuse_unknown
from lastro.core.testing.engine import READY_SECONDS, until

ROOT = Path(__file__).parent.parent
OPS = ROOT / "ops"
COMPOSE = ("compose.yaml", "compose.rinha.yaml")
CHART = OPS / "helm/lastro"
KUBERNETES = ("1.29", "1.32", "1.37")
GIVEN = {"secrets": {"redis_url": "redis://redis", "database_url": "postgresql+psycopg://db", "coupons_secret": "s"}}
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SIGNING = "LASTRO_COUPONS_SECRET_FILE"
VARIANTS: list[dict[str, Any]] = [
    GIVEN,
    {
        "existingSecret": "mine",
        "tlsSecret": "tls",
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
    },
    {
        "existingSecret": "mine",
        "scaling": {"enabled": False},
        "network": {"enabled": False},
        "domains": {"coupons": {"enabled": False}},
    },
]


class Strict(BaseModel):
    """The Prometheus adapter's configuration, by the types that it reads: a word that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class GroupResource(Strict):
    """What a label names in Kubernetes."""

    group: str = ""
    resource: str


class ResourceMapping(Strict):
    """By label."""

    overrides: dict[str, GroupResource]


class DiscoveryRule(Strict):
    """Which series it offers as a metric, and what it asks when it is asked for one."""

    series: str = Field(alias="seriesQuery")
    resources: ResourceMapping
    metrics: str = Field(alias="metricsQuery")


class ExternalRules(Strict):
    """As its chart takes them."""

    external: list[DiscoveryRule]


class AdapterValues(Strict):
    """What we give of its chart's values."""

    rules: ExternalRules


def compose(name: str) -> dict[str, Any]:
    """A compose file, by the specification's own types: an unknown word or a wrong value is an error."""
    whole = yaml.safe_load((OPS / name).read_text())  # merge keys within merge keys are YAML's to resolve
    read = PyCompose.from_yaml(yaml.safe_dump(whole))
    read.validate()
    found: dict[str, Any] = read.to_dict()
    assert read.to_spec()
    return found


@pytest.mark.parametrize("name", COMPOSE)
def test_a_compose_file_is_right_and_everything_in_it_is_guarded_and_bounded(name: str) -> None:
    for service, told in compose(name)["services"].items():
        assert told["cap_drop"] == ["ALL"], service
        assert told["security_opt"] == ["no-new-privileges:true"], service
        assert told.get("read_only") or service == "kafka", service
        assert "healthcheck" in told or "build" in told, service  # an image of ours brings its own
        assert "mem_limit" in told or "memory" in told["deploy"]["resources"]["limits"], service
        assert told.get("image", "").rpartition(":")[2] != "latest", service
        assert not str(told.get("user", "")).startswith(("0", "root")), service


@pytest.mark.parametrize("name", COMPOSE)
def test_what_a_compose_file_names_is_there(name: str) -> None:
    whole = compose(name)
    targets = set(re.findall(r"^FROM base AS (\w+)", (OPS / "docker/Dockerfile").read_text(), re.MULTILINE))
    classes = [Settings, *installed("lastro.settings").values()]
    for service, told in whole["services"].items():
        for volume in told.get("volumes", ()):
            source = volume if isinstance(volume, str) else f"{volume.get('source')}"
            source = source.split(":")[0]
            assert (OPS / source).exists() if source.startswith(".") else source in whole["volumes"], (service, source)
        if build := told.get("build"):
            assert build["target"] in targets, service
            domain = build["target"]
            known = classes if domain == "all" else [Settings, installed("lastro.settings", domain)[domain]]
            refuse_unknown(known, list(told.get("environment", {})))
        for secret in told.get("secrets", ()):
            assert secret in whole["secrets"], service


def test_every_store_never_evicts_and_frees_what_expires_beside_its_work(tmp_path: Path) -> None:
    """As the embedded server: Valkey does so by itself, Redis does not."""
    subprocess.run([str(OPS / "secrets"), str(tmp_path)], check=True)
    made = (tmp_path / "redis_conf").read_text().split()
    given = [word.removeprefix("--") for word in compose("compose.rinha.yaml")["services"]["redis"]["command"]]
    for words in (made, given):
        pairs = set(pairwise(words))
        assert pairs >= {("maxmemory-policy", "noeviction"), ("lazyfree-lazy-expire", "yes")}


def test_no_secret_stands_in_a_compose_file_and_each_is_made_by_the_script(tmp_path: Path) -> None:
    whole = compose("compose.yaml")
    for service, told in whole["services"].items():
        for variable, value in (told.get("environment") or {}).items():
            if re.search("PASSWORD|SECRET|KEY$", variable):
                assert str(value).startswith("/run/secrets/"), (service, variable)
    subprocess.run([str(OPS / "secrets"), str(tmp_path / "made")], check=True)
    made = {path.name for path in (tmp_path / "made").iterdir()}
    assert {Path(secret["file"]).name for secret in whole["secrets"].values()} == made
    url = (tmp_path / "made/redis_url").read_text()
    assert urlsplit(url).password == (tmp_path / "made/redis_password").read_text()
    before = (tmp_path / "made/redis_password").read_text()
    subprocess.run([str(OPS / "secrets"), str(tmp_path / "made")], check=True)
    assert (tmp_path / "made/redis_password").read_text() == before


@pytest.mark.needs("redis-server")
def test_the_stores_configuration_starts_a_server_that_asks_for_the_password(tmp_path: Path) -> None:
    subprocess.run([str(OPS / "secrets"), str(tmp_path)], check=True)
    config = (tmp_path / "redis_conf").read_text().replace("dir /data", f"dir {tmp_path}")
    (tmp_path / "redis.conf").write_text(f"{config}\nport 0\nunixsocket {tmp_path}/s\n")
    server = subprocess.Popen(["redis-server", str(tmp_path / "redis.conf")], stdout=subprocess.DEVNULL)
    try:
        until((tmp_path / "s").exists, READY_SECONDS, "it does not start")
        with pytest.raises(AuthenticationError), Redis(unix_socket_path=f"{tmp_path}/s") as nobody:
            nobody.ping()
        password = (tmp_path / "redis_password").read_text()
        with Redis(unix_socket_path=f"{tmp_path}/s", password=SecretStr(password).get_secret_value()) as client:
            assert client.ping()
    finally:
        server.terminate()
        server.wait()


def test_the_rinha_variant_stays_within_its_machine() -> None:
    limits = [told["deploy"]["resources"]["limits"] for told in compose("compose.rinha.yaml")["services"].values()]
    assert sum(Decimal(str(limit["cpus"])) for limit in limits) <= Decimal("1.5")
    assert sum(_bytes(limit["memory"]) for limit in limits) <= 350 * 2**20


def _bytes(text: Any) -> int:
    number, unit = re.fullmatch(r"(\d+) ?([kKmMgG]?)[iI]?[bB]?", str(text)).groups()  # type: ignore[union-attr]  # or it fails
    return int(number) * {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}[unit.lower()]


@pytest.mark.needs("promtool")
def test_prometheus_takes_the_configuration_of_the_compose_file() -> None:
    checked = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", "compose.yml"], cwd=OPS / "prometheus", check=False
    )
    assert checked.returncode == 0


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize(("name", "config"), [("compose.yaml", "services.cfg"), ("compose.rinha.yaml", "payments.cfg")])
def test_haproxy_takes_its_configuration_with_the_compose_files_environment(name: str, config: str) -> None:
    told = compose(name)["services"]["haproxy"]["environment"]
    environment = {"PATH": os.environ["PATH"], **{key: str(value) for key, value in told.items()}}
    binary = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    assert binary
    checked = subprocess.run(
        [binary, "-c", "-f", str(OPS / "haproxy" / config)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Every object of the chart with these values."""
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(values, name="shop", namespace="money")
    return [found for text in files.values() for found in yaml.safe_load_all(text) if found]


@pytest.mark.parametrize("values", VARIANTS)
@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_of_the_chart_is_right_for_kubernetes(values: dict[str, Any], version: str) -> None:
    """Strictly: a field that the schema does not know is an error. The operator's own kinds are not in its schemas."""
    objects = rendered(values)
    assert len({(one["kind"], one["metadata"]["name"]) for one in objects}) == len(objects)
    for one in objects:
        if not one["apiVersion"].startswith("monitoring.coreos.com/"):
            kubernetes_validate.validate(one, version, strict=True)


def test_helm_finds_nothing_to_say_about_the_chart() -> None:
    report = helm_python.lint(CHART, GIVEN, strict=True)
    worst = [message for message in report.get("messages", ()) if "icon" not in str(message)]
    assert not worst, report


def test_a_chart_without_secrets_is_refused_in_a_sentence() -> None:
    with pytest.raises(helm_python.HelmError, match="redis_url, or existingSecret"):
        rendered({})


def test_every_pod_of_the_chart_is_guarded_probed_and_may_be_evicted_one_by_one() -> None:
    objects = rendered(GIVEN)
    deployments = [one for one in objects if one["kind"] == "Deployment"]
    budgets = {one["metadata"]["name"] for one in objects if one["kind"] == "PodDisruptionBudget"}
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in objects if one["kind"] == "HorizontalPodAutoscaler"}
    assert len(deployments) == 8
    assert {one["metadata"]["name"] for one in deployments} == budgets
    assert {name for name in budgets if name.endswith("-work")} == scaled
    for one in deployments:
        pod = one["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
        assert all(
            ("value" in variable and "secret" not in variable["value"]) or "/run/secrets" in variable["value"]
            for variable in container["env"]
        )
        domain = container["args"][1]
        known = [Settings, installed("lastro.settings", domain)[domain]]
        refuse_unknown(known, [variable["name"] for variable in container["env"]])


def test_the_words_that_a_pod_runs_are_words_of_the_command() -> None:
    told = subprocess.run(
        [str(Path(sys.executable).parent / "lastro"), "up", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for one in rendered(GIVEN):
        if one["kind"] == "Deployment":
            (container,) = one["spec"]["template"]["spec"]["containers"]
            assert all(word in told for word in container["args"] if word.startswith("--"))


def test_the_chart_checks_everything_every_hour_with_what_the_check_needs_and_no_more() -> None:
    (job,) = [one for one in rendered(GIVEN) if one["kind"] == "CronJob"]
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["check"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    refuse_unknown([Settings, *installed("lastro.settings").values()], [told["name"] for told in container["env"]])
    without = {**GIVEN, "domains": {"coupons": {"enabled": False}}}
    (job,) = [one for one in rendered(without) if one["kind"] == "CronJob"]
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    payments = VALUES["domains"]["payments"]["env"]
    assert [told["name"] for told in container["env"]] == ["LASTRO_REDIS_URL_FILE", *payments]


def test_the_charts_check_looks_at_the_books_that_the_services_keep() -> None:
    """Settings name books; without those of every domain it would look at empty ones, and say that all is well."""
    named: dict[str, dict[str, Any]] = {
        "ledger": {"LASTRO_LEDGER_NAME": "shop", "LASTRO_LEDGER_SHARDS": 4},
        "pix": {"LASTRO_PIX_STREAM": "bank"},
    }
    off = {"coupons": {"enabled": False, "env": {"LASTRO_COUPONS_EVENTS_MAX": 7}}}
    objects = rendered({**GIVEN, "domains": {**{name: {"env": env} for name, env in named.items()}, **off}})
    (job,) = [one for one in objects if one["kind"] == "CronJob"]
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    told = [(variable["name"], variable["value"]) for variable in container["env"]]
    assert len(dict(told)) == len(told)
    assert {name: str(value) for env in named.values() for name, value in env.items()}.items() <= dict(told).items()
    assert "LASTRO_COUPONS_EVENTS_MAX" not in dict(told)


def test_the_compose_files_check_looks_at_the_books_that_the_services_keep() -> None:
    """What a domain's service is told, its check is told; but for the secret that makes codes, which nobody checks."""
    services = compose("compose.yaml")["services"]
    checks = services["check"]["environment"].items()
    for service in ("pix1", "pix2", "ledger1", "ledger2", "payments1", "payments2", "coupons1", "coupons2"):
        told = {name: value for name, value in services[service]["environment"].items() if name != SIGNING}
        assert told.items() <= checks, service
    assert SIGNING not in dict(checks)


def test_the_operators_monitor_looks_for_the_services_that_are_there() -> None:
    objects = rendered(VARIANTS[1])
    (monitor,) = [one for one in objects if one["kind"] == "ServiceMonitor"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted[monitor["spec"]["jobLabel"]] == "lastro"  # the job that the alerts know
    services = [one for one in objects if one["kind"] == "Service"]
    assert len(services) == 8
    assert all(wanted.items() <= one["metadata"]["labels"].items() for one in services)
    assert {one["spec"]["ports"][0]["name"] for one in services} == {monitor["spec"]["endpoints"][0]["port"]}


def test_the_operators_rules_are_those_that_the_tests_see_firing() -> None:
    (rule,) = [one for one in rendered(VARIANTS[1]) if one["kind"] == "PrometheusRule"]
    assert rule["spec"] == yaml.safe_load((OPS / "prometheus/rules.yml").read_text())
    assert not [one for one in rendered(GIVEN) if one["kind"] == "PrometheusRule"]


@pytest.mark.needs("promtool")
def test_the_adapters_rule_tells_each_autoscaler_its_domains_backlog(tmp_path: Path) -> None:
    """In one number: of what every pod tells alike, and not another installation's."""
    (rule,) = AdapterValues.model_validate(yaml.safe_load((OPS / "helm/adapter.yaml").read_text())).rules.external
    scalers = [one for one in rendered(GIVEN) if one["kind"] == "HorizontalPodAutoscaler"]
    asked = [scaler["spec"]["metrics"][0]["external"]["metric"] for scaler in scalers]
    assert {metric["name"] for metric in asked} == {"lastro_domain_backlog"} <= catalogue().keys()
    assert '"lastro_domain_backlog"' in rule.series
    assert rule.resources.overrides == {"namespace": GroupResource(resource="namespace")}
    wanted = {f"{key}={value}" for metric in asked for key, value in metric["selector"]["matchLabels"].items()}
    assert wanted == {f"domain={domain}" for domain in VALUES["domains"]}
    query = rule.metrics.replace("<<.Series>>", "lastro_domain_backlog")  # as the adapter does
    query = query.replace("<<.LabelMatchers>>", 'namespace="money",domain="ledger"')
    told = {
        '{domain="ledger",namespace="money",pod="a"}': 7,
        '{domain="ledger",namespace="money",pod="b"}': 7,
        '{domain="ledger",namespace="staging",pod="a"}': 900,
        '{domain="pix",namespace="money",pod="a"}': 900,
    }
    tests = [
        {
            "interval": "1m",
            "input_series": [
                {"series": f"lastro_domain_backlog{labels}", "values": str(value)} for labels, value in told.items()
            ],
            "promql_expr_test": [
                {"expr": given, "eval_time": "0m", "exp_samples": samples}
                for given, samples in (
                    (query, [{"labels": '{domain="ledger"}', "value": 7}]),
                    (f"count({rule.series})", [{"labels": "{}", "value": len(told)}]),
                )
            ],
        }
    ]
    (tmp_path / "asked.yml").write_text(yaml.safe_dump({"tests": tests}))
    checked = subprocess.run(
        ["promtool", "test", "rules", str(tmp_path / "asked.yml")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
