"""From one surviving source alone a broken fleet comes back as far as that source can bring it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bson
import pytest
from tests.recovery.conftest import Recovery, outcomes

from blackstart.model import Deploy, Plan, Site
from blackstart.recovery.find import find
from blackstart.recovery.plan import PlanFile, Wish
from blackstart.recovery.snapshots import Snapshots, cutting
from blackstart.recovery.snapshots.keys import chunk_key
from blackstart.recovery.sources import (
    PointerLogSource,
    Route,
    Source,
    TreeScanSource,
    every_source,
    snapshot_sources,
)
from blackstart.recovery.verify import State
from blackstart.store.ledger import objects as ledger
from blackstart.store.objects import blob_key

if TYPE_CHECKING:
    from tests.conftest import Bench, Repository


@dataclass
class Fleet:
    """Four sites: what each deploy was, and which are in the snapshot."""

    sites: list[Site]
    before: dict[str, Deploy]
    early: set[str]

    @property
    def late(self) -> set[str]:
        return self.before.keys() - self.early


@pytest.fixture
async def fleet(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Two deploys of each site, a snapshot, one deploy more; then all metadata is overwritten."""
    monkeypatch.setattr(ledger, "SEGMENT_RECORDS", 3)
    sites = [await bench.site(f"site-{plan}", plan=plan) for plan in Plan]
    return await lived(bench, sites, lambda site, number: release(bench, site, number))


