"""Tests of the paths that a list of files may have, over the API in this process."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from blackstart.model import Scope

if TYPE_CHECKING:
    from tests.conftest import Bench, Client

from tests.conftest import sha1_of

HOME, OTHER = b"home", b"other"
COMPOSED = unicodedata.normalize("NFC", "café.html")
DECOMPOSED = unicodedata.normalize("NFD", "café.html")

REFUSED = {
    "..": "has a part . or ..",
    "../x": "has a part . or ..",
    "a/../b": "has a part . or ..",
    "a/..": "has a part . or ..",
    "/../etc/passwd": "has a part . or ..",
    ".": "has a part . or ..",
    "/.": "has a part . or ..",
    "a/./b": "has a part . or ..",
    "": "is empty",
    "/": "is empty",
    "//host/x": "is absolute",
    "a//b": "has an empty part",
    "a/": "has an empty part",
    "a\0b": "has a control character",
    "a\nb": "has a control character",
    "x" * 5_000: "has 5,000 bytes, more than 4,096",
    "é" * 3_000: "has 6,000 bytes, more than 4,096",
    "a\\b": "has a backslash",
    "..\\x": "has a backslash",
}

TAKEN = [
    ["/abs/index.html"],
    ["..a/b..", "...", ".well-known/x"],
    ["INDEX.html", "index.html"],
    [COMPOSED, DECOMPOSED],
    ["%2e%2e/x"],
    ["x" * 4_096],
]


@pytest.fixture
async def api(bench: Bench, client_of: Client) -> httpx2.AsyncClient:
    await bench.site("docs")
    bench.safeguards.enable("verified-uploads")
    client = client_of(bench.control(), "http://control.test/api/v1")
    client.headers.update(await bench.bearer(Scope.DEPLOY))
    return client


async def everything(bench: Bench) -> list[Any]:
    """Every document and object that a deploy could leave, as stored."""
    names = sorted(set(await bench.store.database.list_collection_names()) - {"sites", "tokens"})
    documents = [raw for name in names async for raw in bench.store.database[name].find()]
    objects = await bench.objects.stat_blobs([sha1_of(HOME), sha1_of(OTHER)])
    return [*documents, objects]


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: ascii(path[:20]))
async def test_a_path_that_is_none_is_refused_by_name_and_nothing_is_stored(
    bench: Bench, api: httpx2.AsyncClient, path: str
) -> None:
    created = (await api.post("/sites/docs/deploys", json={})).json()
    before = await everything(bench)
    files = {"index.html": sha1_of(HOME), path: sha1_of(OTHER)}
    for answer in (
        await api.post("/sites/docs/deploys", json={"files": files}),
        await api.put(f"/sites/docs/deploys/{created['id']}", json={"files": files}),
    ):
        assert answer.status_code == 400, answer.text
        assert answer.json()["message"].startswith("not a path inside a site: ")
        assert answer.json()["message"].endswith(REFUSED[path])
        assert answer.json()["hint"]
    assert await everything(bench) == before


@pytest.mark.parametrize("twice", [["/a.html", "a.html"], ["a/b", "/a/b"]])
async def test_two_spellings_of_one_path_are_one_path_twice(
    bench: Bench, api: httpx2.AsyncClient, twice: list[str]
) -> None:
    files = dict.fromkeys(twice, sha1_of(HOME))
    refused = await api.post("/sites/docs/deploys", json={"files": files})
    assert refused.status_code == 400
    assert f"{twice[1].removeprefix('/')!r} is listed twice" in refused.json()["message"]
    assert await everything(bench) == [{}]


async def test_a_name_twice_in_one_object_is_refused(bench: Bench, api: httpx2.AsyncClient) -> None:
    name, one, other = '"a.html"', json.dumps(sha1_of(HOME)), json.dumps(sha1_of(OTHER))
    refused = await api.post(
        "/sites/docs/deploys", content=f'{{"files": {{{name}: {one}, {name}: {other}}}}}'
    )
    assert (refused.status_code, "stands twice" in refused.text) == (400, True)
    assert await everything(bench) == [{}]


async def test_an_unpaired_surrogate_is_no_path(bench: Bench, api: httpx2.AsyncClient) -> None:
    body = f'{{"files": {{"a\\ud800": "{sha1_of(HOME)}"}}}}'
    assert (await api.post("/sites/docs/deploys", content=body)).status_code == 400
    assert await everything(bench) == [{}]


@pytest.mark.parametrize("paths", TAKEN, ids=lambda paths: ascii(paths[0][:20]))
async def test_paths_are_kept_letter_by_letter_and_each_shows_its_own_file(
    bench: Bench, api: httpx2.AsyncClient, paths: list[str]
) -> None:
    """Case and composition count: two paths are one only when their bytes are."""
    sent = {path: f"file {number}".encode() for number, path in enumerate(paths)}
    digests = {path: sha1_of(data) for path, data in sent.items()}
    deploy = (await api.post("/sites/docs/deploys", json={"files": digests})).json()
    assert deploy["required"] == sorted(digests.values())
    for path, data in sent.items():
        where = "".join(f"%{byte:02x}" for byte in path.removeprefix("/").encode())
        put = await api.put(f"/deploys/{deploy['id']}/files/{where}", content=data)
        assert put.status_code == 200, put.text
    assert (await api.get(f"/deploys/{deploy['id']}")).json()["state"] == "ready"
    listed = {each["path"]: each["sha"] for each in (await api.get("/sites/docs/files")).json()}
    assert listed == {f"/{path.removeprefix('/')}": sha1 for path, sha1 in digests.items()}
