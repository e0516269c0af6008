"""Tests of plans: which route each deploy takes, what was checked, and what is inferred."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.conftest import sha1_of
from tests.recovery.conftest import PAGE, Recovery

from blackstart.errors import DigestMismatchError, ObjectNotFoundError
from blackstart.model import DeployState, Plan
from blackstart.recovery.plan import PlanFile, Wish
from blackstart.recovery.sources import Route
from blackstart.store.objects import blob_key, one_chunk, tree_key

if TYPE_CHECKING:
    from tests.conftest import Bench, Repository


async def test_a_snapshot_gives_each_deploy_exactly_what_it_had(
    bench: Bench, recovery: Recovery
) -> None:
    site = await bench.site(plan=Plan.GLOBAL)
    deploys = [await bench.release(site, PAGE) for _ in range(3)]
    copy = await recovery.copy()
    for deploy in deploys[1:]:
        await bench.destroy(deploy.id)
    path, header = await recovery.plan(copy.source())
    with PlanFile(path) as plan:
        entries = list(plan.entries())
        assert plan.header == header
    assert [entry.deploy_id for entry in entries] == [deploys[2].id, deploys[1].id]
    (shown, _) = entries
    assert shown.shown
    assert (shown.route, shown.source, shown.inferred) == (Route.SNAPSHOT, "snapshot s1", [])
    assert shown.before == {"state": "ready", "metadata": {"migrated": True}}
    assert shown.after == {"metadata": copy.documents[deploys[2].id]["metadata"]}
    assert (header.deploys, header.routes) == (2, {"snapshot": 2})
    assert header.database == bench.store.database.name


async def test_entries_stand_in_sla_order_and_in_a_tier_what_is_shown_comes_first(
    bench: Bench, recovery: Recovery
) -> None:
    for name, plan in (
        ("f", Plan.FREE),
        ("e", Plan.ENTERPRISE),
        ("p", Plan.PRO),
        ("g", Plan.GLOBAL),
    ):
        site = await bench.site(name, plan=plan)
        for _ in range(2):
            await bench.release(site, PAGE)
    other = await bench.site("a-new-one", plan=Plan.ENTERPRISE)
    copy = await recovery.copy()
    await bench.release(other, PAGE)
    for raw in [raw async for raw in bench.store.deploys.scan_raw()]:
        await bench.destroy(raw["_id"])
    path, _ = await recovery.plan(copy.source())
    with PlanFile(path) as plan:
        found = [(entry.site, entry.number, entry.route.value) for entry in plan.entries()]
    assert found == [
        ("e", 2, "snapshot"),
        ("e", 1, "snapshot"),
        ("a-new-one", 1, "none"),
        ("g", 2, "snapshot"),
        ("g", 1, "snapshot"),
        ("p", 2, "snapshot"),
        ("p", 1, "snapshot"),
        ("f", 2, "snapshot"),
        ("f", 1, "snapshot"),
    ]


@pytest.mark.parametrize("lost", ["tree", "damaged tree", "blob", "damaged blob"])
async def test_a_route_that_does_not_hold_is_not_offered_and_named(
    bench: Bench, recovery: Recovery, lost: str
) -> None:
    site = await bench.site()
    deploy = await bench.release(site, PAGE)
    copy = await recovery.copy()
    await bench.destroy(deploy.id)
    tree_id = deploy.metadata.tree or ""
    tree = await bench.objects.get_tree(tree_id)
    key = tree_key(tree_id) if "tree" in lost else blob_key(tree.files["about.html"].sha1)
    if "damaged" in lost:
        await bench.objects.put(key, b"other bytes")
    else:
        await bench.objects.delete([key])
    (entry,) = (await recovery.entries(copy.source())).values()
    assert entry.route is Route.NONE
    assert "about.html" in entry.refused[0] if "blob" in lost else tree_id in entry.refused[0]
    wish = Wish(deep=False)
    (quick,) = (await recovery.entries(copy.source(), wish=wish)).values()
    assert (quick.route is Route.SNAPSHOT) is (lost == "damaged blob")


async def test_a_tree_with_other_files_than_were_announced_is_refused(
    bench: Bench, recovery: Recovery
) -> None:
    site = await bench.site()
    deploy = await bench.release(site, PAGE)
    other = await bench.release(site, {"index.html": b"other"})
    copy = await recovery.copy()
    copy.documents[deploy.id]["metadata"]["tree"] = other.metadata.tree
    await bench.destroy(deploy.id)
    (entry,) = (await recovery.entries(copy.source())).values()
    assert entry.route is Route.NONE
    assert "other files than were announced" in entry.refused[0]


async def test_what_the_newest_snapshot_cannot_give_comes_from_an_older_one(
    bench: Bench, recovery: Recovery
) -> None:
    site = await bench.site()
    deploys = [await bench.release(site, PAGE) for _ in range(4)]
    older = await recovery.copy()
    newer = await recovery.copy()
    newer.documents[deploys[0].id]["metadata"] = {"migrated": True}
    newer.damaged[deploys[1].id] = DigestMismatchError("snapshot s2: chunk 7 of deploys is damaged")
    newer.damaged[deploys[2].id] = newer.damaged[deploys[1].id]
    for deploy in deploys:
        await bench.destroy(deploy.id)
    path, header = await recovery.plan(newer.source("s2"), older.source("s1"))
    with PlanFile(path) as plan:
        entries = {entry.deploy_id: entry for entry in plan.entries()}
    assert [entries[deploy.id].source for deploy in deploys] == [
        "snapshot s1",
        "snapshot s1",
        "snapshot s1",
        "snapshot s2",
    ]
    assert "damaged in it as well" in entries[deploys[0].id].refused[0]
    assert header.sources[0].problems == ["snapshot s2: chunk 7 of deploys is damaged"]
    assert header.sources[1].problems == []


@pytest.mark.parametrize("how", ["empty", "unreadable"])
async def test_a_snapshot_that_is_no_use_at_all_is_named_and_passed_over(
    bench: Bench, recovery: Recovery, how: str
) -> None:
    site = await bench.site()
    deploy = await bench.release(site, PAGE)
    good = await recovery.copy()
    await bench.destroy(deploy.id)
    bad = replace(good, documents={} if how == "empty" else good.documents, asked=[])
    if how == "unreadable":
        bad.broken = ObjectNotFoundError("no snapshot s2")
    _, header = await recovery.plan(bad.source("s2"), good.source("s1"))
    assert header.routes == {"snapshot": 1}
    assert header.sources[0].problems == [
        "it holds no deploys" if how == "empty" else "no snapshot s2"
    ]


async def test_a_snapshot_from_before_the_deploy_is_not_even_read(
    bench: Bench, recovery: Recovery
) -> None:
    site = await bench.site()
    await bench.release(site, PAGE)
    copy = await recovery.copy()
    deploy = await bench.release(site, PAGE)
    await bench.destroy(deploy.id)
    (entry,) = (await recovery.entries(copy.source())).values()
    assert copy.asked == []
    assert entry.route is Route.REVERT
    assert entry.refused[0] == "snapshot s1: taken before the deploy was made"


async def test_a_pointer_from_when_the_deploy_was_processing_is_exact_and_the_time_inferred(
    bench: Bench, recovery: Recovery
) -> None:
    site = await bench.site()
    deploy = await bench.processing(site, PAGE)
    copy = await recovery.copy()
    bench.clock.advance(5)
    await bench.publisher.publish(deploy.id)
    ready = await bench.deploy(deploy.id)
    await bench.destroy(deploy.id)
    (entry,) = (await recovery.entries(copy.source())).values()
    assert entry.route is Route.SNAPSHOT
    assert entry.inferred == ["completed_at"]
    expected = ready.metadata.model_dump() | {"completed_at": deploy.created_at}
    assert entry.after["metadata"] == expected
    assert entry.evidence[0].endswith("when it was processing")


async def test_a_snapshot_from_when_nothing_was_uploaded_has_no_pointer_to_give(
    bench: Bench, recovery: Recovery
) -> None:
    site = await bench.site()
    await bench.announce(site, PAGE)
    copy = await recovery.copy()
    deploy_id = next(iter(copy.documents))
    await bench.store.database["deploys"].update_one(
        {"_id": deploy_id}, {"$set": {"state": DeployState.READY}}
    )
    await bench.destroy(deploy_id)
    (entry,) = (await recovery.entries(copy.source())).values()
    assert entry.route is Route.NONE
    assert "it was still uploading then" in entry.refused[0]


async def test_an_upload_that_was_cut_off_is_made_up_from_what_was_announced(
    bench: Bench, recovery: Recovery
) -> None:
    site = await bench.site()
    deploy = await bench.announce(site, PAGE)
    first, second = deploy.metadata.pending_uploads
    data = {sha1_of(content): content for content in PAGE.values()}
    await bench.deploys.upload(first, one_chunk(data[first]))
    await bench.destroy(deploy.id)
    (entry,) = (await recovery.entries(recovery.announced())).values()
    assert entry.route is Route.ANNOUNCED
    expected = deploy.metadata.model_dump() | {"pending_uploads": [second]}
    assert entry.after["metadata"] == expected
    assert sorted(entry.inferred) == sorted(expected)
    assert entry.evidence == ["2 files were announced, 1 have not arrived"]


# --- Sites whose deploy no source has ---


async def test_a_site_goes_back_to_its_newest_good_deploy_one_that_comes_back_included(
    bench: Bench, recovery: Recovery
) -> None:
    site = await bench.site()
    await bench.release(site, PAGE)
    restored = await bench.release(site, PAGE)
    copy = await recovery.copy()
    shown = await bench.release(site, PAGE)
    for deploy in (restored, shown):
        await bench.destroy(deploy.id)
    entries = await recovery.entries(copy.source())
    entry = entries[shown.id]
    assert (entry.route, entry.before, entry.after) == (
        Route.REVERT,
        {"published_deploy_id": shown.id},
        {"published_deploy_id": restored.id},
    )
    assert list(entries) == [restored.id, shown.id]


async def test_a_deploy_with_missing_files_is_nothing_to_go_back_to(
    bench: Bench, recovery: Recovery
) -> None:
    site = await bench.site()
    good = await bench.release(site, {"index.html": b"first"})
    worse = await bench.release(site, {"index.html": b"second"})
    shown = await bench.release(site, PAGE)
    await bench.destroy(shown.id)
    tree = await bench.objects.get_tree(worse.metadata.tree or "")
    await bench.objects.delete([blob_key(tree.files["index.html"].sha1)])
    (entry,) = (await recovery.entries()).values()
    assert entry.after == {"published_deploy_id": good.id}


async def test_a_commit_is_built_again_if_that_can_be_done(
    bench: Bench, recovery: Recovery, repository: Repository
) -> None:
    site = await bench.site(repo=repository.repo)
    bench.safeguards.enable("rebuild-by-commit")
    commit = repository.commit(PAGE)
    await bench.builds.start(site)
    assert await bench.worker().run_one()
    deploy_id = await bench.published_id(site)
    assert deploy_id
    await bench.destroy(deploy_id)
    (entry,) = (await recovery.entries()).values()
    assert entry.route is Route.REBUILD
    assert (entry.after["commit_ref"], entry.after["branch"]) == (commit, "main")

    async def refuses(site: Any, commit_ref: str | None) -> str:
        return f"{site.name}: {commit_ref} is not there"

    (entry,) = (await recovery.entries(can_build=refuses)).values()
    assert entry.route is Route.NONE
    assert f"rebuild: docs: {commit} is not there" in entry.refused


async def test_a_locked_site_stays_as_it_is(bench: Bench, recovery: Recovery) -> None:
    site = await bench.site()
    for _ in range(2):
        shown = await bench.release(site, PAGE)
    await bench.publisher.lock(shown.id)
    await bench.destroy(shown.id)
    (entry,) = (await recovery.entries()).values()
    assert entry.route is Route.NONE
    assert "locked" in entry.refused[-1]


async def test_only_the_routes_and_sites_that_are_wished_for_are_planned(
    bench: Bench, recovery: Recovery
) -> None:
    sites = [await bench.site(name) for name in ("one", "two")]
    for site in sites:
        await bench.release(site, PAGE)
    for site in sites:
        await bench.destroy((await bench.release(site, PAGE)).id)
    copy = await recovery.copy()
    wish = Wish(routes=[Route.REVERT], sites={sites[1].id})
    (entry,) = (await recovery.entries(copy.source(), wish=wish)).values()
    assert (entry.site, entry.route) == ("two", Route.REVERT)
    assert entry.refused == []


async def test_a_plan_is_json_that_holds_all_of_it(bench: Bench, recovery: Recovery) -> None:
    site = await bench.site()
    deploy = await bench.release(site, PAGE)
    copy = await recovery.copy()
    await bench.destroy(deploy.id, {"when": bench.clock.now() + timedelta(days=1), "n": [1, None]})
    path, header = await recovery.plan(copy.source())
    value = json.loads(path.read_text())
    assert value["plan"]["id"] == header.id
    assert len(value["digest"]) == 64
    (entry,) = value["entries"]
    assert entry["before"]["metadata"]["n"] == [1, None]
    assert entry["after"]["metadata"]["tree"] == deploy.metadata.tree
