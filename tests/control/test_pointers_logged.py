"""Pointers on record before they are set, and trees that say whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.conftest import manifest_of, sha1_of

from blackstart.control.service import control_service
from blackstart.errors import StorageError
from blackstart.model import Scope, Tree, TreeEntry, TreeOf
from blackstart.settings import Settings
from blackstart.store.pointers import LoggedPointer, ObjectPointerLog, read_pointer_log

if TYPE_CHECKING:
    from tests.conftest import Bench, Client

FILES = {"index.html": b"<h1>hello</h1>", "a.css": b"p {}"}
SIZE = sum(map(len, FILES.values()))


async def logged(bench: Bench) -> list[LoggedPointer]:
    """The whole log, which must have no problem."""
    reading = read_pointer_log(bench.objects)
    found = [pointer async for pointer in reading]
    assert reading.problems == []
    return found


async def test_a_pointer_is_on_record_with_all_that_is_known(bench: Bench) -> None:
    bench.safeguards.enable("pointer-log")
    site = await bench.site()
    announced = await bench.deploys.create(
        site.id, manifest_of(FILES), branch="main", commit_ref="c" * 40
    )
    for data in FILES.values():
        await bench.objects.put_blob(data, sha1_of(data))
    deploy = await bench.deploys.finish(announced.id)
    (pointer,) = await logged(bench)
    assert (pointer.site_id, pointer.deploy_id, pointer.number) == (site.id, deploy.id, 1)
    assert (pointer.commit_ref, pointer.tree) == ("c" * 40, deploy.metadata.tree)
    assert (pointer.file_count, pointer.byte_count) == (2, SIZE)
    assert pointer.at == bench.clock.now()
    assert pointer.previous is None


async def test_a_pointer_names_the_one_before(bench: Bench) -> None:
    bench.safeguards.enable("pointer-log")
    site, other = await bench.site(), await bench.site("other")
    first = await bench.release(site, FILES)
    await bench.release(other, {"index.html": b"other"})
    await bench.release(site, {"index.html": b"second"})
    assert [(each.number, each.previous) for each in await logged(bench)] == [
        (1, None),
        (1, None),
        (2, first.metadata.tree),
    ]


async def test_without_the_safeguard_nothing_is_logged(bench: Bench) -> None:
    await bench.release(await bench.site(), FILES)
    assert await bench.objects.list_keys("pointer-log/") == []


async def test_the_record_comes_before_the_pointer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_pointer = bench.store.deploys.set_pointer
    seen: list[str] = []

    async def look_then_set(deploy_id: str, tree_id: str, byte_count: int) -> bool:
        seen.extend(pointer.tree for pointer in await logged(bench))
        return await set_pointer(deploy_id, tree_id, byte_count)

    monkeypatch.setattr(bench.store.deploys, "set_pointer", look_then_set)
    bench.safeguards.enable("pointer-log")
    deploy = await bench.processing(await bench.site(), FILES)
    assert seen == [deploy.metadata.tree]


async def test_a_pointer_that_cannot_be_logged_is_not_set_and_the_api_says_503(
    bench: Bench, client_of: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(log: object, record: object) -> None:
        raise StorageError("the pointer log cannot be written: No space left on device")

    bench.safeguards.enable("pointer-log")
    site = await bench.site()
    deploy = await bench.announce(site, {"index.html": b"page"})
    client = client_of(bench.control(), "http://control.test/api/v1")
    path, headers = f"/deploys/{deploy.id}/files/index.html", await bench.bearer(Scope.DEPLOY)
    headers["Content-Type"] = "application/octet-stream"
    with monkeypatch.context() as patch:
        patch.setattr(ObjectPointerLog, "record", full)
        refused = await client.put(path, content=b"page", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (503, "storage")
    assert "No space left on device" in refused.json()["message"]
    assert (await bench.deploy(deploy.id)).metadata.tree is None
    again = await client.put(path, content=b"page", headers=headers)
    assert again.status_code == 200
    assert await bench.published_id(site) == deploy.id
    assert len(await logged(bench)) == 1


async def test_a_tree_says_whose_it_is_and_shows_the_same_files(bench: Bench) -> None:
    site = await bench.site()
    plain = await bench.release(site, FILES)
    bench.safeguards.enable("self-describing-trees")
    described = await bench.release(site, FILES)
    assert plain.metadata.tree != described.metadata.tree
    tree = await bench.objects.get_tree(described.metadata.tree or "")
    assert tree.of == TreeOf(site.id, described.id, None)
    assert tree.files == {path: TreeEntry(sha1_of(data), len(data)) for path, data in FILES.items()}
    assert (await bench.objects.get_tree(plain.metadata.tree or "")).of is None
    assert Tree(tree.files).id == plain.metadata.tree
    assert await bench.deploys.finish(described.id) == described


@pytest.mark.parametrize("safeguards", ["pointer-log", "tolerant-api"])
async def test_a_server_opens_the_log_that_its_setting_names_if_it_is_to_keep_one(
    bench: Bench, mongodb_uri: str, tmp_path: Path, safeguards: str
) -> None:
    settings = Settings(
        mongodb_uri=mongodb_uri,
        database=bench.store.database.name,
        object_store=str(tmp_path / "objects"),
        pointer_log=tmp_path / "var" / "log",
        safeguards=safeguards,
    )
    async with control_service(settings):
        locks = [path.name for path in (tmp_path / "var" / "log").glob("*.lock")]
    assert [name.startswith("control-1-") for name in locks] == [True] * (
        safeguards == "pointer-log"
    )
    assert (tmp_path / "var").exists() == (safeguards == "pointer-log")
