"""What every HTTP service counts: requests and how long they took, by route."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class HttpMetrics:
    """Requests of one service. Labels come from small sets: nobody can make series at will."""

    def __init__(self, service: str, registry: CollectorRegistry | None = None) -> None:
        self.service = service
        self.registry = registry or CollectorRegistry()
        self._requests = Counter(
            "blackstart_http_requests",
            "Requests answered.",
            ["service", "method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "blackstart_http_request_duration_seconds",
            "Time from a request's header to the end of its answer.",
            ["service", "method", "route"],
            registry=self.registry,
            buckets=BUCKETS_S,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request ended. `route` is a template; a method of no standard counts as `other`."""
        method = method if method in METHODS else "other"
        self._requests.labels(self.service, method, route, str(status)).inc()
        self._seconds.labels(self.service, method, route).observe(seconds)
