"""What a node did between two looks at its metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

PREFIX = "blackstart_cdn_"


class Sample:
    """The numbers of one moment, `at_s` seconds on some clock.

    Raises: ValueError when the text is not in Prometheus' format.
    """

    def __init__(self, text: str, at_s: float) -> None:
        self.at_s = at_s
        self._values = {
            (each.name.removeprefix(PREFIX), frozenset(each.labels.items())): each.value
            for family in text_string_to_metric_families(text)
            for each in family.samples
        }

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of this name that have these labels."""
        wanted = labels.items()
        return math.fsum(
            value for (key, has), value in self._values.items() if key == name and wanted <= has
        )

    def labels(self, name: str, label: str) -> list[str]:
        """The values of a label, in order of appearance."""
        found = [dict(has)[label] for key, has in self._values if key == name]
        return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Rates:
    """The difference of two samples of one node."""

    before: Sample
    after: Sample

    def count(self, name: str, **labels: str) -> float:
        """How often it happened. A node that started anew counts from 0."""
        before, after = self.before.total(name, **labels), self.after.total(name, **labels)
        return after - before if after >= before else after

    def per_second(self, name: str, **labels: str) -> float:
        """The same, a second."""
        return self.count(name, **labels) / max(self.after.at_s - self.before.at_s, 1e-3)

    def requests_per_second(self, **labels: str) -> float:
        """All that visitors asked for."""
        return sum(
            self.per_second(f"{what}_total", **labels) for what in ("hits", "misses", "stale")
        )

    def hit_ratio(self, **labels: str) -> float | None:
        """The share of fresh hits, None when nobody asked."""
        hits = self.count("hits_total", **labels)
        others = self.count("misses_total", **labels) + self.count("stale_total", **labels)
        return hits / (hits + others) if hits + others else None

    def latency_s(self, share: float) -> float | None:
        """The time within which this share of the origin's answers came; None when none came.

        As exact as the steps of the histogram: the end of one of them, maybe infinity.
        """
        total = self.count("origin_seconds_count")
        if not total:
            return None
        ends = self.after.labels("origin_seconds_bucket", "le")
        return _first_end(
            ((float(end), self.count("origin_seconds_bucket", le=end)) for end in ends),
            share * total,
        )


def _first_end(buckets: Iterable[tuple[float, float]], wanted: float) -> float:
    ordered = [(0.0, 0.0), *sorted(buckets)]
    for _, (end, count) in pairwise(ordered):
        if count >= wanted:
            return end
    return math.inf