async def release(bench: Bench, site: Site, number: int) -> None:
    await bench.release(site, {"index.html": f"{site.name} {number}".encode(), "a.css": b"a{}"})


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two or three deploys in a chunk."""
    monkeypatch.setattr(cutting, "TARGET_BYTES", 600)


@pytest.fixture
async def built(bench: Bench, make_repository: Callable[[str], Repository]) -> Fleet:
    """The same with two sites that are built from git."""
    repositories = [make_repository(f"site-{number}") for number in range(2)]
    sites = [await bench.site(f"site-{n}", repo=each.repo) for n, each in enumerate(repositories)]

    async def build(site: Site, number: int) -> None:
        repository = repositories[sites.index(site)]
        repository.commit({"index.html": f"{site.name} {number}".encode()})
        bench.clock.advance(30)
        await bench.builds.start(site)
        assert await bench.worker().run_one()

    fleet = await lived(bench, sites, build)
    for repository in repositories:
        repository.commit({"index.html": b"not published yet"})
    return fleet


async def lived(
    bench: Bench, sites: list[Site], deploy: Callable[[Site, int], Awaitable[None]]
) -> Fleet:
    for name in ("pointer-log", "self-describing-trees", "rebuild-by-commit", "tolerant-publish"):
        bench.safeguards.enable(name)
    early: set[str] = set()
    for number in range(3):
        for site in sites:
            await deploy(site, number)
        if number == 1:
            await Snapshots(bench.objects).take(bench.store.database, bench.clock, bench.seed)
            early = {raw["_id"] async for raw in bench.store.deploys.scan_raw()}
    found = [each async for each in bench.store.deploys.scan()]
    before = {each.id: each for each in found if isinstance(each, Deploy)}
    for deploy_id in before:
        await bench.destroy(deploy_id)
    return Fleet(sites, before, early)


async def recover(
    bench: Bench, recovery: Recovery, sources: list[Source], *routes: Route
) -> tuple[dict[State, set[str]], dict[str, str]]:
    """Plan, apply twice, build what was asked for; then who stands how, and by which route."""
    path, _ = await recovery.plan(*sources, wish=Wish(routes=list(routes)))
    report = await recovery.apply(path)
    assert report.tally.smooth
    assert "applied" not in outcomes(await recovery.apply(path))
    while await bench.worker().run_one():
        pass
    states: dict[State, set[str]] = {}
    for deploy_id, each in (await recovery.verify(path, deep=True)).items():
        states.setdefault(each.state, set()).add(deploy_id)
    with PlanFile(path) as plan:
        return states, {entry.deploy_id: entry.route.value for entry in plan.entries()}


async def exactly_as_before(bench: Bench, fleet: Fleet, *but: str) -> set[str]:
    """Deploys that are byte for byte what they were, some fields of metadata left out."""
    same = set()
    async for raw in bench.store.deploys.scan_raw():
        known = fleet.before.get(raw["_id"])
        if known is not None and without(raw, but) == without(known.to_mongo(), but):
            same.add(raw["_id"])
    return same


def without(raw: dict[str, Any], fields: tuple[str, ...]) -> bytes:
    metadata = {name: value for name, value in raw["metadata"].items() if name not in fields}
    return bson.encode({**raw, "metadata": metadata})


async def shown(bench: Bench, fleet: Fleet) -> set[str]:
    return {await bench.published_id(site) or "" for site in fleet.sites}


async def test_a_snapshot_alone_brings_back_all_it_holds_to_the_byte_and_sites_go_back_to_it(
    bench: Bench, recovery: Recovery, fleet: Fleet
) -> None:
    sources = await snapshot_sources(Snapshots(bench.objects))
    states, _ = await recover(bench, recovery, sources, Route.SNAPSHOT, Route.REVERT)
    assert states == {State.RESTORED: fleet.early, State.REVERTED: fleet.late}
    assert await exactly_as_before(bench, fleet) == fleet.early
    assert await shown(bench, fleet) < fleet.early


@pytest.mark.parametrize("route", [Route.POINTER_LOG, Route.TREE_SCAN])
async def test_log_or_bucket_alone_brings_back_every_deploy_but_for_the_exact_time(
    bench: Bench, recovery: Recovery, fleet: Fleet, route: Route
) -> None:
    log = route is Route.POINTER_LOG
    source = PointerLogSource(bench.objects, None) if log else TreeScanSource(bench.objects)
    await bench.objects.delete(await bench.objects.list_keys("snapshots/"))
    if not log:
        await bench.objects.delete(await bench.objects.list_keys("pointer-log/"))
    states, _ = await recover(bench, recovery, [source], route)
    assert states == {State.RESTORED: fleet.before.keys()}
    assert await exactly_as_before(bench, fleet, "completed_at") == fleet.before.keys()
    assert source.problems == []


async def test_git_alone_brings_back_what_every_site_showed_as_a_new_deploy(
    bench: Bench, recovery: Recovery, built: Fleet
) -> None:
    showed = {deploy_id: built.before[deploy_id] for deploy_id in await shown(bench, built)}
    states, routes = await recover(bench, recovery, [], Route.REBUILD)
    # What no site showed is not back: its permalink and the way back to it are gone.
    assert states == {State.SUPERSEDED: built.before.keys()}
    assert {key for key, route in routes.items() if route == "rebuild"} == showed.keys()
    for deploy in showed.values():
        site = await bench.store.sites.get(deploy.site_id)
        new = await bench.deploy(site.published_deploy_id or "")
        assert (new.commit_ref, new.number) == (deploy.commit_ref, 4)


async def test_with_no_source_at_all_every_deploy_is_named_as_lost(
    bench: Bench, recovery: Recovery, fleet: Fleet
) -> None:
    states, _ = await recover(bench, recovery, [], Route.REVERT)
    assert states == {State.LOST: fleet.before.keys()}


async def test_with_all_sources_nothing_is_lost_and_the_best_one_is_taken(
    bench: Bench, recovery: Recovery, fleet: Fleet
) -> None:
    sources = await every_source(bench.store, bench.objects, Snapshots(bench.objects))
    states, routes = await recover(bench, recovery, sources, *Route)
    assert states == {State.RESTORED: fleet.before.keys()}
    assert {key for key, route in routes.items() if route == "snapshot"} == fleet.early
    assert {key for key, route in routes.items() if route == "pointer-log"} == fleet.late
    assert [each async for each in find(bench.store, bench.objects)] == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "gone"])
@pytest.mark.parametrize("what", ["snapshots/chunks/", "snapshots/manifests/", "pointer-log/"])
async def test_a_source_that_broke_silently_is_named_and_routed_around(
    bench: Bench, recovery: Recovery, fleet: Fleet, what: str, damage: str
) -> None:
    keys = await bench.objects.list_keys(what)
    assert keys
    if damage == "gone":
        await bench.objects.delete(keys)
    for key in keys if damage != "gone" else []:
        data = await bench.objects.get(key)
        at = len(data) // 2
        flipped = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        broken = {"truncated": data[:at], "flipped": flipped, "empty": b""}[damage]
        await bench.objects.put(key, broken)
    sources = await every_source(bench.store, bench.objects, Snapshots(bench.objects))
    path, header = await recovery.plan(*sources)
    route = "pointer-log" if "pointer" in what else "snapshot"
    troubled = [source for source in header.sources if source.route == route and source.problems]
    assert troubled, header.sources
    await recovery.apply(path)
    assert {each.state for each in (await recovery.verify(path)).values()} == {State.RESTORED}


async def test_of_a_snapshot_with_one_damaged_chunk_the_others_are_used(
    bench: Bench, recovery: Recovery, small_chunks: None, fleet: Fleet
) -> None:
    snapshots = Snapshots(bench.objects)
    (taken,) = await snapshots.all()
    chunks = (await snapshots.manifest(taken.id)).collections["deploys"].chunks
    assert len(chunks) > 2
    data = await bench.objects.get(chunk_key(chunks[1].name))
    await bench.objects.put(chunk_key(chunks[1].name), data[:-3])
    sources = await every_source(bench.store, bench.objects, snapshots)
    path, header = await recovery.plan(*sources)
    (problem,) = header.sources[0].problems
    assert chunks[1].name in problem
    assert header.routes["snapshot"] == len(fleet.early) - chunks[1].count
    await recovery.apply(path)
    assert {each.state for each in (await recovery.verify(path)).values()} == {State.RESTORED}


async def test_an_empty_backup_is_named_and_the_one_before_it_used(
    bench: Bench, recovery: Recovery, fleet: Fleet
) -> None:
    bench.clock.advance(60)
    nothing = bench.store.database.client[bench.store.database.name + "-empty"]
    snapshots = Snapshots(bench.objects)
    empty = await snapshots.take(nothing, bench.clock, bench.seed)
    assert empty.is_empty
    path, header = await recovery.plan(*await snapshot_sources(snapshots))
    problems = {source.name: source.problems for source in header.sources}
    assert problems[f"snapshot {empty.id}"] == ["it holds no deploys"]
    assert header.routes["snapshot"] == len(fleet.early)
    await recovery.apply(path)
    standing = await recovery.verify(path)
    assert {key for key, each in standing.items() if each.state is State.RESTORED} == fleet.early


async def test_a_log_with_a_missing_segment_is_named_and_only_what_was_in_it_is_not_back(
    bench: Bench, recovery: Recovery, fleet: Fleet
) -> None:
    keys = await bench.objects.list_keys("pointer-log/")
    assert len(keys) == 4
    gone = await bench.objects.get(keys[1])
    await bench.objects.delete(keys[1:2])
    source = PointerLogSource(bench.objects, None)
    path, header = await recovery.plan(source, wish=Wish(routes=[Route.POINTER_LOG]))
    assert any("missing" in problem for problem in header.sources[0].problems)
    assert header.routes == {"pointer-log": 9, "none": 3}
    await recovery.apply(path)
    standing = await recovery.verify(path)
    lost = {key for key, each in standing.items() if each.state is not State.RESTORED}
    assert lost == {key for key in fleet.before if key.encode() in gone}
    # Of each of those sites a later deploy is back, and shown.
    assert {standing[key].state for key in lost} == {State.SUPERSEDED}


async def test_a_deploy_whose_files_are_gone_too_is_not_called_restored_by_any_source(
    bench: Bench, recovery: Recovery, built: Fleet
) -> None:
    lost = sorted(await shown(bench, built))[0]
    tree = await bench.objects.get_tree(built.before[lost].metadata.tree or "")
    await bench.objects.delete([blob_key(tree.files["index.html"].sha1)])
    sources = await every_source(bench.store, bench.objects, Snapshots(bench.objects))
    states, routes = await recover(bench, recovery, sources, *Route)
    assert routes[lost] == "rebuild"
    assert states[State.RESTORED] >= built.before.keys() - {lost}
