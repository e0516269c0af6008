"""Tests of the cache, with memory alone."""

from dataclasses import replace

import pytest

from blackstart.cdn.storage import Cache, DiskTier
from blackstart.cdn.storage.contents import MOST_VARIANTS
from blackstart.errors import StorageError, UsageError


@pytest.fixture
def cache(clock) -> Cache:
    return Cache(clock, {"free": 100_000, "pro": 100_000}, largest_share=1)


async def test_what_is_stored_is_looked_up_peeked_and_read(cache, stored) -> None:
    entry = stored(cache, body=b"0123456789")
    assert cache.lookup(entry.key) == (entry,) == await cache.find(entry.key)
    assert entry.size == 10
    assert cache.peek(entry) == b"0123456789"
    assert await cache.read(entry, 2, 5) == b"234"
    assert await cache.read(entry, 8, 100) == b"89"
    assert cache.lookup("a.example /other") == ()
    assert len(cache) == 1


async def test_variants_live_side_by_side_and_a_newer_one_takes_its_own_place(
    cache, stored
) -> None:
    german = stored(cache, body=b"de", selecting=(("accept-language", "de"),))
    french = stored(cache, body=b"fr", selecting=(("accept-language", "fr"),))
    newer = stored(cache, body=b"DE", selecting=(("accept-language", "de"),))
    assert cache.lookup(german.key) == (newer, french)
    assert cache.peek(german) is None
    with pytest.raises(StorageError):
        await cache.read(german)
    cache.drop([newer])
    assert cache.lookup(german.key) == (french,)


def test_a_complete_response_takes_the_place_of_its_parts(cache, stored) -> None:
    parts = [stored(cache, part=(first, first + 4, 100)) for first in (0, 50)]
    assert set(cache.lookup("a.example /")) == set(parts)
    whole = stored(cache)
    assert cache.lookup("a.example /") == (whole,)


def test_of_too_many_variants_the_one_used_longest_ago_goes(cache, stored) -> None:
    variants = [stored(cache, selecting=(("x", str(n)),)) for n in range(MOST_VARIANTS)]
    cache.peek(variants[0])
    extra = stored(cache, selecting=(("x", "extra"),))
    held = cache.lookup("a.example /")
    assert len(held) == MOST_VARIANTS
    assert held[:2] == (extra, variants[0])
    assert variants[1] not in held


def test_a_full_plan_evicts_its_own_and_no_other_plan_s(clock, stored) -> None:
    cache = Cache(clock, {"free": 5_000, "pro": 5_000}, largest_share=1)
    evicted = []
    cache.on_evict = lambda *eviction: evicted.append(eviction)
    pro = stored(cache, "a.example /pro", bytes(1_000), plan="pro")
    pages = [stored(cache, f"a.example /{n}", bytes(1_000)) for n in range(3)]
    assert cache.peek(pages[0]) is not None
    last = stored(cache, "a.example /last", bytes(1_000), plan="unheard of")
    assert last.plan == "free"
    assert evicted == [("memory", "free")]
    assert [bool(cache.lookup(page.key)) for page in pages] == [True, False, True]
    assert cache.lookup(pro.key) == (pro,)
    assert cache.memory.quotas.used_bytes("free") <= 5_000
    cache.drop(cache.entries())
    assert [cache.memory.quotas.used_bytes(plan) for plan in ("free", "pro")] == [0, 0]


async def test_what_visitors_send_to_choose_a_variant_counts(clock, stored, tmp_path) -> None:
    disk = DiskTier(tmp_path, {"free": 2_000_000}, clock)
    cache = Cache(clock, {"free": 1_000_000}, disk=disk)
    await cache.open()
    for number in range(400):
        agent = f"{number} ".ljust(20_000)
        stored(cache, f"a.example /{number % 20}", selecting=(("user-agent", agent),))
    held = cache.entries()
    assert sum(len(entry.selecting[0][1] or "") for entry in held) < 2_000_000
    assert sum(20_000 for entry in held if entry.body is not None) < 1_000_000
    await cache.close()


def test_one_object_gets_no_more_than_its_share(clock, make_entry) -> None:
    cache = Cache(clock, {"free": 80_000})
    fetch = cache.begin("a.example /")
    assert not cache.store(make_entry(), fetch, bytes(10_000))
    assert cache.store(make_entry(), fetch, bytes(9_000))


def test_quotas_without_the_default_plan_are_refused(clock) -> None:
    with pytest.raises(UsageError, match="'free'"):
        Cache(clock, {"pro": 1})


async def test_a_purge_by_tag_takes_all_that_carry_it(cache, stored) -> None:
    stored(cache, "a.example /1", tags=("site-1", "deploy-1"))
    stored(cache, "a.example /2", tags=("site-1", "deploy-2"))
    other = stored(cache, "b.example /", tags=("site-2",))
    assert await cache.purge(["SITE-1", "deploy-2"]) == 2
    assert cache.entries() == [other]
    assert await cache.purge(["site-1"]) == 0
    assert await cache.purge_all() == 1
    assert len(cache) == 0


async def test_a_soft_purge_marks_stale(cache, stored) -> None:
    entry = stored(cache)
    assert await cache.purge(["site-1"], soft=True) == 1
    assert cache.lookup(entry.key) == (entry,)
    assert entry.stale


async def test_a_purge_of_a_key_takes_all_variants(cache, stored) -> None:
    for language in ("de", "fr"):
        stored(cache, selecting=(("accept-language", language),))
    kept = stored(cache, "a.example /2")
    assert await cache.purge_keys(["a.example /", "a.example /none"]) == 2
    assert cache.entries() == [kept]


async def test_a_purge_during_the_fetch_keeps_the_older_response_out(cache, make_entry) -> None:
    key = "a.example /"
    purges = (
        lambda: cache.purge(["site-1"]),
        lambda: cache.purge(["site-1"], soft=True),
        cache.purge_all,
        lambda: cache.purge_keys([key]),
    )
    for purge in purges:
        fetch = cache.begin(key)
        await purge()
        assert not cache.store(make_entry(), fetch, b"page")
        cache.end(fetch)
    fetch = cache.begin(key)
    cache.invalidate([key])
    assert not cache.store(make_entry(), fetch, b"page")
    cache.end(fetch)
    assert len(cache) == 0


async def test_a_purge_of_something_else_does_not_disturb_a_fetch(cache, make_entry) -> None:
    fetch = cache.begin("a.example /")
    await cache.purge(["site-2"])
    await cache.purge_keys(["a.example /2"])
    assert cache.store(make_entry(), fetch, b"page")


def test_a_freshened_entry_takes_over_the_body(cache, stored) -> None:
    old = stored(cache)
    new = replace(old, head=b"etag: 2\r\n" * 50, stored_at=old.stored_at + 60)
    assert cache.replace(old, new)
    assert cache.lookup(old.key) == (new,)
    assert cache.peek(new) == b"page"
    assert cache.peek(old) is None
    assert not cache.replace(old, replace(new)), "what is gone cannot come back"
    cache.drop([new])
    assert cache.memory.quotas.used_bytes("free") == 0


async def test_a_purge_while_it_was_confirmed_wins(cache, stored) -> None:
    old = stored(cache)
    fetch = cache.begin(old.key)
    await cache.purge(["site-1"], soft=True)
    assert not cache.replace(old, replace(old, stale=False), fetch)
    assert cache.lookup(old.key) == (old,)
    assert old.stale
