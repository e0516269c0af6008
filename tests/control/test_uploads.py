"""Tests of the upload planner: which files a client still has to send."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from blackstart.model import ManifestFile
from blackstart.store.objects import one_chunk

if TYPE_CHECKING:
    from tests.conftest import Bench, Client

PAGE, SCRIPT, IMAGE = b"a page", b"a script", b"an image"


def sha1_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


async def test_a_first_deploy_sends_every_distinct_file_once(bench: Bench) -> None:
    deploy = await bench.announce(
        await bench.site(), {"a.html": PAGE, "b.html": PAGE, "app.js": SCRIPT}
    )
    assert deploy.metadata.pending_uploads == sorted([sha1_of(PAGE), sha1_of(SCRIPT)])


@pytest.mark.parametrize("safeguards", [[], ["verified-uploads"]])
async def test_the_next_deploy_sends_only_what_is_new(bench: Bench, safeguards: list[str]) -> None:
    for name in safeguards:
        bench.safeguards.enable(name)
    site = await bench.site()
    await bench.release(site, {"index.html": PAGE})
    deploy = await bench.announce(site, {"index.html": PAGE, "app.js": SCRIPT})
    assert deploy.metadata.pending_uploads == [sha1_of(SCRIPT)]


@pytest.mark.parametrize(("safeguards", "expected"), [([], [SCRIPT]), (["verified-uploads"], [])])
async def test_trusting_metadata_knows_only_the_sites_own_files(
    bench: Bench, safeguards: list[str], expected: list[bytes]
) -> None:
    for name in safeguards:
        bench.safeguards.enable(name)
    await bench.release(await bench.site("blog"), {"app.js": SCRIPT})
    deploy = await bench.announce(await bench.site("docs"), {"app.js": SCRIPT})
    assert deploy.metadata.pending_uploads == [sha1_of(data) for data in expected]


async def test_trusting_metadata_does_not_trust_a_deploy_that_still_waits_for_files(
    bench: Bench,
) -> None:
    site = await bench.site()
    await bench.announce(site, {"index.html": PAGE, "app.js": SCRIPT})
    await bench.deploys.upload(sha1_of(PAGE), one_chunk(PAGE))
    again = await bench.announce(site, {"index.html": PAGE, "app.js": SCRIPT})
    assert again.metadata.pending_uploads == sorted([sha1_of(PAGE), sha1_of(SCRIPT)])


async def test_overwritten_metadata_is_trusted_so_that_files_that_never_arrived_go_missing_unless_the_store_is_asked(  # noqa: E501
    bench: Bench, client_of: Client
) -> None:
    site = await bench.site()
    files = {"index.html": PAGE, "app.js": SCRIPT}
    interrupted = await bench.announce(site, files)
    await bench.deploys.upload(sha1_of(PAGE), one_chunk(PAGE))
    await bench.destroy(interrupted.id)

    trusting = await bench.announce(site, files)
    assert trusting.metadata.pending_uploads == []
    bench.safeguards.enable("tolerant-publish")
    await bench.deploys.finish(trusting.id)
    await bench.publisher.publish(trusting.id)
    visitor = client_of(bench.origin())
    assert (await visitor.get("/")).content == PAGE
    assert (await visitor.get("/app.js")).status_code == 500

    bench.safeguards.enable("verified-uploads")
    verifying = await bench.announce(site, files)
    assert verifying.metadata.pending_uploads == [sha1_of(SCRIPT)]


@pytest.mark.parametrize("metadata", [None, 7, "text", [], {}, {"pending_uploads": None}])
async def test_metadata_overwritten_with_anything_at_all_stops_no_upload(
    bench: Bench, metadata: Any
) -> None:
    site = await bench.site()
    earlier = await bench.release(site, {"index.html": PAGE})
    await bench.destroy(earlier.id, metadata)
    deploy = await bench.announce(site, {"index.html": PAGE, "image.png": IMAGE})
    assert deploy.metadata.pending_uploads == [sha1_of(IMAGE)]


async def test_metadata_that_is_gone_altogether_stops_no_upload(bench: Bench) -> None:
    site = await bench.site()
    earlier = await bench.release(site, {"index.html": PAGE})
    await bench.store.database["deploys"].update_one(
        {"_id": earlier.id}, {"$unset": {"metadata": ""}}
    )
    deploy = await bench.announce(site, {"image.png": IMAGE})
    assert deploy.metadata.pending_uploads == [sha1_of(IMAGE)]


async def test_trusting_metadata_does_not_trust_a_deploy_that_died_while_it_was_announced(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await bench.site()
    files = {"index.html": PAGE}
    new = await bench.deploys.create(site.id, branch="main")

    async def dies(*arguments: object, **more: object) -> bool:
        raise OSError("killed")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
        patch.setattr(bench.store.deploys, "move", dies)
        await bench.deploys.announce(
            new.id, [ManifestFile(path="index.html", sha1=sha1_of(PAGE), size=len(PAGE))]
        )
    assert (await bench.store.deploys.manifest(new.id)).files
    deploy = await bench.announce(site, files)
    assert deploy.metadata.pending_uploads == [sha1_of(PAGE)]
