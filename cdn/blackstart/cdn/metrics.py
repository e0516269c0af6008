"""What a node counts, in a Prometheus registry of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Metrics:
    """Counters of one node, by plan of the site that was asked for."""

    def __init__(self, plans: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        plans = list(plans)
        self.hits = self._by_plan("hits", "Requests answered from a fresh copy", plans)
        self.misses = self._by_plan("misses", "Requests that the origin answered", plans)
        self.stale = self._by_plan("stale", "Origin errors covered by a stale copy", plans)
        self.bytes = self._by_plan("sent_bytes", "Body bytes sent to visitors", plans)
        errors = Counter(
            "blackstart_cdn_errors",
            "Times the origin failed: no answer, or a 5xx status",
            ["kind"],
            registry=self.registry,
        )
        self.hop_errors = errors.labels("hop")
        self.status_errors = errors.labels("status")
        self._evictions = Counter(
            "blackstart_cdn_evictions",
            "Entries that left a tier to make room in their plan's quota",
            ["tier", "plan"],
            registry=self.registry,
        )
        self._stored_bytes = Gauge(
            "blackstart_cdn_stored_bytes",
            "Bytes held in a tier",
            ["tier", "plan"],
            registry=self.registry,
        )

    def watch_purges(self, heard: Callable[[], bool]) -> None:
        """Report whether the node hears of its purges, whenever somebody asks."""
        gauge = Gauge(
            "blackstart_cdn_heard",
            "1 while the node knows of all purges, 0 while it has to ask the origin about all",
            registry=self.registry,
        )
        gauge.set_function(heard)

    def evicted(self, tier: str, plan: str) -> None:
        """Count one eviction."""
        self._evictions.labels(tier, plan).inc()

    def watch(self, tier: str, plan: str, used_bytes: Callable[[], int]) -> None:
        """Report how full a tier is, whenever somebody asks."""
        self._stored_bytes.labels(tier, plan).set_function(used_bytes)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _by_plan(self, name: str, text: str, plans: list[str]) -> dict[str, Counter]:
        counter = Counter(f"blackstart_cdn_{name}", text, ["plan"], registry=self.registry)
        return {plan: counter.labels(plan) for plan in plans}
