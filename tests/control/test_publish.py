"""Tests of publishing: the check, the atomic write, and what stands in its way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from blackstart.control.publish import Publisher, Verdict, newest_good
from blackstart.errors import (
    ConflictError,
    HopError,
    InvalidDeployError,
    NotFoundError,
    PublishCheckError,
)
from blackstart.model import Context, DeployState, Site

if TYPE_CHECKING:
    from tests.conftest import Bench

OLD, NEW = {"index.html": b"old"}, {"index.html": b"new"}


async def test_a_published_deploy_is_complete_current_and_announced_to_the_nodes(
    bench: Bench,
) -> None:
    site = await bench.site()
    deploy = await bench.processing(site, OLD)
    bench.clock.advance(60)
    assert await bench.publisher.publish(deploy.id) is Verdict.PUBLISHED
    published = await bench.deploy(deploy.id)
    assert published.state is DeployState.READY
    assert published.metadata.completed_at == bench.clock.now()
    assert published.metadata.tree == deploy.metadata.tree
    assert await bench.published_id(site) == deploy.id
    assert bench.purges.tags == [f"site-{site.id}"]
    assert bench.events.subjects("site.published") == [site.id]


async def test_publishing_again_changes_nothing(bench: Bench) -> None:
    deploy = await bench.release(await bench.site(), OLD)
    bench.clock.advance(60)
    assert await bench.publisher.publish(deploy.id) is Verdict.PUBLISHED
    assert await bench.deploy(deploy.id) == deploy
    assert len(bench.events.subjects("site.published")) == 1


async def test_a_slow_older_deploy_is_superseded_and_never_replaces_a_newer_one(
    bench: Bench,
) -> None:
    site = await bench.site()
    slow = await bench.processing(site, OLD)
    newer = await bench.release(site, NEW)
    assert await bench.publisher.publish(slow.id) is Verdict.SUPERSEDED
    assert await bench.published_id(site) == newer.id
    assert (await bench.deploy(slow.id)).state is DeployState.READY
    assert bench.events.subjects("deploy.superseded") == [slow.id]


async def test_an_older_deploy_that_is_pushed_through_never_replaces_a_newer_one(
    bench: Bench,
) -> None:
    site = await bench.site()
    slow = await bench.processing(site, OLD)
    newer = await bench.release(site, NEW)
    assert await bench.publisher.push(slow.id) is Verdict.SUPERSEDED
    assert await bench.published_id(site) == newer.id


async def test_an_older_deploy_never_replaces_a_newer_one_that_was_damaged(bench: Bench) -> None:
    bench.safeguards.enable("tolerant-publish")
    site = await bench.site()
    slow = await bench.processing(site, OLD)
    newer = await bench.release(site, NEW)
    await bench.destroy(newer.id)
    assert await bench.publisher.publish(slow.id) is Verdict.SUPERSEDED
    assert await bench.published_id(site) == newer.id


@pytest.mark.parametrize("first", [0, 1])
async def test_of_all_that_publish_at_once_the_newest_is_shown_in_the_end(
    bench: Bench, first: int
) -> None:
    site = await bench.site()
    deploys = [await bench.processing(site, {"n": f"{n}".encode()}) for n in range(8)]
    order = deploys if first == 0 else deploys[::-1]
    verdicts = await asyncio.gather(*(bench.publisher.publish(deploy.id) for deploy in order))
    assert await bench.published_id(site) == deploys[-1].id
    assert verdicts[order.index(deploys[-1])] is Verdict.PUBLISHED
    details = [detail for action, _, detail in bench.events.happened if action == "site.published"]
    shown = [detail["number"] for detail in details]
    assert set(verdicts) <= {Verdict.PUBLISHED, Verdict.SUPERSEDED}
    assert verdicts.count(Verdict.PUBLISHED) == len(shown)
    chain = {detail["deploy"]: detail["instead"] for detail in details}
    number_of = {deploy.id: deploy.number for deploy in deploys}
    assert all(
        instead is None or number_of[instead] < number_of[deploy_id]
        for deploy_id, instead in chain.items()
    ), "each publish replaced an older deploy"


async def test_a_locked_site_keeps_what_it_shows(bench: Bench) -> None:
    site = await bench.site(locked=True)
    deploy = await bench.processing(site, OLD)
    assert await bench.publisher.publish(deploy.id) is Verdict.LOCKED
    assert await bench.publisher.push(deploy.id) is Verdict.LOCKED
    assert await bench.published_id(site) is None
    assert (await bench.deploy(deploy.id)).state is DeployState.READY
    assert bench.purges.tags == []


async def test_in_2017_an_invalid_latest_deploy_leaves_the_next_one_whole_but_stuck(
    bench: Bench,
) -> None:
    site = await bench.site()
    latest = await bench.release(site, OLD)
    await bench.destroy(latest.id)
    stuck = await bench.processing(site, NEW)
    with pytest.raises(PublishCheckError, match=latest.id):
        await bench.publisher.publish(stuck.id)
    assert await bench.deploy(stuck.id) == stuck
    assert await bench.published_id(site) == latest.id
    details = [detail for action, _, detail in bench.events.happened if action == "publish.checked"]
    assert (details[-1]["latest"], details[-1]["outcome"]) == (latest.id, "failed")


async def test_a_stuck_deploy_can_be_pushed_through(bench: Bench) -> None:
    site = await bench.site()
    await bench.destroy((await bench.release(site, OLD)).id)
    stuck = await bench.processing(site, NEW)
    assert await bench.publisher.push(stuck.id) is Verdict.PUBLISHED
    assert await bench.published_id(site) == stuck.id
    assert (await bench.deploy(stuck.id)).state is DeployState.READY


async def test_the_tolerant_check_passes_an_invalid_deploy_over(bench: Bench) -> None:
    bench.safeguards.enable("tolerant-publish")
    site = await bench.site()
    await bench.destroy((await bench.release(site, OLD)).id)
    deploy = await bench.processing(site, NEW)
    assert await bench.publisher.publish(deploy.id) is Verdict.PUBLISHED
    assert await bench.published_id(site) == deploy.id


async def test_the_tolerant_check_still_compares_with_the_next_older_valid_deploy(
    bench: Bench,
) -> None:
    bench.safeguards.enable("tolerant-publish")
    site = await bench.site()
    slow = await bench.processing(site, OLD)
    valid = await bench.release(site, NEW)
    await bench.destroy((await bench.release(site, {"index.html": b"newest"})).id)
    # Only the check can tell: the site itself knows of no newer deploy.
    fields = {"published_deploy_id": valid.id, "newest_published": 0}
    await bench.store.sites.change(site.id, fields)
    assert await bench.publisher.publish(slow.id) is Verdict.SUPERSEDED


async def test_a_deploy_without_a_pointer_can_be_neither_published_nor_pushed(
    bench: Bench,
) -> None:
    site = await bench.site()
    deploy = await bench.announce(site, OLD)
    for publish in (bench.publisher.publish, bench.publisher.push):
        with pytest.raises(ConflictError):
            await publish(deploy.id)
    await bench.store.deploys.move(
        deploy.id, from_states=[DeployState.UPLOADING], to=DeployState.PROCESSING
    )
    for publish in (bench.publisher.publish, bench.publisher.push):
        with pytest.raises(ConflictError):
            await publish(deploy.id)
    assert (await bench.deploy(deploy.id)).state is DeployState.PROCESSING
    assert await bench.published_id(site) is None


async def test_a_destroyed_deploy_can_be_neither_published_nor_pushed(bench: Bench) -> None:
    deploy = await bench.processing(await bench.site(), OLD)
    await bench.destroy(deploy.id)
    for publish in (bench.publisher.publish, bench.publisher.push):
        with pytest.raises(InvalidDeployError, match=deploy.id):
            await publish(deploy.id)


async def test_a_site_is_reverted_to_an_older_deploy_on_purpose(bench: Bench) -> None:
    site = await bench.site()
    old = await bench.release(site, OLD)
    new = await bench.release(site, NEW)
    bench.purges.tags.clear()
    await bench.publisher.revert(site.id, old.id)
    assert await bench.published_id(site) == old.id
    assert bench.purges.tags == [f"site-{site.id}"]
    assert bench.events.happened[-1] == (
        "site.reverted",
        site.id,
        {"deploy": old.id, "instead": new.id},
    )


async def test_a_site_is_never_reverted_to_what_is_not_its_own_ready_and_valid_deploy(
    bench: Bench,
) -> None:
    site = await bench.site()
    current = await bench.release(site, OLD)
    unready = await bench.processing(site, NEW)
    foreign = await bench.release(await bench.site("blog"), NEW)
    broken = await bench.destroy((await bench.release(site, NEW)).id)
    await bench.publisher.revert(site.id, current.id)
    for deploy_id, error in (
        (unready.id, ConflictError),
        (foreign.id, ConflictError),
        (broken.id, InvalidDeployError),
        ("nothing", NotFoundError),
    ):
        with pytest.raises(error):
            await bench.publisher.revert(site.id, deploy_id)
    assert await bench.published_id(site) == current.id


async def test_a_revert_loses_against_a_publish_in_between(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await bench.site()
    old = await bench.release(site, OLD)
    await bench.release(site, NEW)
    get = bench.store.deploys.get

    async def publish_meanwhile(deploy_id: str) -> object:
        await bench.store.sites.publish(await bench.store.sites.get(site.id), "newest", 3)
        return await get(deploy_id)

    monkeypatch.setattr(bench.store.deploys, "get", publish_meanwhile)
    with pytest.raises(ConflictError, match="changed meanwhile"):
        await bench.publisher.revert(site.id, old.id)
    assert await bench.published_id(site) == "newest"


async def test_a_node_that_does_not_confirm_a_purge_is_on_record_and_stops_no_publish(
    bench: Bench,
) -> None:
    async def away(tags: Sequence[str]) -> None:
        raise HopError("node n1 is away")

    publisher = Publisher(
        bench.store, away, clock=bench.clock, safeguards=bench.safeguards, events=bench.events
    )
    site = await bench.site()
    deploy = await bench.processing(site, OLD)
    assert await publisher.publish(deploy.id) is Verdict.PUBLISHED
    assert await bench.published_id(site) == deploy.id
    assert bench.events.subjects("purge.failed") == [site.id]


async def test_the_newest_good_deploy_is_the_first_ready_and_valid_one(bench: Bench) -> None:
    site = await bench.site()
    await bench.release(site, OLD)
    good = await bench.release(site, NEW)
    await bench.destroy((await bench.release(site, OLD)).id)
    await bench.processing(site, NEW)
    assert newest_good(await bench.store.deploys.of_site(site.id)) == good
    assert newest_good([]) is None


STEPS = {
    "before it is completed": ("deploys", "move", 1),
    "before the site shows it": ("sites", "publish", 1),
    "before it is ready": ("deploys", "move", 2),
}


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("step", list(STEPS))
async def test_a_deploy_half_way_is_gone_on_with_by_publishing_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str, done: bool
) -> None:
    """Whoever published died right before or right after a step."""
    site = await bench.site()
    await bench.release(site, OLD)
    deploy = await bench.processing(site, NEW)
    collection, method, nth = STEPS[step]
    part = getattr(bench.store, collection)
    real, calls = getattr(part, method), 0

    async def dies(*arguments: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls < nth:
            return await real(*arguments, **more)
        if done:
            await real(*arguments, **more)
        raise OSError("killed")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
        patch.setattr(part, method, dies)
        await bench.publisher.publish(deploy.id)
    bench.clock.advance(5)
    bench.purges.tags.clear()
    assert await bench.publisher.publish(deploy.id) is Verdict.PUBLISHED
    assert (await bench.deploy(deploy.id)).state is DeployState.READY
    assert await bench.published_id(site) == deploy.id
    assert bench.purges.tags == [f"site-{site.id}"]


async def test_the_nodes_are_told_again_when_who_published_died_before_the_purge(
    bench: Bench,
) -> None:
    site = await bench.site()
    deploy = await bench.release(site, OLD)
    bench.purges.tags.clear()
    assert await bench.publisher.publish(deploy.id) is Verdict.PUBLISHED
    assert bench.purges.tags == [f"site-{site.id}"]
    bench.purges.tags.clear()
    await bench.publisher.revert(site.id, deploy.id)
    assert bench.purges.tags == [f"site-{site.id}"]


async def test_the_site_shows_a_deploy_before_it_is_ready_and_after_it_is_completed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await bench.site()
    deploy = await bench.processing(site, OLD)
    publish = bench.store.sites.publish
    seen = []

    async def look_then_publish(site: Site, deploy_id: str, number: int) -> bool:
        seen.append(await bench.deploy(deploy_id))
        return await publish(site, deploy_id, number)

    monkeypatch.setattr(bench.store.sites, "publish", look_then_publish)
    await bench.publisher.publish(deploy.id)
    assert [(found.state, found.completed) for found in seen] == [(DeployState.PROCESSING, True)]


async def test_a_completed_deploy_is_published_whatever_became_of_the_latest_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has passed the check before; nobody could cancel or push it through twice."""
    site = await bench.site()
    latest = await bench.release(site, OLD)
    deploy = await bench.processing(site, NEW)

    async def dies(*arguments: object) -> bool:
        raise OSError("killed")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
        patch.setattr(bench.store.sites, "publish", dies)
        await bench.publisher.publish(deploy.id)
    await bench.destroy(latest.id)
    assert await bench.publisher.publish(deploy.id) is Verdict.PUBLISHED


