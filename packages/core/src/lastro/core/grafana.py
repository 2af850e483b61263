"""Dashboards for Grafana, made from the metrics catalogue: a metric that does not exist cannot be on one.

One over all domains, and one for each. Formats: Grafana's dashboard JSON model, schema 39; the data source is chosen in
the dashboard, so that none is named here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lastro.core.measures import SHARES
from lastro.core.metrics import NAMESPACE, Metric

SCHEMA = 39
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT = 8, 7
ROW_WIDTH = 24
OVER_ALL = ("domain", "http", "server", "event", "check", "stream", "worker", "queue", "consumer", "script")
"""In the order in which an operator asks; what else no domain owns comes after these."""
SUMMED = {"script"}
"""Too many series to draw each: shown over all of them, and on a domain's page for that domain's."""
MEASURED_BY_SOME = {"lastro_domain_latency_seconds"}
"""Only some domains have it; it is shown on the page over all of them."""
UNITS = {"seconds": "s", "bytes": "bytes", "cents": "currencyBRL", "ratio": "percentunit"}


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel: PromQL expressions by legend."""

    title: str
    about: str
    unit: str
    queries: Mapping[str, str]


def dashboards(metrics: Mapping[str, Metric[Any]], domains: list[str]) -> dict[str, dict[str, Any]]:
    """File name → dashboard, one over all and one per domain."""
    found = {"lastro.json": _dashboard("lastro", "Lastro", list(_over_all(metrics, domains)))}
    for domain in domains:
        charts = list(_of_domain(metrics, domain))
        found[f"lastro-{domain}.json"] = _dashboard(f"lastro-{domain}", f"Lastro: {domain}", charts)
    return found


def queries(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Title and expression of everything that a dashboard asks."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def _over_all(metrics: Mapping[str, Metric[Any]], domains: list[str]) -> Iterator[Chart]:
    for subject in dict.fromkeys((*OVER_ALL, *map(_subject, metrics.values()))):
        if subject in domains:
            continue
        for metric in metrics.values():
            if _subject(metric) == subject:
                yield _chart(metric, summed=subject in SUMMED)


def _of_domain(metrics: Mapping[str, Metric[Any]], domain: str) -> Iterator[Chart]:
    for metric in metrics.values():
        if _subject(metric) == "domain" and metric.name not in MEASURED_BY_SOME:
            yield _chart(metric, only=f'domain="{domain}"')
    for metric in metrics.values():
        if _subject(metric) == domain:
            yield _chart(metric)
    for metric in metrics.values():
        if _subject(metric) == "script":
            yield _chart(metric, only=f'script=~"{domain}[.].+"' if "script" in metric.labels else "")


def _subject(metric: Metric[Any]) -> str:
    return metric.name.removeprefix(f"{NAMESPACE}_").split("_")[0]


def _chart(metric: Metric[Any], *, only: str = "", summed: bool = False) -> Chart:
    labels = [] if summed else list(metric.labels)
    legend = " ".join(f"{{{{{label}}}}}" for label in labels)
    by = f" by ({', '.join(labels)})" if labels else ""
    chosen = f"{metric.name}{{{only}}}" if only else metric.name
    title = metric.name.removeprefix(f"{NAMESPACE}_").removesuffix("_total").replace("_", " ")
    unit = next((unit for word, unit in UNITS.items() if word in metric.name.split("_")), "short")
    match metric.kind:
        case "counter":
            asked = {legend or title: f"sum{by} (rate({chosen}[$__rate_interval])) or on() vector(0)"}
            unit = "ops"
        case "gauge":
            asked = {legend or title: f"{'sum' if metric.summed else 'max'}{by} ({chosen})"}
        case "histogram":
            within = f" by ({', '.join([*labels, 'le'])})"
            bucket = chosen.replace(metric.name, f"{metric.name}_bucket")
            asked = {
                f"p{float(share) * 100:g} {legend}".strip(): (
                    f"histogram_quantile({share}, sum{within} (rate({bucket}[$__rate_interval])))"
                )
                for share in SHARES
            }
    return Chart(title, f"{metric.meaning}. To do: {metric.do}", unit, asked)


def _dashboard(uid: str, title: str, charts: list[Chart]) -> dict[str, Any]:
    return {
        "uid": uid,
        "title": title,
        "tags": [NAMESPACE],
        "schemaVersion": SCHEMA,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "links": [
            {"title": "All of Lastro", "type": "dashboards", "tags": [NAMESPACE], "asDropdown": True, "keepTime": True}
        ],
        "panels": [_panel(number, chart) for number, chart in enumerate(charts)],
    }


def _panel(number: int, chart: Chart) -> dict[str, Any]:
    across = ROW_WIDTH // WIDTH
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": chart.title,
        "description": chart.about,
        "datasource": SOURCE,
        "gridPos": {"x": number % across * WIDTH, "y": number // across * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": chart.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for place, (legend, expression) in enumerate(chart.queries.items())
        ],
    }
