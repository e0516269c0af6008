"""What a node counts. Plain numbers while it serves; Prometheus' format when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from blackstart.errors import HopError

PREFIX = "blackstart_cdn_"
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_BY_PLAN = {
    "hits": "Requests answered from a fresh copy",
    "misses": "Requests that the origin answered, or left without an answer",
    "stale": "Requests answered from a stale copy",
    "collapsed": "Requests that waited for another's request to the origin; counted there as well",
    "sent_bytes": "Body bytes sent to visitors",
}


class PlanCounts:
    """What is counted for the sites of one plan. The node adds to the fields as they are."""

    __slots__ = ("collapsed", "hits", "misses", "sent_bytes", "stale")

    def __init__(self) -> None:
        self.hits = self.misses = self.stale = self.collapsed = self.sent_bytes = 0

    def sent(self, size: int) -> None:
        """Count bytes of a body."""
        self.sent_bytes += size


class Latency:
    """How long something took, in a few steps up to 30 seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0

    def took(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(BOUNDS_S, seconds)] += 1
        self._sum_s += seconds

    def family(self, name: str, text: str) -> HistogramMetricFamily:
        """All of it; each bucket holds those before it, too."""
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip([*map(str, BOUNDS_S), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self._sum_s)


class Metrics(Collector):
    """Counts of one node, by plan of the site that was asked for.

    A counter of prometheus_client takes a lock each time, which a hit would feel.
    One thread counts; whoever asks from it sees all numbers of one moment.
    """

    def __init__(self, plans: Iterable[str]) -> None:
        self.plans = {plan: PlanCounts() for plan in plans}
        self.origin = Latency()
        self.purges = 0
        self.purged = 0
        self._errors: Counter[str] = Counter({"status": 0, HopError.kind: 0})
        self._evictions: Counter[tuple[str, str]] = Counter()
        self._gauges: dict[str, tuple[str, list[tuple[dict[str, str], Callable[[], float]]]]] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def failed(self, error: HopError) -> None:
        """Count an origin that gave no answer, or broke one off."""
        self._errors[error.kind] += 1

    def failed_itself(self) -> None:
        """Count an origin that answered with a 5xx status."""
        self._errors["status"] += 1

    def evicted(self, tier: str, plan: str) -> None:
        """Count one eviction."""
        self._evictions[tier, plan] += 1

    def watch(self, tier: str, plan: str, used_bytes: Callable[[], int]) -> None:
        """Report how full a tier is, whenever somebody asks."""
        self.gauge("stored_bytes", "Bytes held in a tier", used_bytes, tier=tier, plan=plan)

    def gauge(self, name: str, text: str, read: Callable[[], float], **labels: str) -> None:
        """Report what `read` says, whenever somebody asks: connections, an open breaker."""
        self._gauges.setdefault(name, (text, []))[1].append((labels, read))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Everything, for the registry."""
        for name, text in _BY_PLAN.items():
            family = CounterMetricFamily(PREFIX + name, text, labels=["plan"])
            for plan, counts in self.plans.items():
                family.add_metric([plan], getattr(counts, name))
            yield family
        yield self._errors_family()
        yield self.origin.family(
            f"{PREFIX}origin_seconds", "Time from a request to the head of the origin's answer"
        )
        evictions = CounterMetricFamily(
            f"{PREFIX}evictions",
            "Entries that left a tier to make room in their plan's quota",
            labels=["tier", "plan"],
        )
        for (tier, plan), count in self._evictions.items():
            evictions.add_metric([tier, plan], count)
        yield evictions
        yield CounterMetricFamily(f"{PREFIX}purges", "Purges carried out", value=self.purges)
        yield CounterMetricFamily(
            f"{PREFIX}purged_entries", "Entries that purges forgot or made stale", value=self.purged
        )
        for name, (text, readings) in self._gauges.items():
            gauge = GaugeMetricFamily(PREFIX + name, text, labels=list(readings[0][0]))
            for labels, read in readings:
                gauge.add_metric(list(labels.values()), read())
            yield gauge

    def _errors_family(self) -> Metric:
        text = "Times the origin failed: no answer, a broken one, or a 5xx status"
        family = CounterMetricFamily(f"{PREFIX}errors", text, labels=["kind"])
        for kind, count in self._errors.items():
            family.add_metric([kind], count)
        return family