@pytest.mark.parametrize("context", [Context.PREVIEW, Context.BRANCH])
async def test_previews_and_branch_deploys_are_ready_and_never_published(
    bench: Bench, context: Context
) -> None:
    site = await bench.site()
    shown = await bench.release(site, OLD)
    for act in (bench.publisher.publish, bench.publisher.push):
        preview = await bench.processing(site, NEW)
        fields = {"context": context}
        await bench.store.database["deploys"].update_one({"_id": preview.id}, {"$set": fields})
        assert await act(preview.id) is Verdict.PREVIEW
        assert (await bench.deploy(preview.id)).state is DeployState.READY
        assert await act(preview.id) is Verdict.PREVIEW
        with pytest.raises(ConflictError, match="never published"):
            await bench.publisher.revert(site.id, preview.id)
    assert await bench.published_id(site) == shown.id


@pytest.mark.parametrize("context", [Context.PREVIEW, Context.BRANCH])
async def test_the_nodes_forget_what_a_branch_showed_once_its_next_deploy_is_ready(
    bench: Bench, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await bench.site()
    deploy = await bench.processing(site, NEW)
    fields = {"context": context, "branch": "x"}
    await bench.store.database["deploys"].update_one({"_id": deploy.id}, {"$set": fields})
    states = []

    async def purge(tags: Sequence[str]) -> None:
        states.append((list(tags), (await bench.deploy(deploy.id)).state))

    monkeypatch.setattr(bench.publisher, "_purge", purge)
    await bench.publisher.publish(deploy.id)
    purged = [([f"branch-{site.id}-x"], DeployState.READY)]
    assert states == (purged if context is Context.BRANCH else [])


async def test_a_preview_does_not_count_in_the_publish_check_nor_in_a_roll_back(
    bench: Bench,
) -> None:
    site = await bench.site()
    first = await bench.release(site, OLD)
    slow = await bench.processing(site, NEW)
    preview = await bench.processing(site, OLD)
    await bench.store.database["deploys"].update_one(
        {"_id": preview.id}, {"$set": {"context": Context.PREVIEW}}
    )
    await bench.publisher.publish(preview.id)
    damaged = await bench.destroy(preview.id)
    assert await bench.publisher.publish(slow.id) is Verdict.PUBLISHED
    assert damaged.number > slow.number
    assert (await bench.publisher.roll_back(site.id)).id == first.id


async def test_a_locked_site_stays_and_the_next_deploy_after_the_unlock_is_published(
    bench: Bench,
) -> None:
    site = await bench.site()
    kept = await bench.release(site, OLD)
    await bench.publisher.lock(kept.id)
    missed = await bench.release(site, NEW)
    assert (missed.state, await bench.published_id(site)) == (DeployState.READY, kept.id)
    for act in (bench.publisher.revert(site.id, missed.id), bench.publisher.roll_back(site.id)):
        with pytest.raises(ConflictError):
            await act
    with pytest.raises(ConflictError, match="locked"):
        await bench.publisher.revert(site.id, missed.id)
    await bench.publisher.unlock(kept.id)
    assert await bench.publisher.publish(missed.id) is Verdict.SUPERSEDED, "its turn is over"
    assert await bench.published_id(site) == kept.id
    following = await bench.release(site, NEW)
    assert await bench.published_id(site) == following.id


async def test_only_the_deploy_that_is_shown_can_be_locked(bench: Bench) -> None:
    site = await bench.site()
    old = await bench.release(site, OLD)
    await bench.release(site, NEW)
    with pytest.raises(ConflictError, match="not the published one"):
        await bench.publisher.lock(old.id)
    with pytest.raises(NotFoundError):
        await bench.publisher.lock("nothing")
    assert not (await bench.store.sites.get(site.id)).locked


async def test_a_site_rolls_back_deploy_by_deploy_until_there_is_none(bench: Bench) -> None:
    site = await bench.site()
    deploys = [await bench.release(site, {"n": f"{n}".encode()}) for n in range(4)]
    await bench.destroy(deploys[2].id)
    for expected in (deploys[1], deploys[0]):
        assert await bench.publisher.roll_back(site.id) == expected
        assert await bench.published_id(site) == expected.id
    with pytest.raises(ConflictError, match="no earlier deploy"):
        await bench.publisher.roll_back(site.id)


async def test_a_roll_back_loses_against_a_publish_in_between(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await bench.site()
    for files in (OLD, NEW):
        await bench.release(site, files)
    of_site = bench.store.deploys.of_site

    async def publish_meanwhile(*arguments: object, **more: object) -> object:
        found = await of_site(*arguments, **more)
        await bench.release(site, {"index.html": b"newest"})
        return found

    with monkeypatch.context() as patch, pytest.raises(ConflictError, match="changed meanwhile"):
        patch.setattr(bench.store.deploys, "of_site", publish_meanwhile)
        await bench.publisher.roll_back(site.id)
    assert (await bench.deploy(await bench.published_id(site) or "")).number == 3


async def test_after_a_revert_only_deploys_newer_than_all_that_were_shown_are_published(
    bench: Bench,
) -> None:
    site = await bench.site()
    first = await bench.release(site, OLD)
    slow = await bench.processing(site, {"index.html": b"slow"})
    stuck = await bench.processing(site, {"index.html": b"stuck"})
    newest = await bench.release(site, NEW)
    await bench.publisher.revert(site.id, first.id)
    await bench.destroy(newest.id)
    bench.safeguards.enable("tolerant-publish")
    assert await bench.publisher.publish(slow.id) is Verdict.SUPERSEDED
    assert await bench.publisher.push(stuck.id) is Verdict.SUPERSEDED
    assert await bench.published_id(site) == first.id
    following = await bench.release(site, OLD)
    assert await bench.published_id(site) == following.id
