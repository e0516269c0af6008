"""Tests of the deploys' queries, on a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from blackstart.errors import ConflictError, NotFoundError
from blackstart.model import (
    Build,
    BuildState,
    Context,
    Deploy,
    DeployState,
    InvalidDeploy,
    Manifest,
    ManifestFile,
    Metadata,
)
from blackstart.store import MetadataStore

NOON = datetime(2017, 2, 2, 12, tzinfo=UTC)
LOST = {"migrated": True}
CONTENDERS = 20
UPLOADING, PROCESSING, READY = DeployState.UPLOADING, DeployState.PROCESSING, DeployState.READY


def a_deploy(number: int, *, state: DeployState = READY, site_id: str = "s1") -> Deploy:
    ready = state is READY
    return Deploy(
        id=f"{site_id}-d{number}",
        site_id=site_id,
        number=number,
        state=state,
        branch="main",
        commit_ref="c" * 40,
        build_id=None,
        created_at=NOON,
        metadata=Metadata(
            tree=f"{number:064x}" if ready else None,
            completed_at=NOON if ready else None,
            file_count=1,
            byte_count=5,
            pending_uploads=[] if ready else ["0" * 40, "1" * 40],
        ),
    )


def a_manifest(deploy: Deploy) -> Manifest:
    return Manifest(id=deploy.id, files=[ManifestFile(path="a.html", sha1="0" * 40, size=5)])


async def stored(store: MetadataStore, *deploys: Deploy) -> None:
    await store.deploys.insert_many(deploys, [a_manifest(deploy) for deploy in deploys])


async def damage(store: MetadataStore, deploy_id: str) -> None:
    await store.database["deploys"].update_one({"_id": deploy_id}, {"$set": {"metadata": LOST}})


async def raws(store: MetadataStore) -> list[dict[str, Any]]:
    return [raw async for raw in store.deploys.scan_raw()]


async def test_a_deploy_and_its_manifest_are_read_as_they_were_stored(store: MetadataStore) -> None:
    deploy = a_deploy(1)
    await store.deploys.insert(deploy)
    assert await store.deploys.insert_manifest(a_manifest(deploy))
    assert not await store.deploys.insert_manifest(a_manifest(deploy)), "there is one"
    assert await store.deploys.get(deploy.id) == deploy
    assert await store.deploys.raw(deploy.id) == deploy.to_mongo()
    assert await store.deploys.manifest(deploy.id) == a_manifest(deploy)


async def test_what_does_not_exist_is_not_found(store: MetadataStore) -> None:
    assert await store.deploys.find("d9") is None
    assert await store.deploys.raw("d9") is None
    assert await store.deploys.latest_number("s9") == 0
    with pytest.raises(NotFoundError, match="d9"):
        await store.deploys.get("d9")
    with pytest.raises(NotFoundError, match="d9"):
        await store.deploys.manifest("d9")


async def test_of_many_who_want_a_number_exactly_one_gets_it(store: MetadataStore) -> None:
    deploys = [
        a_deploy(7).model_copy(update={"id": f"contender-{number}"}) for number in range(CONTENDERS)
    ]
    outcomes = await asyncio.gather(
        *(store.deploys.insert(deploy) for deploy in deploys),
        return_exceptions=True,
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == CONTENDERS - 1
    winner = deploys[outcomes.index(None)]
    assert await store.deploys.of_site("s1") == [winner]


async def test_a_sites_deploys_come_newest_first_page_by_page(store: MetadataStore) -> None:
    await stored(store, a_deploy(2), a_deploy(10), a_deploy(1), a_deploy(3, site_id="s2"))
    assert [found.number for found in await store.deploys.of_site("s1")] == [10, 2, 1]
    assert [found.number for found in await store.deploys.of_site("s1", skip=1, limit=1)] == [2]
    assert await store.deploys.latest_number("s1") == 10


async def test_a_damaged_deploy_is_listed_as_invalid_among_the_others(store: MetadataStore) -> None:
    await stored(store, a_deploy(1), a_deploy(2))
    await damage(store, "s1-d2")
    newest, oldest = await store.deploys.of_site("s1")
    assert isinstance(newest, InvalidDeploy)
    assert oldest == a_deploy(1)
    both = await store.deploys.many(["s1-d1", "s1-d2", "s1-d3"])
    assert both == {"s1-d1": oldest, "s1-d2": newest}
    assert [found async for found in store.deploys.scan()] == [oldest, newest]


async def test_completed_deploys_are_the_ready_ones_but_one_newest_first(
    store: MetadataStore,
) -> None:
    await stored(
        store,
        a_deploy(1),
        a_deploy(2),
        a_deploy(3, state=PROCESSING),
        a_deploy(4),
        a_deploy(5, site_id="s2"),
        *(a_deploy(number) for number in range(6, 20)),
    )
    found = [deploy async for deploy in store.deploys.completed_newest_first("s1", but="s1-d4")]
    assert [deploy.number for deploy in found] == [*range(19, 5, -1), 2, 1]


async def test_a_state_is_only_left_from_where_it_is(store: MetadataStore) -> None:
    await stored(store, a_deploy(1, state=UPLOADING))
    assert not await store.deploys.move("s1-d1", from_states=[PROCESSING], to=READY)
    assert await store.deploys.get("s1-d1") == a_deploy(1, state=UPLOADING)
    assert await store.deploys.move("s1-d1", from_states=[UPLOADING], to=PROCESSING)
    moved = await store.deploys.get("s1-d1")
    assert moved == a_deploy(1, state=UPLOADING).model_copy(update={"state": PROCESSING})


async def test_of_many_who_complete_a_deploy_exactly_one_wins_with_its_metadata(
    store: MetadataStore,
) -> None:
    await stored(store, a_deploy(1, state=PROCESSING))
    offers = [
        a_deploy(1).metadata.model_copy(update={"byte_count": number})
        for number in range(CONTENDERS)
    ]
    won = await asyncio.gather(
        *(
            store.deploys.move("s1-d1", from_states=[PROCESSING], to=READY, metadata=offer)
            for offer in offers
        )
    )
    assert won.count(True) == 1
    found = await store.deploys.get("s1-d1")
    assert isinstance(found, Deploy)
    assert found.metadata == offers[won.index(True)]


async def test_of_many_who_announce_for_one_deploy_exactly_one_is_kept(
    store: MetadataStore,
) -> None:
    offers = [
        Manifest(id="d1", files=[ManifestFile(path=f"{number}", sha1="0" * 40)])
        for number in range(CONTENDERS)
    ]
    won = await asyncio.gather(*(store.deploys.insert_manifest(offer) for offer in offers))
    assert won.count(True) == 1
    assert await store.deploys.manifest("d1") == offers[won.index(True)]


async def test_a_pointer_is_set_while_processing_and_never_after(store: MetadataStore) -> None:
    await stored(store, a_deploy(1, state=PROCESSING), a_deploy(2, state=UPLOADING), a_deploy(3))
    assert await store.deploys.set_pointer("s1-d1", "t" * 64, 7)
    found = await store.deploys.get("s1-d1")
    assert isinstance(found, Deploy)
    assert (found.metadata.tree, found.metadata.byte_count) == ("t" * 64, 7)
    assert found.metadata.pending_uploads == []
    for deploy_id in ("s1-d2", "s1-d3", "s1-d4"):
        assert not await store.deploys.set_pointer(deploy_id, "t" * 64, 7)
    assert await store.deploys.get("s1-d3") == a_deploy(3)


async def test_a_pointer_that_races_the_end_of_its_deploy_never_changes_a_finished_one(
    store: MetadataStore,
) -> None:
    await stored(store, a_deploy(1, state=PROCESSING))
    ended, *pointers = await asyncio.gather(
        store.deploys.move(
            "s1-d1", from_states=[PROCESSING], to=DeployState.READY, metadata=a_deploy(1).metadata
        ),
        *(store.deploys.set_pointer("s1-d1", "t" * 64, 7) for _ in range(CONTENDERS - 1)),
    )
    assert ended is True
    assert False in pointers, "the race has losers"
    assert await store.deploys.get("s1-d1") == a_deploy(1)


@pytest.mark.parametrize("state", [DeployState.NEW, UPLOADING, PROCESSING])
async def test_what_is_not_completed_can_be_given_up(
    store: MetadataStore, state: DeployState
) -> None:
    await stored(store, a_deploy(1, state=state), a_deploy(2, state=state))
    assert await store.deploys.give_up("s1-d1", DeployState.CANCELLED, "why")
    found = await store.deploys.get("s1-d1")
    assert isinstance(found, Deploy)
    assert (found.state, found.error) == (DeployState.CANCELLED, "why")
    assert not await store.deploys.give_up("s1-d1", DeployState.ERROR, "again")
    assert await store.deploys.get("s1-d1") == found
    assert await store.deploys.get("s1-d2") == a_deploy(2, state=state)


async def test_what_is_completed_is_never_given_up(store: MetadataStore) -> None:
    completed = a_deploy(1).model_copy(update={"state": PROCESSING})
    await stored(store, completed, a_deploy(2))
    for deploy in (completed, a_deploy(2)):
        assert not await store.deploys.give_up(deploy.id, DeployState.CANCELLED, "why")
        assert await store.deploys.get(deploy.id) == deploy


async def test_of_completing_and_giving_up_at_once_exactly_one_happens(
    store: MetadataStore,
) -> None:
    for number in range(1, CONTENDERS + 1):
        deploy = a_deploy(number, state=PROCESSING)
        await stored(store, deploy)
        steps = [
            store.deploys.move(
                deploy.id, from_states=[PROCESSING], to=PROCESSING, metadata=a_deploy(1).metadata
            ),
            store.deploys.give_up(deploy.id, DeployState.CANCELLED, "why"),
        ]
        outcomes = await asyncio.gather(*(steps if number % 2 else steps[::-1]))
        assert sorted(outcomes) == [False, True]


async def test_all_that_a_build_began_is_given_up_but_what_is_spared_or_completed(
    store: MetadataStore,
) -> None:
    build = Build(
        id="b1",
        site_id="s1",
        deploy_id=None,
        commit_ref=None,
        pinned=False,
        branch="main",
        state=BuildState.RUNNING,
        priority=0,
        due_at=NOON,
        created_at=NOON,
    )
    ours = {"build_id": "b1"}
    await stored(
        store,
        a_deploy(1, state=UPLOADING).model_copy(update=ours),
        a_deploy(2, state=PROCESSING).model_copy(update=ours),
        a_deploy(3, state=UPLOADING).model_copy(update=ours),
        a_deploy(4).model_copy(update=ours | {"state": PROCESSING}),
        a_deploy(5).model_copy(update=ours),
        a_deploy(6, state=UPLOADING),
        a_deploy(7, state=UPLOADING, site_id="s2").model_copy(update=ours),
    )
    await store.deploys.give_up_of_build(build, DeployState.ERROR, "why", but="s1-d3")
    given_up = [raw["_id"] for raw in await raws(store) if raw["state"] == DeployState.ERROR]
    assert given_up == ["s1-d1", "s1-d2"]


async def test_previews_and_branch_deploys_are_not_among_the_completed_ones(
    store: MetadataStore,
) -> None:
    others = {2: Context.PREVIEW, 3: Context.BRANCH}
    await stored(
        store,
        a_deploy(1),
        *(a_deploy(n).model_copy(update={"context": others[n]}) for n in others),
    )
    found = [deploy async for deploy in store.deploys.completed_newest_first("s1", but="")]
    assert found == [a_deploy(1)]


async def test_each_branch_has_its_newest_ready_branch_deploy(store: MetadataStore) -> None:
    branch = {"context": Context.BRANCH}
    await stored(
        store,
        a_deploy(1).model_copy(update=branch | {"branch": "a"}),
        a_deploy(2).model_copy(update=branch | {"branch": "b"}),
        a_deploy(3).model_copy(update=branch | {"branch": "a"}),
        a_deploy(4, state=PROCESSING).model_copy(update=branch | {"branch": "a"}),
        a_deploy(5),
    )
    found = await store.deploys.branches("s1")
    assert {name: deploy.number for name, deploy in found.items()} == {"a": 3, "b": 2}
    for name, deploy in found.items():
        assert await store.deploys.newest_of_branch("s1", name) == deploy
    for site_id, name in (("s1", a_deploy(5).branch), ("s2", "a")):
        assert await store.deploys.newest_of_branch(site_id, name) is None


async def test_deploys_and_manifests_of_a_site_are_forgotten_together(store: MetadataStore) -> None:
    other = a_deploy(1, site_id="s2")
    await stored(store, a_deploy(1), a_deploy(2), other)
    await store.deploys.delete_of_site("s1")
    assert await raws(store) == [other.to_mongo()]
    assert [raw["_id"] async for raw in store.database["manifests"].find()] == [other.id]


async def test_metadata_is_replaced_only_while_it_is_what_was_seen(store: MetadataStore) -> None:
    deploy = a_deploy(1)
    good = deploy.metadata.model_dump()
    await stored(store, deploy, a_deploy(2))
    await damage(store, deploy.id)
    other: dict[str, Any] = {"migrated": False}
    assert not await store.deploys.replace_metadata(deploy.id, seen=other, metadata=good)
    assert isinstance(await store.deploys.get(deploy.id), InvalidDeploy)
    assert await store.deploys.replace_metadata(deploy.id, seen=LOST, metadata=good)
    assert await raws(store) == [deploy.to_mongo(), a_deploy(2).to_mongo()]


async def test_of_many_who_replace_metadata_exactly_one_wins(store: MetadataStore) -> None:
    await stored(store, a_deploy(1))
    await damage(store, "s1-d1")
    offers = [
        a_deploy(1).metadata.model_copy(update={"byte_count": number}).model_dump()
        for number in range(CONTENDERS)
    ]
    won = await asyncio.gather(
        *(store.deploys.replace_metadata("s1-d1", seen=LOST, metadata=offer) for offer in offers)
    )
    assert won.count(True) == 1
    found = await store.deploys.raw("s1-d1")
    assert found is not None
    assert found["metadata"] == offers[won.index(True)]


async def test_listing_digests_gives_each_other_deploy_with_its_files(store: MetadataStore) -> None:
    await stored(store, a_deploy(1), a_deploy(2), a_deploy(3), a_deploy(4, site_id="s2"))
    await damage(store, "s1-d1")
    found = [pair async for pair in store.deploys.listing_digests("s1", but="s1-d2")]
    assert [raw["_id"] for raw, _ in found] == ["s1-d3", "s1-d1"]
    assert [manifest.id for _, manifest in found] == ["s1-d3", "s1-d1"]
    assert found[1][0]["metadata"] == LOST


async def test_a_scan_sees_every_document_once_in_id_order(store: MetadataStore) -> None:
    deploys = [a_deploy(number) for number in range(1, 301)]
    await stored(store, *deploys)
    assert await raws(store) == sorted(
        (deploy.to_mongo() for deploy in deploys), key=lambda raw: str(raw["_id"])
    )


async def test_the_previous_pointer_is_that_of_the_nearest_earlier_deploy_with_one(
    store: MetadataStore,
) -> None:
    await stored(store, *(a_deploy(number) for number in range(1, 6)), a_deploy(4, site_id="s2"))
    for number in range(1, 6):
        await store.database["deploys"].update_one(
            {"_id": f"s1-d{number}"}, {"$set": {"metadata.tree": f"tree-{number}"}}
        )
    assert await store.deploys.previous_pointer("s1", 5) == "tree-4"
    await damage(store, "s1-d4")
    await store.database["deploys"].update_one({"_id": "s1-d3"}, {"$set": {"metadata.tree": None}})
    assert await store.deploys.previous_pointer("s1", 5) == "tree-2"
    assert await store.deploys.previous_pointer("s1", 1) is None
    assert await store.deploys.previous_pointer("nobody", 9) is None
