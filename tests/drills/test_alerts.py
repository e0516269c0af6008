"""Alerts: evaluated from what the origin counted, and from nothing else."""

from __future__ import annotations

import pytest
from tests.drills.story import Story

from blackstart.drills.world.alerts import QUIET_S, RULES, SCRAPE_S, AlertEvaluator
from blackstart.origin.metrics import FAILED, OriginMetrics, Reason

FAST = "origin-failures-fast"
PAGE = "origin-burn-page"
SLOW = "origin-burn-page-slow"
HOUR_S = 3_600.0


class Counters(OriginMetrics):
    """The origin's counters, turned by many requests at once."""

    def add(self, reason: Reason, requests: int) -> None:
        self._counts[reason] += requests


class Pager:
    """An origin whose counters a test turns, and who looks at them every ten seconds."""

    def __init__(self) -> None:
        self.story = Story()
        self.metrics = Counters()
        self._alerts = AlertEvaluator(
            self.metrics,
            self.story,  # type: ignore[arg-type]
            self.story.journal,
        )
        self._alerts.evaluate()

    def live(self, seconds: float, requests: int = 1_000, failed: int = 0) -> None:
        """Time passes with so many requests in every ten seconds, some of them failed."""
        for _ in range(round(seconds / SCRAPE_S)):
            self.metrics.add(Reason.SERVED, requests - failed)
            self.metrics.add(Reason.NO_POINTER, failed)
            self.story.now += SCRAPE_S
            self._alerts.evaluate()

    def said(self, action: str) -> list[tuple[float, str]]:
        return [(entry.offset_s, entry.subject) for entry in self.story.journal.of(action)]

    @property
    def fired(self) -> list[str]:
        return [rule for _, rule in self.said("alert.fired")]


@pytest.fixture
def pager() -> Pager:
    return Pager()


def test_the_rules_are_one_over_a_minute_and_the_workbooks_two_that_page() -> None:
    table = {rule.name: (round(rule.threshold, 6), rule.long_s, rule.short_s) for rule in RULES}
    assert table == {
        FAST: (0.01, 60.0, 60.0),
        PAGE: (0.0144, HOUR_S, 300.0),
        SLOW: (0.006, 6 * HOUR_S, 1_800.0),
    }


def test_without_traffic_there_is_no_alert(pager: Pager) -> None:
    pager.live(HOUR_S, requests=0)
    assert pager.fired == []


def test_without_failures_there_is_no_alert(pager: Pager) -> None:
    pager.live(HOUR_S, requests=10)
    assert pager.fired == []


@pytest.mark.parametrize("reason", sorted(FAILED))
def test_every_failure_of_the_platform_counts(pager: Pager, reason: Reason) -> None:
    pager.metrics.count(reason)
    pager.live(SCRAPE_S, requests=10)
    assert FAST in pager.fired


@pytest.mark.parametrize("reason", sorted(set(Reason) - FAILED))
def test_what_the_visitor_got_wrong_does_not_count(pager: Pager, reason: Reason) -> None:
    pager.metrics.count(reason)
    pager.live(SCRAPE_S, requests=10)
    assert pager.fired == []


def test_the_fast_rule_fires_once_more_than_one_percent_of_a_minute_failed(pager: Pager) -> None:
    pager.live(2 * HOUR_S, failed=5)
    pager.live(50.0, failed=15)
    # Five of the minute's six spans at 1.5 %, one at 0.5 %: 1.33 %. After three it was 1.0 %.
    assert [at for at, rule in pager.said("alert.fired") if rule == FAST] == [2 * HOUR_S + 40.0]
    assert pager.story.journal.of("alert.fired")[-1].details["failed_share"] == 0.0117


def test_exactly_one_percent_of_failures_is_not_yet_an_alert_of_the_fast_rule(
    pager: Pager,
) -> None:
    pager.live(1_000.0, failed=10)
    assert FAST not in pager.fired
    pager.live(SCRAPE_S, failed=11)
    assert FAST in pager.fired


def test_a_failure_that_is_older_than_the_window_is_forgotten(pager: Pager) -> None:
    pager.live(6 * HOUR_S, requests=100)
    pager.live(SCRAPE_S, requests=100, failed=50)
    pager.live(50.0 + QUIET_S - SCRAPE_S, requests=100)
    assert pager.said("alert.resolved") == []
    pager.live(SCRAPE_S, requests=100)
    assert pager.said("alert.resolved") == [(6 * HOUR_S + 60.0 + QUIET_S, FAST)]


def test_a_short_burst_after_calm_hours_fires_the_fast_rule_alone(pager: Pager) -> None:
    pager.live(6 * HOUR_S, requests=100)
    pager.live(20.0, requests=100, failed=50)
    assert pager.fired == [FAST]


def test_a_slow_burn_fires_the_slow_rule_alone(pager: Pager) -> None:
    pager.live(3 * HOUR_S, failed=8)
    assert set(pager.fired) == {SLOW}


def test_a_failing_share_that_burns_for_an_hour_fires_the_hourly_rule(pager: Pager) -> None:
    pager.live(6 * HOUR_S, requests=100)
    pager.live(HOUR_S, requests=100, failed=2)
    assert set(pager.fired) == {FAST, PAGE}
    first = dict(reversed([(rule, at) for at, rule in pager.said("alert.fired")]))
    # 2 % failed for 72 % of the hour is 1.44 % of it.
    assert first[PAGE] == pytest.approx(6 * HOUR_S + 0.72 * HOUR_S, abs=2 * SCRAPE_S)


def test_an_alert_fires_once_while_it_lasts_and_again_after_it_was_over(pager: Pager) -> None:
    pager.live(6 * HOUR_S, requests=100)
    pager.live(300.0, requests=100, failed=3)
    pager.live(QUIET_S / 2, requests=100)
    pager.live(60.0, requests=100, failed=3)
    assert pager.fired.count(FAST) == 1
    pager.live(2 * QUIET_S, requests=100)
    assert [rule for _, rule in pager.said("alert.resolved")].count(FAST) == 1
    pager.live(60.0, requests=100, failed=3)
    assert pager.fired.count(FAST) == 2


def test_an_alert_is_over_when_nobody_asks_any_more(pager: Pager) -> None:
    pager.live(60.0, requests=10, failed=10)
    pager.live(7 * HOUR_S, requests=0)
    assert sorted(rule for _, rule in pager.said("alert.resolved")) == sorted(pager.fired)
