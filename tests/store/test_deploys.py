"""Tests of the deploys' queries, on a real database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from blackstart.errors import ConflictError, NotFoundError
from blackstart.model import (
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
    await store.deploys.insert(deploy, a_manifest(deploy))
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
        *(store.deploys.insert(deploy, a_manifest(deploy)) for deploy in deploys),
        return_exceptions=True,
    )
    assert outcomes.count(None) == 1
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == CONTENDERS - 1
    winner = deploys[outcomes.index(None)]
    assert await store.deploys.of_site("s1") == [winner]
    kept = [raw["_id"] async for raw in store.database["manifests"].find()]
    assert kept == [winner.id], "those who lost leave no manifest behind"


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


async def test_uploads_that_arrive_together_are_all_taken_off_the_list(
    store: MetadataStore,
) -> None:
    wanted = [f"{number:040x}" for number in range(CONTENDERS)]
    deploy = a_deploy(1, state=UPLOADING)
    metadata = deploy.metadata.model_copy(update={"pending_uploads": [*wanted, "f" * 40]})
    await stored(store, deploy.model_copy(update={"metadata": metadata}))
    await asyncio.gather(*(store.deploys.upload_arrived("s1-d1", sha1) for sha1 in wanted))
    found = await store.deploys.get("s1-d1")
    assert isinstance(found, Deploy)
    assert found.metadata.pending_uploads == ["f" * 40]


async def test_a_pointer_is_set_while_processing_and_never_after(store: MetadataStore) -> None:
    await stored(store, a_deploy(1, state=PROCESSING), a_deploy(2, state=UPLOADING), a_deploy(3))
    await store.deploys.set_pointer("s1-d1", "t" * 64)
    found = await store.deploys.get("s1-d1")
    assert isinstance(found, Deploy)
    assert found.metadata.tree == "t" * 64
    for deploy_id in ("s1-d2", "s1-d3", "s1-d4"):
        with pytest.raises(ConflictError, match=deploy_id):
            await store.deploys.set_pointer(deploy_id, "t" * 64)
    assert await store.deploys.get("s1-d3") == a_deploy(3)


async def test_a_pointer_that_races_the_end_of_its_deploy_never_changes_a_finished_one(
    store: MetadataStore,
) -> None:
    await stored(store, a_deploy(1, state=PROCESSING))
    ended, *pointers = await asyncio.gather(
        store.deploys.move(
            "s1-d1", from_states=[PROCESSING], to=DeployState.READY, metadata=a_deploy(1).metadata
        ),
        *(store.deploys.set_pointer("s1-d1", "t" * 64) for _ in range(CONTENDERS - 1)),
        return_exceptions=True,
    )
    assert ended is True
    assert all(outcome is None or isinstance(outcome, ConflictError) for outcome in pointers)
    assert await store.deploys.get("s1-d1") == a_deploy(1)


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
