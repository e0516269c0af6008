"""What the origin counts; alerts are evaluated from these numbers and nothing else."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client import Counter as PrometheusCounter


class Reason(StrEnum):
    """Why a request ended as it did."""

    SERVED = "served"
    NOT_MODIFIED = "not_modified"
    REDIRECTED = "redirected"
    GONE = "gone"
    TOO_LONG = "too_long"
    NO_SUCH_PATH = "no_such_path"
    NO_SUCH_SITE = "no_such_site"
    NOT_ALLOWED = "not_allowed"
    BAD_RANGE = "bad_range"
    NOT_PUBLISHED = "not_published"
    NO_POINTER = "no_pointer"
    NO_TREE = "no_tree"
    NO_BLOB = "no_blob"
    UNAVAILABLE = "unavailable"


FAILED = frozenset(
    {
        Reason.NO_POINTER,
        Reason.NO_TREE,
        Reason.NO_BLOB,
        Reason.UNAVAILABLE,
    }
)
"""Reasons that are the platform's fault, whatever status the visitor saw."""

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class OriginMetrics:
    """Requests by reason, and how long they took, since the start."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = PrometheusCounter(
            "blackstart_origin_requests",
            "Requests the origin answered, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "blackstart_origin_request_seconds",
            "Time from a request to the start of its answer, by class of status.",
            ["status"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._unread_rules = PrometheusCounter(
            "blackstart_origin_rules_unread",
            "Times that a deploy was served without its redirects and headers.",
            registry=self.registry,
        )
        self._counts: Counter[Reason] = Counter()

    def count(self, reason: Reason) -> None:
        """One more request ended for this reason."""
        self._requests.labels(reason).inc()
        self._counts[reason] += 1

    def took(self, status: int, seconds: float) -> None:
        """A request with this status took so long."""
        self._seconds.labels(f"{status // 100}xx").observe(seconds)

    def count_unread_rules(self) -> None:
        """A deploy has rules that could not be read."""
        self._unread_rules.inc()

    def total(self) -> int:
        """All requests so far."""
        return self._counts.total()

    def failed(self) -> int:
        """Requests so far that failed by the platform's fault."""
        return sum(self._counts[reason] for reason in FAILED)
