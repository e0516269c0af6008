"""What the tests of storage share: a way to make entries, and to store them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from blackstart.cdn.message import Headers
from blackstart.cdn.storage import Cache, DiskTier, Entry
from blackstart.cdn.storage.files import Files

Make = Callable[..., Entry]
Store = Callable[..., Entry]


def make(key: str = "a.example /", **changes: object) -> Entry:
    fields: dict[str, object] = {
        "key": key,
        "selecting": (),
        "status": 200,
        "head": Headers([("etag", '"1"')]).packed,
        "size": 0,
        "part": None,
        "stored_at": 1_486_000_000.0,
        "initial_age_s": 0.0,
        "lifetime_s": 60.0,
        "stale_if_error_s": 100.0,
        "stale_while_revalidate_s": 0.0,
        "rules": 5,
        "tags": ("site-1",),
        "plan": "free",
    }
    return Entry(**(fields | changes))  # type: ignore[arg-type]


def store(cache: Cache, entry: Entry, body: bytes = b"page") -> bool:
    fetch = cache.begin(entry.key)
    try:
        return cache.store(entry, fetch, body)
    finally:
        cache.end(fetch)


@pytest.fixture
def make_entry() -> Make:
    return make


@pytest.fixture
def stored() -> Store:
    """Store an entry that the cache must take, and give it back."""

    def keep(
        cache: Cache, key: str = "a.example /", body: bytes = b"page", **fields: object
    ) -> Entry:
        entry = make(key, **fields)
        assert store(cache, entry, body)
        return entry

    return keep


@pytest.fixture
def opened(clock, tmp_path) -> Callable[..., object]:
    """Open a cache over the test's folder; everything is read when it begins."""

    @asynccontextmanager
    async def open_cache(
        *,
        memory: int = 100_000_000,
        disk: int = 100_000_000,
        files: Files | None = None,
        loaded: bool = True,
        **options: int,
    ) -> AsyncIterator[Cache]:
        tier = DiskTier(tmp_path / "cache", {"free": disk}, clock, largest_share=1, files=files)
        cache = Cache(clock, {"free": memory}, largest_share=1, disk=tier, **options)
        await cache.open()
        try:
            if loaded:
                await cache.loaded()
            yield cache
        finally:
            await cache.close()

    return open_cache
