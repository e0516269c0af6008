"""Tests of the two-tier cache."""

import asyncio
import threading

import pytest

from blackstart.cdn.disk import DiskTier
from blackstart.cdn.message import Headers, Request
from blackstart.cdn.store import Cache

PAGE = Request("GET", "/", "a.example")


@pytest.fixture
async def two_tiers(tmp_path, clock, make_entry):
    """Memory for one entry, disk for many."""
    quotas = {"free": make_entry().size}
    cache = Cache(quotas, disk=DiskTier(tmp_path / "cache", {"free": 100_000}, clock))
    await cache.open()
    yield cache
    await cache.close()


def store(cache: Cache, entry) -> bool:
    fetch = cache.begin(PAGE)
    try:
        return cache.put(entry, fetch)
    finally:
        cache.end(fetch)


def test_an_entry_that_fits_nowhere_is_not_kept(make_entry) -> None:
    cache = Cache({"free": 10})
    assert not store(cache, make_entry())
    assert len(cache) == 0


def test_a_body_over_the_limit_is_not_kept(make_entry) -> None:
    cache = Cache(max_body_bytes=3)
    assert not store(cache, make_entry(body=b"four"))


async def test_what_memory_gave_up_is_found_on_disk_and_comes_back(two_tiers, make_entry) -> None:
    evictions = []
    two_tiers.on_evict = lambda *eviction: evictions.append(eviction)
    other = Request("GET", "/o", "a.ex")
    store(two_tiers, make_entry("a.example /"))
    store(two_tiers, make_entry("a.ex /o"))
    assert evictions == [("memory", "free")]
    assert two_tiers.find_in_memory(PAGE) is None
    found = await two_tiers.find_on_disk(PAGE)
    assert found is not None
    assert found.body == b"page"
    assert two_tiers.find_in_memory(PAGE) is found
    assert two_tiers.find_in_memory(other) is None
    assert len(two_tiers) == 2


async def test_a_purge_takes_from_memory_and_disk_alike(two_tiers, make_entry) -> None:
    store(two_tiers, make_entry("a.example /", tags=("site-1",)))
    store(two_tiers, make_entry("a.ex /o", tags=("site-1", "deploy-2")))
    assert await two_tiers.purge(["SITE-1", "deploy-2"]) == 2
    assert await two_tiers.find_on_disk(PAGE) is None
    assert not list(two_tiers.disk.folder.glob("??/*")), "a purge is over when the files are gone"
    assert len(two_tiers) == 0


async def test_a_purge_waits_for_the_disk(two_tiers, make_entry) -> None:
    store(two_tiers, make_entry())
    gate = threading.Event()
    two_tiers.disk._submit(gate.wait)
    purge = asyncio.ensure_future(two_tiers.purge(["site-1"]))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not purge.done()
    gate.set()
    assert await purge == 1


async def test_a_purge_during_the_fetch_keeps_the_older_response_out(make_entry) -> None:
    cache = Cache()
    for purge in (lambda: cache.purge(["site-1"]), cache.purge_all):
        fetch = cache.begin(PAGE)
        await purge()
        assert not cache.put(make_entry(tags=("site-1",)), fetch)
        cache.end(fetch)


async def test_a_purge_of_another_site_does_not_disturb_a_fetch(make_entry) -> None:
    cache = Cache()
    fetch = cache.begin(PAGE)
    await cache.purge(["site-2"])
    assert cache.put(make_entry(tags=("site-1",)), fetch)
    cache.end(fetch)


def test_variants_of_a_page_are_kept_apart(make_entry) -> None:
    cache = Cache()
    for language in ("de", "fr"):
        store(
            cache,
            make_entry(
                f"a.example /\naccept-language={language!r}",
                primary="a.example /",
                vary=("accept-language",),
                body=language.encode(),
            ),
        )
    german = Request("GET", "/", "a.example", Headers([("accept-language", "de")]))
    held = cache.find_in_memory(german)
    assert held is not None
    assert held.body == b"de"
    assert cache.find_in_memory(PAGE) is None
    cache.invalidate(PAGE)
    assert len(cache) == 0


async def test_a_damaged_file_leaves_no_trace_in_the_index(two_tiers, make_entry) -> None:
    store(two_tiers, make_entry("a.example /"))
    store(two_tiers, make_entry("a.ex /o"))
    await two_tiers.disk.flush()
    two_tiers.disk.path_of("a.example /").write_bytes(b"")
    assert await two_tiers.find_on_disk(PAGE) is None
    assert len(two_tiers) == 1
