"""Tests of what a node reports of its cache."""

from tests.cdn.test_metrics import KEEP, PAGE, samples

from blackstart.cdn.node import Node
from blackstart.cdn.storage.cache import Cache
from blackstart.cdn.storage.disk import DiskTier

QUOTAS = {"free": 1_000_000}


async def test_both_tiers_tell_how_full_they_are(clock, origin, tmp_path) -> None:
    disk = DiskTier(tmp_path, QUOTAS, clock)
    node = Node(clock, origin, Cache(clock, QUOTAS, disk=disk), name="n1")
    await node.start()
    empty = samples(node.metrics)
    assert (empty["stored_bytes free disk"], empty["disk_ok"]) == (0, 1)
    origin.says(**KEEP)
    await node.answer(PAGE)
    held = samples(node.metrics)
    await node.close()
    assert held["stored_bytes free memory"] > 0
    assert held["stored_bytes free disk"] > 0


async def test_a_disk_that_cannot_be_used_is_told(clock, origin, tmp_path) -> None:
    (tmp_path / "file").touch()
    disk = DiskTier(tmp_path / "file", QUOTAS, clock)
    node = Node(clock, origin, Cache(clock, QUOTAS, disk=disk), name="n1")
    await node.start()
    said = samples(node.metrics)
    await node.close()
    assert said["disk_ok"] == 0


async def test_without_a_disk_nothing_is_said_of_one(node) -> None:
    assert not [name for name in samples(node.metrics) if "disk" in name]
