"""What the tests of storage share: a way to make entries, and to store them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from blackstart.cdn.message import Headers
from blackstart.cdn.storage import Cache, Entry

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
