"""Alerts, evaluated by rules from what the origin counted, never fired by a script.

A fast rule on the failed share over one minute, and the slower burn-rate
rules of the Google SRE Workbook, chapter 5 (multiwindow, multi-burn-rate).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from blackstart.drills.journal import Journal
from blackstart.drills.world.clock import VirtualClock
from blackstart.origin.metrics import OriginMetrics

OBJECTIVE = 0.999
ERROR_BUDGET = 1.0 - OBJECTIVE
SCRAPE_S = 10.0
QUIET_S = 600.0
INFINITY = float("inf")


@dataclass(frozen=True)
class Rule:
    """Fires while the failed share exceeds `burn_rate` times the error budget in both windows."""

    name: str
    burn_rate: float
    long_s: float
    short_s: float

    @property
    def threshold(self) -> float:
        """Failed share of origin requests, 0 to 1."""
        return self.burn_rate * ERROR_BUDGET


RULES = (
    Rule("origin-failures-fast", burn_rate=10.0, long_s=60.0, short_s=60.0),
    Rule("origin-burn-page", burn_rate=14.4, long_s=3_600.0, short_s=300.0),
    Rule("origin-burn-page-slow", burn_rate=6.0, long_s=21_600.0, short_s=1_800.0),
)


class AlertEvaluator:
    """Scrapes the origin's counters and judges each rule by the windows before now."""

    def __init__(self, metrics: OriginMetrics, clock: VirtualClock, journal: Journal) -> None:
        self._metrics = metrics
        self._clock = clock
        self._journal = journal
        self._times: list[float] = []
        self._samples: list[tuple[int, int]] = []
        self._firing: dict[str, float] = {}

    async def run(self) -> None:
        """Scrape every ten seconds until cancelled."""
        while True:
            self.evaluate()
            await self._clock.sleep(SCRAPE_S)

    def evaluate(self) -> None:
        """Take one sample; fire what exceeds, resolve what has been quiet for ten minutes."""
        self._times.append(self._clock.time())
        self._samples.append((self._metrics.total(), self._metrics.failed()))
        for rule in RULES:
            shares = [self._failed_share(rule.long_s), self._failed_share(rule.short_s)]
            if min(shares) > rule.threshold:
                if rule.name not in self._firing:
                    self._journal("alert.fired", rule.name, failed_share=round(shares[-1], 4))
                self._firing[rule.name] = self._clock.time()
            elif self._clock.time() - self._firing.get(rule.name, INFINITY) >= QUIET_S:
                del self._firing[rule.name]
                self._journal("alert.resolved", rule.name)

    def _failed_share(self, window_s: float) -> float:
        since = bisect_left(self._times, self._clock.time() - window_s)
        total, failed = self._samples[since]
        requests = self._samples[-1][0] - total
        return (self._samples[-1][1] - failed) / requests if requests else 0.0
