"""Tests of deploys from a zip file over HTTP: whole, or a clear refusal and nothing of it kept."""

from __future__ import annotations

import errno
import io
import stat
import warnings
import zipfile
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import httpx2
import pytest

from blackstart.control import zipped
from blackstart.control.bodies import MAX_JSON_BYTES
from blackstart.model import DeployState, Scope

if TYPE_CHECKING:
    from tests.conftest import Bench, Client

ZIP = {"Content-Type": "application/zip"}


@pytest.fixture
async def api(bench: Bench, client_of: Client) -> httpx2.AsyncClient:
    bench.safeguards.enable("verified-uploads")
    await bench.release(await bench.site("docs"), {"index.html": b"before"})
    client = client_of(bench.control(), "http://control.test/api/v1")
    client.headers.update(await bench.bearer(Scope.OPERATE))
    return client


def packed(*files: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644) -> bytes:
    body = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # A name that stands twice.
        for name, data in files:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    return body.getvalue()


def encrypted(body: bytes) -> bytes:
    """Say in both headers of the one entry that it is."""
    changed = bytearray(body)
    changed[6] |= 1
    changed[body.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


async def post(api: httpx2.AsyncClient, body: bytes | AsyncIterator[bytes]) -> httpx2.Response:
    return await api.post("/sites/docs/deploys", content=body, headers=ZIP)


async def shown(bench: Bench, client_of: Client) -> bytes:
    return (await client_of(bench.origin()).get("/")).content


async def deploys(api: httpx2.AsyncClient) -> list[str]:
    return [deploy["state"] for deploy in (await api.get("/sites/docs/deploys")).json()]


async def test_a_zip_file_becomes_the_site(
    bench: Bench, api: httpx2.AsyncClient, client_of: Client
) -> None:
    bench.clock.advance(1)
    answer = await post(api, packed(("index.html", b"zipped"), ("a/b.txt", b"b")))
    assert (answer.status_code, answer.json()["state"]) == (200, DeployState.READY)
    assert await shown(bench, client_of) == b"zipped"


HOSTILE = {
    "traversal": packed(("../index.html", b"x")),
    "absolute": packed(("/etc/passwd", b"x")),
    "twice": packed(("index.html", b"x"), ("index.html", b"y")),
    "symlink": packed(("index.html", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777),
    "truncated": packed(("index.html", b"x" * 99))[:-30],
    "encrypted": encrypted(packed(("index.html", b"x"))),
    "no zip": b"<h1>not a zip</h1>",
    "empty": b"",
    "no files": packed(),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_zip_file_is_refused_and_the_site_goes_on(
    bench: Bench, api: httpx2.AsyncClient, client_of: Client, body: bytes
) -> None:
    answer = await post(api, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), answer.text
    assert await shown(bench, client_of) == b"before"
    assert await deploys(api) == ["ready"]


@pytest.mark.parametrize("limit", ["MAX_UNPACKED_BYTES", "MAX_FILES", "MAX_ZIP_BYTES"])
async def test_a_zip_file_with_too_much_is_413(
    bench: Bench,
    api: httpx2.AsyncClient,
    client_of: Client,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
) -> None:
    most = {"MAX_UNPACKED_BYTES": 100_000, "MAX_FILES": 1, "MAX_ZIP_BYTES": 10}[limit]
    monkeypatch.setattr(zipped, limit, most)
    answer = await post(api, packed(("index.html", b"\0" * 100_000), ("more", b"\0")))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert await shown(bench, client_of) == b"before"
    assert await deploys(api) == ["ready"]


async def test_a_zip_file_may_be_longer_than_json_and_json_may_not(
    api: httpx2.AsyncClient,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_JSON_BYTES // 2**20 + 1):
            yield bytes(2**20)

    assert (await post(api, chunks())).status_code == 400  # Read to its end: it is no zip file.
    for body in (chunks(), bytes(MAX_JSON_BYTES + 1)):
        json = {"Content-Type": "application/json"}
        answer = await api.post("/sites/docs/deploys", content=body, headers=json)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_a_full_disk_under_the_spool_is_503_and_the_zip_file_goes_through_afterwards(
    bench: Bench,
    api: httpx2.AsyncClient,
    client_of: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    body = packed(("index.html", b"zipped"))
    with monkeypatch.context() as patch:
        patch.setattr(zipped, "open", full, raising=False)
        answer = await post(api, body)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    assert "No space left" in answer.json()["message"]
    assert await shown(bench, client_of) == b"before"
    bench.clock.advance(1)
    assert (await post(api, body)).json()["state"] == DeployState.READY
