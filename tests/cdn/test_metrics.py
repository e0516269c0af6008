"""Tests of what a node counts."""

from blackstart.cdn.metrics import Metrics
from blackstart.cdn.quota import PlanQuotas


def test_two_nodes_in_one_process_count_apart() -> None:
    first, second = Metrics(["free"]), Metrics(["free"])
    first.hits["free"].inc()
    assert b'blackstart_cdn_hits_total{plan="free"} 1.0' in first.text()
    assert b'blackstart_cdn_hits_total{plan="free"} 0.0' in second.text()


def test_evictions_and_fill_are_told_by_tier_and_plan() -> None:
    metrics = Metrics(["free"])
    quotas = PlanQuotas({"free": 10})
    metrics.watch("disk", quotas)
    quotas.put("k", "free", 7)
    metrics.evicted("disk", "free")
    text = metrics.text().decode()
    assert 'blackstart_cdn_evictions_total{plan="free",tier="disk"} 1.0' in text
    assert 'blackstart_cdn_stored_bytes{plan="free",tier="disk"} 7.0' in text
