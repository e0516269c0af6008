"""What a node reports of its cache: how full each tier is, what had to leave, how the disk does."""

from __future__ import annotations

from functools import partial

from blackstart.cdn.metrics import Metrics
from blackstart.cdn.storage.cache import Cache


def watch(cache: Cache, metrics: Metrics) -> None:
    """Let the metrics tell about this cache, from now on and whenever somebody asks."""
    metrics.gauge("entries", "Responses that are held", cache.__len__)
    cache.on_evict = metrics.evicted
    for plan in cache.memory.quotas.quotas:
        metrics.watch("memory", plan, partial(cache.memory.quotas.used_bytes, plan))
    if cache.disk is None:
        return
    for plan in cache.disk.quotas.quotas:
        metrics.watch("disk", plan, partial(cache.disk.quotas.used_bytes, plan))
    metrics.gauge(
        "disk_ok",
        "1 while the disk cache takes what comes, 0 while it is off or paused",
        lambda: float(cache.disk_state == "ok"),
    )
