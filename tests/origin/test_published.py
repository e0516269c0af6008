"""Tests of a deploy's files and rules as they are read and kept."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import httpx2
import pytest

from blackstart.errors import StorageError
from blackstart.model import Site
from blackstart.origin import Origin
from blackstart.routing import CONFIG_FILES, MAX_FILE_BYTES
from blackstart.store import ObjectStore
from blackstart.store.objects import blob_key

if TYPE_CHECKING:
    from tests.conftest import Bench, Client

RULES = b"/old /new\n"
FILES = {"index.html": b"home", "_redirects": RULES}


def sha1_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


class CountingStore(ObjectStore):
    """Notes which objects are read, and fails at those it is told to."""

    def __init__(self, backend: object) -> None:
        super().__init__(backend)  # type: ignore[arg-type]
        self.read: list[str] = []
        self.broken: set[str] = set()

    async def get(self, key: str) -> bytes:
        self.read.append(key)
        if key in self.broken:
            raise StorageError("the disk is on fire")
        return await super().get(key)


@pytest.fixture
async def site(bench: Bench) -> Site:
    return await bench.site("docs")


@pytest.fixture
def counting(bench: Bench) -> CountingStore:
    bench.objects = CountingStore(bench.objects.backend)
    return bench.objects


@pytest.fixture
def origin(bench: Bench, counting: CountingStore) -> Origin:
    return bench.origin()


@pytest.fixture
def visitor(origin: Origin, client_of: Client) -> httpx2.AsyncClient:
    return client_of(origin)


def unread(origin: Origin) -> float | None:
    return origin.metrics.registry.get_sample_value("blackstart_origin_rules_unread_total")


@pytest.mark.parametrize("name", CONFIG_FILES)
async def test_a_file_of_rules_is_never_served(
    bench: Bench, site: Site, visitor: httpx2.AsyncClient, name: str
) -> None:
    files = {"index.html": b"home", "404.html": b"none", name: b"# secret", f"a/{name}": b"mine"}
    await bench.release(site, files)
    answer = await visitor.get(f"/{name}")
    assert (answer.status_code, answer.content) == (404, b"none")
    assert (await visitor.get(f"/a/{name}")).content == b"mine"


async def test_not_even_a_rewrite_serves_a_file_of_rules(
    bench: Bench, site: Site, visitor: httpx2.AsyncClient
) -> None:
    await bench.release(site, {"_redirects": b"/* /netlify.toml 200", "netlify.toml": b"# secret"})
    assert (await visitor.get("/x")).status_code == 404


async def test_rules_are_read_once_with_their_tree(
    bench: Bench, site: Site, visitor: httpx2.AsyncClient, counting: CountingStore
) -> None:
    await bench.release(site, FILES)
    for _ in range(3):
        assert (await visitor.get("/old")).status_code == 301
    assert counting.read.count(blob_key(sha1_of(RULES))) == 1
    assert len(counting.read) == 2


async def test_the_next_publish_brings_its_own_rules(
    bench: Bench, site: Site, visitor: httpx2.AsyncClient
) -> None:
    await bench.release(site, FILES)
    assert (await visitor.get("/old")).status_code == 301
    await bench.release(site, {"index.html": b"home"})
    assert (await visitor.get("/old")).status_code == 404


@pytest.mark.parametrize("damage", ["gone", "unreadable"])
async def test_rules_that_cannot_be_read_cost_the_rules_and_not_the_site(
    bench: Bench,
    site: Site,
    visitor: httpx2.AsyncClient,
    origin: Origin,
    counting: CountingStore,
    damage: str,
) -> None:
    await bench.release(site, FILES)
    key = blob_key(sha1_of(RULES))
    if damage == "gone":
        await counting.delete([key])
    else:
        counting.broken.add(key)
    answer = await visitor.get("/")
    assert (answer.status_code, answer.content) == (200, b"home")
    assert answer.headers["cdn-cache-control"] == "public, max-age=60", "not for a year like this"
    assert (await visitor.get("/_redirects")).status_code == 404
    assert (unread(origin), origin.metrics.failed()) == (2, 0)
    counting.broken.clear()
    await counting.put(key, RULES)
    assert (await visitor.get("/old")).status_code == 301
    assert (await visitor.get("/")).headers["cdn-cache-control"] == "public, max-age=31536000"


async def test_a_file_too_large_for_rules_is_not_even_read(
    bench: Bench, site: Site, visitor: httpx2.AsyncClient, counting: CountingStore
) -> None:
    large = b"/old /new\n" + b"#" * MAX_FILE_BYTES
    await bench.release(site, {"index.html": b"home", "_redirects": large})
    assert (await visitor.get("/old")).status_code == 404
    assert blob_key(sha1_of(large)) not in counting.read
