"""Tests of deploys by API clients, over HTTP in this process: announce, upload, ready."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from blackstart.model import DeployState, Scope
from blackstart.store import ObjectStore

if TYPE_CHECKING:
    from tests.conftest import Bench, Client

from tests.conftest import sha1_of

HOME, CODE = b"home", b"code"
FILES = {"index.html": HOME, "app.js": CODE}


@pytest.fixture
async def api(bench: Bench, client_of: Client) -> httpx2.AsyncClient:
    await bench.site("docs")
    bench.safeguards.enable("verified-uploads")
    client = client_of(bench.control(), "http://control.test/api/v1")
    client.headers.update(await bench.bearer(Scope.OPERATE))
    return client


async def announce(api: httpx2.AsyncClient, files: dict[str, bytes], **more: Any) -> dict[str, Any]:
    """A new deploy, made in the two steps of a command line."""
    created = (await api.post("/sites/docs/deploys", json={"draft": False, **more})).json()
    digests = {path: sha1_of(data) for path, data in files.items()}
    answer = await api.put(f"/sites/docs/deploys/{created['id']}", json={"files": digests})
    assert answer.status_code == 200, answer.text
    deploy: dict[str, Any] = answer.json()
    return deploy


async def send(api: httpx2.AsyncClient, deploy: dict[str, Any], path: str, data: bytes) -> int:
    answer = await api.put(f"/deploys/{deploy['id']}/files/{path}", content=data)
    return answer.status_code


async def state(api: httpx2.AsyncClient, deploy: dict[str, Any]) -> str:
    return str((await api.get(f"/sites/docs/deploys/{deploy['id']}")).json()["state"])


async def released(api: httpx2.AsyncClient, files: dict[str, bytes], **more: Any) -> dict[str, Any]:
    deploy = await announce(api, files, **more)
    for path, data in files.items():
        if sha1_of(data) in deploy["required"]:
            assert await send(api, deploy, path, data) == 200
    assert await state(api, deploy) == "ready"
    return deploy


async def test_the_last_file_takes_a_deploy_to_the_visitor(
    bench: Bench, api: httpx2.AsyncClient, client_of: Client
) -> None:
    deploy = await announce(api, FILES)
    assert (deploy["state"], deploy["required"]) == (
        "uploading",
        sorted(map(sha1_of, (HOME, CODE))),
    )
    assert await send(api, deploy, "index.html", HOME) == 200
    assert await state(api, deploy) == "uploading"
    assert await send(api, deploy, "app.js", CODE) == 200
    assert await state(api, deploy) == "ready"
    assert (await client_of(bench.origin()).get("/app.js")).content == CODE


async def test_a_second_deploy_asks_only_for_what_changed(api: httpx2.AsyncClient) -> None:
    await released(api, FILES)
    again = await announce(api, FILES | {"index.html": b"new"})
    assert again["required"] == [sha1_of(b"new")]
    nothing = await announce(api, FILES)
    assert (nothing["state"], nothing["required"]) == ("ready", [])


async def test_bytes_with_another_digest_are_refused_and_still_required(
    api: httpx2.AsyncClient,
) -> None:
    deploy = await announce(api, FILES)
    answer = await api.put(f"/deploys/{deploy['id']}/files/index.html", content=b"other")
    assert (answer.status_code, answer.json()["code"]) == (422, "digest_mismatch")
    asked = (await api.get(f"/deploys/{deploy['id']}")).json()
    assert asked["required"] == deploy["required"]


async def test_an_upload_that_was_cut_off_goes_on_where_it_was(
    bench: Bench, api: httpx2.AsyncClient, client_of: Client
) -> None:
    deploy = await announce(api, FILES)
    await send(api, deploy, "index.html", HOME)
    elsewhere = client_of(bench.control(), "http://control.test/api/v1")
    elsewhere.headers.update(api.headers)
    asked = (await elsewhere.get(f"/deploys/{deploy['id']}")).json()
    assert asked["required"] == [sha1_of(CODE)]
    same = await elsewhere.put(
        f"/sites/docs/deploys/{deploy['id']}",
        json={"files": {path: sha1_of(data) for path, data in FILES.items()}},
    )
    assert same.json()["required"] == [sha1_of(CODE)]
    assert await send(elsewhere, deploy, "app.js", CODE) == 200
    assert await state(elsewhere, deploy) == "ready"


async def test_one_digest_under_two_paths_is_asked_for_once_and_taken_twice(
    api: httpx2.AsyncClient,
) -> None:
    deploy = await announce(api, {"a.html": HOME, "b.html": HOME})
    assert deploy["required"] == [sha1_of(HOME)]
    assert await send(api, deploy, "a.html", HOME) == 200
    assert await state(api, deploy) == "ready"
    assert await send(api, deploy, "b.html", HOME) == 200
    assert await send(api, deploy, "a.html", HOME) == 200


@pytest.mark.parametrize("path", ["../a", "a/../b", "//a", "a//b", "", "/", "a\\b", "a\0b"])
async def test_a_path_that_leaves_the_site_is_refused(api: httpx2.AsyncClient, path: str) -> None:
    created = (await api.post("/sites/docs/deploys", json={})).json()
    answer = await api.put(
        f"/sites/docs/deploys/{created['id']}", json={"files": {path: sha1_of(HOME)}}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert await state(api, created) == "new"


async def test_a_path_that_stands_twice_is_refused(api: httpx2.AsyncClient) -> None:
    digest = sha1_of(HOME)
    files = {"/a": digest, "a": digest}
    slash = await api.post("/sites/docs/deploys", json={"files": files})
    assert (slash.status_code, slash.json()["code"]) == (400, "bad_request")
    text = f'{{"files": {{"a": "{digest}", "a": "{digest}"}}}}'
    twice = await api.post("/sites/docs/deploys", content=text.encode())
    assert (twice.status_code, twice.json()["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("more", [{"draft": True}, {"branch": "next"}])
async def test_a_preview_becomes_ready_and_is_not_published(
    bench: Bench, api: httpx2.AsyncClient, more: dict[str, Any]
) -> None:
    await released(api, FILES, **more)
    site = await bench.desk.site("docs")
    assert site.published_deploy_id is None


async def test_cancelling_ends_what_is_under_way_and_never_what_is_published(
    bench: Bench, api: httpx2.AsyncClient
) -> None:
    shown = await released(api, FILES)
    begun = await announce(api, {"index.html": b"never sent"})
    for deploy in (shown, begun):
        assert (await api.post(f"/deploys/{deploy['id']}/cancel")).status_code == 201
    assert (await bench.deploy(begun["id"])).state is DeployState.CANCELLED
    assert (await bench.desk.site("docs")).published_deploy_id == shown["id"]
    assert await send(api, begun, "index.html", b"never sent") == 409


async def test_a_locked_site_takes_deploys_and_does_not_show_them(
    bench: Bench, api: httpx2.AsyncClient
) -> None:
    shown = await released(api, FILES)
    assert (await api.post(f"/deploys/{shown['id']}/lock")).json()["locked"] is True
    await released(api, {"index.html": b"later"})
    assert (await bench.desk.site("docs")).published_deploy_id == shown["id"]
    assert (await api.put("/sites/docs/rollback")).status_code == 409
    assert (await api.post(f"/deploys/{shown['id']}/unlock")).json()["locked"] is False


async def test_a_site_goes_back_by_restore_and_by_roll_back(
    bench: Bench, api: httpx2.AsyncClient
) -> None:
    first = await released(api, {"index.html": b"1"})
    second = await released(api, {"index.html": b"2"})
    assert (await api.put("/sites/docs/rollback")).status_code == 204
    assert (await bench.desk.site("docs")).published_deploy_id == first["id"]
    answer = await api.post(f"/sites/docs/deploys/{second['id']}/restore")
    assert answer.status_code == 201
    assert (await bench.desk.site("docs")).published_deploy_id == second["id"]


async def test_a_token_may_do_what_its_scope_says(bench: Bench, api: httpx2.AsyncClient) -> None:
    deploy = await released(api, FILES)
    reader = await bench.bearer(Scope.READ)
    deployer = await bench.bearer(Scope.DEPLOY)
    assert (await api.get("/sites", headers=reader)).status_code == 200
    assert (await api.post("/sites/docs/deploys", json={}, headers=reader)).status_code == 403
    assert (await api.post("/sites/docs/deploys", json={}, headers=deployer)).status_code == 200
    locking = await api.post(f"/deploys/{deploy['id']}/lock", headers=deployer)
    assert locking.status_code == 403
    del api.headers["authorization"]
    assert (await api.get("/sites")).status_code == 401


async def test_a_full_disk_is_503_and_the_same_upload_succeeds_when_there_is_space(
    bench: Bench, api: httpx2.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = ObjectStore.open(str(tmp_path / "objects"))
    monkeypatch.setattr(bench.deploys, "_objects", folder)
    deploy = await announce(api, FILES)
    url = f"/deploys/{deploy['id']}/files/index.html"
    with monkeypatch.context() as patch:
        patch.setattr("blackstart.store.folder.os.fsync", full)
        answer = await api.put(url, content=HOME)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    assert "No space left on device" in answer.json()["message"]
    asked = (await api.get(f"/deploys/{deploy['id']}")).json()
    assert (asked["state"], asked["required"]) == ("uploading", deploy["required"])
    assert (await api.put(url, content=HOME)).status_code == 200
    assert await send(api, deploy, "app.js", CODE) == 200
    assert await state(api, deploy) == "ready"


async def test_a_deploy_whose_file_never_comes_harms_neither_the_site_nor_the_next_deploy(
    bench: Bench, api: httpx2.AsyncClient, client_of: Client
) -> None:
    await released(api, FILES)
    waiting = await announce(api, FILES | {"index.html": b"never sent"})
    visitor = client_of(bench.origin())
    assert (await visitor.get("/")).content == HOME
    again = await released(api, FILES | {"index.html": b"sent"})
    assert (await visitor.get("/")).content == b"sent"
    assert again["id"] != waiting["id"]
    left = (await api.get(f"/deploys/{waiting['id']}")).json()
    assert (left["state"], left["required"]) == ("uploading", [sha1_of(b"never sent")])
