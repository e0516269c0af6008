"""A drill's day with the pointer log and trees that say whose they are: each alone knows it all."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.drills.conftest import SITES, not_passed

from blackstart.drills.drill import Drill, Order
from blackstart.drills.incidents.feb2 import FEB2
from blackstart.model import DeployState
from blackstart.recovery.from_log import Rebuilt, rebuild_from_log, set_rebuilt
from blackstart.recovery.tree_scan import scan_trees
from blackstart.safeguards import Safeguards
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.pointers import read_pointer_log


@pytest.mark.slow
async def test_after_the_day_log_and_bucket_know_every_pointer_there_was(
    store: MetadataStore, objects: ObjectStore, tmp_path: Path
) -> None:
    on = Safeguards(["pointer-log", "self-describing-trees"])
    drill = Drill(Order(FEB2, SITES, 1, on))
    verdict = await drill.run(store, objects, tmp_path / "drill")
    assert not_passed(verdict.checks) == {}
    before = verdict.evidence.oracle.before.deploys
    pointers = {
        key: raw["metadata"]["tree"] for key, raw in before.items() if raw["metadata"]["tree"]
    }
    assert len(pointers) > 100

    reading = read_pointer_log(objects)
    logged = {found.deploy_id: found.tree async for found in reading}
    assert reading.problems == []
    assert pointers.items() <= logged.items()

    scan = scan_trees(objects)
    found = {tree.deploy_id: tree.tree_id async for tree in scan}
    assert scan.problems == []
    assert pointers.items() <= found.items()

    await store.database["deploys"].update_many(
        {"_id": {"$in": sorted(pointers)}}, {"$set": {"metadata": {"migrated": True}}}
    )
    again = [each async for each in rebuild_from_log(store, objects, read_pointer_log(objects))]
    rebuilt = [each for each in again if isinstance(each, Rebuilt)]
    assert {each.deploy.id for each in rebuilt} == pointers.keys()
    for each in rebuilt:
        assert each.metadata.tree == pointers[each.deploy.id]
        assert await set_rebuilt(store, each)
    # Who was cut off while uploading has no pointer, and lost its list of files for good.
    states = {each.deploy.state for each in again if not isinstance(each, Rebuilt)}
    assert states == {DeployState.UPLOADING}


@pytest.mark.slow
async def test_without_them_the_day_leaves_neither(
    store: MetadataStore, objects: ObjectStore, tmp_path: Path
) -> None:
    verdict = await Drill(Order(FEB2, SITES, 1)).run(store, objects, tmp_path / "drill")
    assert not_passed(verdict.checks) == {}
    assert await objects.list_keys("pointer-log/") == []
    scan = scan_trees(objects)
    assert [tree async for tree in scan] == []
    assert scan.seen == scan.without_owner > 100
