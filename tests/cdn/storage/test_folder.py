"""Tests of a cache's folder: who has it, and what becomes of it where it cannot be used."""

import pytest
from structlog.testing import capture_logs

from blackstart.cdn.storage import Cache, DiskTier
from blackstart.errors import StorageError, UsageError

QUOTAS = {"free": 100_000_000}
KEY = "a.example /"


async def test_a_folder_belongs_to_one_process(opened, clock, tmp_path) -> None:
    async with opened() as cache:
        assert cache.disk_state == "ok"
        other = DiskTier(tmp_path / "cache", QUOTAS, clock)
        with pytest.raises(UsageError, match="another process"):
            await Cache(clock, QUOTAS, disk=other).open()
    await other.close()
    async with opened() as cache:
        assert cache.disk_state == "ok"


@pytest.mark.parametrize(
    ("folder", "reason"), [("file/cache", "Not a directory"), ("file", "it is no folder")]
)
async def test_a_folder_that_cannot_be_used_leaves_the_cache_to_memory(
    clock, tmp_path, stored, folder, reason
) -> None:
    (tmp_path / "file").write_text("in the way")
    disk = DiskTier(tmp_path / folder, QUOTAS, clock)
    cache = Cache(clock, QUOTAS, disk=disk)
    with capture_logs() as logs:
        await cache.open()
    assert [line["event"] for line in logs] == ["cache folder cannot be used"]
    assert reason in logs[0]["error"]
    assert logs[0]["instead"] == "memory only"
    assert cache.disk_state == "off"
    entry = stored(cache)
    assert cache.lookup(KEY) == (entry,)
    assert await cache.purge_all() == 1
    await cache.forget_unread()
    await cache.close()


async def test_what_was_purged_while_the_folder_could_not_be_used_does_not_come_back(
    opened, stored, clock, tmp_path
) -> None:
    async with opened() as cache:
        stored(cache)
    bodies = tmp_path / "cache" / "bodies"
    bodies.rename(tmp_path / "bodies")
    bodies.write_text("in the way")
    with capture_logs():
        async with opened() as cache:
            assert await cache.purge(["site-1"], soft=True) == 0
            await cache.forget_unread()
            await cache.forget_unread()
    bodies.unlink()
    (tmp_path / "bodies").rename(bodies)
    async with opened() as cache:
        assert len(cache) == 0
        kept = stored(cache)
        await cache.forget_unread()
    async with opened() as cache:
        assert cache.lookup(kept.key), "a folder that can be used is left as it is"


async def test_where_it_may_come_back_that_is_said(opened, stored, clock, tmp_path) -> None:
    async with opened() as cache:
        stored(cache)
        with pytest.raises(StorageError, match=r"may come back: .* used by another process"):
            await DiskTier(tmp_path / "cache", QUOTAS, clock).forget_unread()
    (tmp_path / "cache" / "index.sqlite.set-aside").mkdir()
    with pytest.raises(StorageError, match=r"may come back: .* directory"):
        await DiskTier(tmp_path / "cache", QUOTAS, clock).forget_unread()
    async with opened() as cache:
        assert len(cache) == 1
