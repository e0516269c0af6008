"""Tests of the disk tier, on a real folder."""

import errno
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import blackstart.cdn.disk
from blackstart.cdn.disk import DiskTier

QUOTAS = {"free": 100_000, "enterprise": 100_000}


@pytest.fixture
def open_tier(tmp_path, clock):
    async def make(quotas=QUOTAS, **options) -> tuple[DiskTier, list]:
        tier = DiskTier(tmp_path / "cache", quotas, clock, **options)
        return tier, await tier.open()

    return make


def files_in(tier: DiskTier) -> list[Path]:
    return [path for path in tier.folder.rglob("*") if path.is_file()]


async def test_an_entry_is_there_before_and_after_it_reaches_the_disk(
    open_tier, make_entry
) -> None:
    tier, _ = await open_tier()
    entry = make_entry("k")
    assert tier.put(entry) == []
    assert await tier.read("k") == entry
    await tier.flush()
    assert files_in(tier) == [tier.path_of("k")], "one file, and nothing left of writing it"
    assert await tier.read("k") == entry
    await tier.close()


async def test_entries_outlive_a_restart_as_suspects(open_tier, make_entry) -> None:
    tier, _ = await open_tier()
    tier.put(make_entry("young", stored_at=20.0))
    tier.put(make_entry("old", stored_at=10.0))
    await tier.close()
    again, found = await open_tier()
    assert [entry.key for entry in found] == ["old", "young"]
    entry = await again.read("old")
    assert entry is not None
    assert entry.suspect
    assert entry.body == b"page"
    await again.close()


async def test_opening_and_closing_twice_does_no_harm(open_tier, make_entry) -> None:
    tier, _ = await open_tier()
    tier.put(make_entry("k"))
    await tier.flush()
    assert await tier.open() == []
    entry = await tier.read("k")
    assert entry is not None
    assert not entry.suspect
    await tier.close()
    await tier.close()


async def test_a_removal_right_after_a_write_wins(open_tier, make_entry) -> None:
    tier, _ = await open_tier()
    tier.put(make_entry("k"))
    tier.remove("k")
    await tier.flush()
    assert files_in(tier) == []
    assert await tier.read("k") is None
    await tier.close()


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + b"?"])
async def test_a_damaged_entry_is_dropped_and_never_served(open_tier, make_entry, damage) -> None:
    tier, _ = await open_tier()
    tier.put(make_entry("k"))
    await tier.flush()
    path = tier.path_of("k")
    path.write_bytes(damage(path.read_bytes()))
    with capture_logs() as logs:
        assert await tier.read("k") is None
    assert logs[0]["event"] == "cache entry dropped"
    await tier.flush()
    assert files_in(tier) == []
    assert tier.quotas.used_bytes("free") == 0
    await tier.close()


async def test_the_index_is_rebuilt_without_what_is_torn_or_left_over(
    open_tier, make_entry
) -> None:
    tier, _ = await open_tier()
    for key in ("good", "torn", "headless", "moved"):
        tier.put(make_entry(key))
    await tier.close()
    torn, headless = tier.path_of("torn"), tier.path_of("headless")
    torn.write_bytes(torn.read_bytes()[:-1])
    headless.write_bytes(headless.read_bytes()[:10])
    tier.path_of("moved").rename(tier.path_of("good").with_name("other.entry"))
    (tier.folder / "tmp" / "half-written").write_bytes(b"x")
    with capture_logs() as logs:
        again, found = await open_tier()
    assert [entry.key for entry in found] == ["good"]
    assert len(logs) == 3
    assert files_in(again) == [again.path_of("good")]
    await again.close()


async def test_a_smaller_quota_at_the_next_start_keeps_the_newest(open_tier, make_entry) -> None:
    tier, _ = await open_tier()
    for number in range(3):
        tier.put(make_entry(str(number), stored_at=float(number)))
    await tier.close()
    again, found = await open_tier({"free": 2 * make_entry("0").size})
    assert [entry.key for entry in found] == ["1", "2"]
    await again.flush()
    assert len(files_in(again)) == 2
    await again.close()


async def test_a_full_disk_pauses_writing_and_raises_nothing(
    open_tier, make_entry, clock, monkeypatch
) -> None:
    tier, _ = await open_tier(pause_s=60.0)

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(blackstart.cdn.disk.os, "fsync", full)
        tier.put(make_entry("lost"))
        await tier.flush()
    assert logs[0]["event"] == "cache disk failed, memory only for now"
    assert await tier.read("lost") is None
    assert tier.put(make_entry("k")) is None, "the disk is left alone for a while"
    clock.advance(60.0)
    assert tier.put(make_entry("k")) == []
    await tier.flush()
    assert files_in(tier) == [tier.path_of("k")]
    await tier.close()


async def test_an_older_version_does_not_come_back_when_writing_the_newer_fails(
    open_tier, make_entry, monkeypatch
) -> None:
    tier, _ = await open_tier()
    tier.put(make_entry("k", body=b"older"))
    await tier.flush()

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, capture_logs():
        patch.setattr(blackstart.cdn.disk.os, "fsync", full)
        tier.put(make_entry("k", body=b"newer"))
        await tier.flush()
    assert files_in(tier) == []
    with capture_logs():
        assert await tier.read("k") is None
    await tier.close()


async def test_a_disk_that_cannot_be_read_costs_a_miss_and_a_warning(
    open_tier, make_entry, monkeypatch
) -> None:
    tier, _ = await open_tier()
    tier.put(make_entry("k"))
    await tier.flush()

    def broken(_path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", broken)
    with capture_logs() as logs:
        assert await tier.read("k") is None
    assert logs
    await tier.close()


async def test_a_folder_that_cannot_be_made_switches_the_tier_off(
    tmp_path, clock, make_entry
) -> None:
    (tmp_path / "file").write_bytes(b"")
    tier = DiskTier(tmp_path / "file" / "cache", QUOTAS, clock)
    with capture_logs() as logs:
        assert await tier.open() == []
    assert logs[0]["event"] == "cache folder cannot be used"
    assert tier.put(make_entry("k")) is None
    await tier.close()


async def test_more_waiting_writes_than_allowed_are_not_kept(open_tier, make_entry) -> None:
    tier, _ = await open_tier(pending_bytes=0)
    assert tier.put(make_entry("k")) is None
    await tier.close()


async def test_what_is_removed_while_it_is_read_is_not_served(
    open_tier, make_entry, monkeypatch
) -> None:
    tier, _ = await open_tier()
    tier.put(make_entry("k"))
    await tier.flush()
    real = tier._read

    def read_while_it_goes(key: str):
        entry = real(key)
        tier.remove(key)
        return entry

    monkeypatch.setattr(tier, "_read", read_while_it_goes)
    assert await tier.read("k") is None
    await tier.close()
