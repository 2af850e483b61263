"""What is seen of the domains and of the server, as metrics: one process of an engine looks for all of them."""

from dataclasses import dataclass
from typing import Any

from lastro.core.metrics import BOUNDED, CATALOGUE, Metric, counter, gauge
from lastro.core.panels import Look, Panel
from lastro.core.plugins import FACES_THAT_MEASURE, installed

SHARES = ("0.5", "0.99")
ACTS = counter("domain_acts_total", "acts finished", do="none: is it what you expect?", domain=BOUNDED)
CENTS = counter("domain_moved_cents_total", "money moved, where the domain adds it up", do="none", domain=BOUNDED)
BACKLOG = gauge("domain_backlog", "accepted and not finished", do="growing: add workers", domain=BOUNDED)
OLDEST = gauge("domain_oldest_seconds", "age of the oldest of the backlog", do="who holds it?", domain=BOUNDED)
DEAD = gauge("domain_dead", "set aside for a person", do="list them, then replay", domain=BOUNDED)
LATENCY = gauge(
    "domain_latency_seconds",
    "of an act, lately, where the domain measures it",
    do="the server, then the workers",
    domain=BOUNDED,
    quantile=SHARES,
)
DIFFERENCES = gauge("check_differences", "what the last check found", do="lastro check names the ids", domain=BOUNDED)
CHECK_AGE = gauge("check_age_seconds", "since the last check", do="who runs lastro check?", domain=BOUNDED)
UP = gauge("server_up", "1 when the server answers", do="see the runbook")
MEMORY = gauge("server_memory_bytes", "what the server uses", do="see the runbook")
MEMORY_MAX = gauge("server_memory_limit_bytes", "what it may use; 0 is no limit", do="set maxmemory, noeviction")
CLIENTS = gauge("server_clients", "connections to it", do="none")
REPLICAS = gauge("server_replicas", "replicas that are connected", do="fewer than there should be: bring them back")
REPLICA_LAG = gauge("server_replica_lag_bytes", "what the slowest replica has not got yet", do="its disk, its network")
FAILING = gauge(
    "server_persistence_failing",
    "things that endanger data, of: last write, last snapshot, link of a replica",
    do="INFO persistence and replication name them",
)
COMMANDS = counter("server_commands_total", "commands it executed", do="none")


def catalogue() -> dict[str, Metric[Any]]:
    """Every metric of everything that is installed, by name: a metric is declared by the module that counts."""
    for face in FACES_THAT_MEASURE:
        installed(face)
    return dict(sorted(CATALOGUE.items()))


@dataclass(slots=True)
class Measures:
    """Turns looks into metrics; counters grow by what changed since the look before."""

    before: Look | None = None

    def take(self, look: Look) -> None:
        """This look. One of a server that is away leaves all but ``server_up`` as it was."""
        UP.of().set(look.store is not None)
        if look.store is None:
            return
        for domain, panel in look.panels.items():
            _take_panel(domain, panel, self.before.panels.get(domain) if self.before else None)
        for domain, checked in look.checked.items():
            DIFFERENCES.of(domain=domain).set(checked.differences)
            CHECK_AGE.of(domain=domain).set(max(0, look.at_ms - checked.at_ms) / 1000)
        store = look.store
        MEMORY.of().set(store.memory_bytes)
        MEMORY_MAX.of().set(store.memory_max_bytes)
        CLIENTS.of().set(store.clients)
        REPLICAS.of().set(store.replicas)
        REPLICA_LAG.of().set(store.replica_lag_bytes)
        FAILING.of().set(len(store.failing))
        if self.before and self.before.store:
            COMMANDS.of().inc(max(0, store.commands - self.before.store.commands))
        self.before = look


def _take_panel(domain: str, panel: Panel, before: Panel | None) -> None:
    ACTS.of(domain=domain).inc(max(0, panel.done - before.done) if before else 0)
    if panel.cents is not None:
        CENTS.of(domain=domain).inc(max(0, panel.cents - (before.cents or 0)) if before else 0)
    BACKLOG.of(domain=domain).set(panel.backlog)
    OLDEST.of(domain=domain).set(panel.oldest_seconds)
    DEAD.of(domain=domain).set(panel.dead)
    for share, ms in zip(SHARES, (panel.p50_ms, panel.p99_ms), strict=True):
        if ms is not None:
            LATENCY.of(domain=domain, quantile=share).set(ms / 1000)
