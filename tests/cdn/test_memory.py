"""Tests of the memory tier."""

from blackstart.cdn.memory import MemoryTier


def test_an_entry_too_large_for_its_plan_is_refused_and_replaces_nothing_silently(
    make_entry,
) -> None:
    tier = MemoryTier({"free": 1000})
    assert tier.put(make_entry("k")) == []
    assert tier.put(make_entry("k", body=b"x" * 2000)) is None
    assert tier.get("k") is None, "the older version must not outlive the newer one"
    assert tier.quotas.used_bytes("free") == 0


def test_entries_that_leave_are_named_oldest_first(make_entry) -> None:
    size = make_entry("a").size
    tier = MemoryTier({"free": 2 * size})
    for key in "ab":
        tier.put(make_entry(key))
    tier.get("a")
    assert tier.put(make_entry("c")) == ["b"]
    assert "a" in tier
    assert len(tier) == 2
