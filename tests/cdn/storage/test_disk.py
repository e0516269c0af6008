"""Tests of the disk behind the cache."""

import errno
import hashlib
import shutil
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from blackstart.cdn.message import whole_body
from blackstart.cdn.storage import Cache, Entry
from blackstart.cdn.storage.blocks import BLOCK_BYTES
from blackstart.cdn.storage.files import Files
from blackstart.errors import StorageError

QUOTAS = {"free": 100_000_000}
KEY = "a.example /"


def noise(size: int) -> bytes:
    return hashlib.shake_128(b"noise").digest(size)


def body_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "cache" / "bodies").rglob("*") if path.is_file()]


def only(cache: Cache, key: str = KEY) -> Entry:
    page = cache.lookup(key)
    assert page is not None
    (entry,) = page
    return entry


async def test_what_was_stored_outlives_the_process_and_is_stale_until_trusted(
    opened, stored
) -> None:
    async with opened() as cache:
        first = stored(
            cache, body=b"page", selecting=(("accept", "x"),), part=(0, 4, 9), tags=("a", "b")
        )
    async with opened() as cache:
        entry = only(cache)
        assert entry.stale
        cache.trust_found()
        assert not entry.stale
        for name in Entry.__match_args__:
            assert getattr(entry, name) == getattr(first, name)
        assert cache.peek(entry) is None
        assert await cache.read(entry, 1, 3) == b"ag"
        assert cache.peek(entry) == b"page", "a short body goes to memory when it is read"


async def test_trust_makes_nothing_fresh_that_the_origin_has_told_of_otherwise(
    opened, stored
) -> None:
    async with opened() as cache:
        stored(cache)
        stored(cache, f"{KEY}2")
    async with opened() as cache:
        cache.doubt(only(cache))
        cache.trust_found()
        assert [only(cache, key).stale for key in (KEY, f"{KEY}2")] == [True, False]


async def test_an_entry_pushed_out_of_memory_is_read_from_disk(opened, stored) -> None:
    async with opened(memory=3_000) as cache:
        evicted = []
        cache.on_evict = lambda *eviction: evicted.append(eviction)
        pages = [stored(cache, f"{KEY}{n}", b"%d" % n * 1_000) for n in range(4)]
        assert evicted
        assert {tier for tier, _ in evicted} == {"memory"}
        assert cache.peek(pages[0]) is None
        assert await cache.read(pages[0]) == b"0" * 1_000
        await cache.disk.flush()
        assert cache.peek(pages[1]) is None
        assert await cache.read(pages[1]) == b"1" * 1_000


async def test_a_full_disk_quota_evicts_and_keeps_what_memory_has(opened, stored, tmp_path) -> None:
    async with opened(disk=5_000, memory=4_000) as cache:
        evicted = []
        cache.on_evict = lambda *eviction: evicted.append(eviction)
        pages = [stored(cache, f"{KEY}{n}", bytes(1_000)) for n in range(5)]
        await cache.disk.flush()
        assert ("disk", "free") in evicted
        assert len(body_files(tmp_path)) == 2
        assert cache.disk.quotas.used_bytes("free") <= 5_000
        held = [page for page in pages if cache.lookup(page.key)]
        assert pages[-1] in held
        assert pages[0] not in held
        for page in held:
            assert await cache.read(page) == bytes(1_000)
        cache.drop(held)
        assert cache.disk.quotas.used_bytes("free") == 0
        await cache.disk.flush()
        assert body_files(tmp_path) == []


async def test_a_long_body_is_read_bit_by_bit_and_any_range_of_it(opened, stored) -> None:
    body = noise(20 * BLOCK_BYTES + 7)
    async with opened(gather_bytes=BLOCK_BYTES) as cache:
        entry = stored(cache, body=body)
        assert cache.peek(entry) is None
        await cache.disk.flush()
        stream = await cache.read(entry)
        assert not isinstance(stream, bytes)
        assert await whole_body(stream) == body
        for first, end in ((0, 1), (5, BLOCK_BYTES + 1), (BLOCK_BYTES - 1, 9 * BLOCK_BYTES + 3)):
            assert await whole_body(await cache.read(entry, first, end)) == body[first:end]


async def test_a_spooled_body_is_followed_kept_and_outlives_the_process(opened, make_entry) -> None:
    chunks = [noise(50_000 + n) for n in range(40)]
    async with opened(gather_bytes=100_000) as cache:
        fetch = cache.begin(KEY)
        intake = cache.intake(make_entry(), fetch, None)
        for chunk in chunks:
            intake.write(chunk)
            await intake.drain()
        late = intake.follow()
        assert intake.commit()
        cache.end(fetch)
        assert await whole_body(await cache.read(only(cache))) == b"".join(chunks)
        assert await whole_body(late) == b"".join(chunks)
    async with opened(gather_bytes=100_000) as cache:
        assert await whole_body(await cache.read(only(cache))) == b"".join(chunks)


async def test_a_spooled_body_that_is_torn_leaves_nothing(opened, make_entry, tmp_path) -> None:
    async with opened(gather_bytes=1_000) as cache:
        fetch = cache.begin(KEY)
        intake = cache.intake(make_entry(), fetch, None)
        intake.write(bytes(5_000))
        intake.abort(StorageError("cut"))
        cache.end(fetch)
        await cache.disk.flush()
        assert list((tmp_path / "cache" / "coming").iterdir()) == []
        assert cache.lookup(KEY) == ()


@pytest.mark.parametrize("position", [0, 3 * BLOCK_BYTES, -1])
async def test_a_damaged_block_is_never_given_out(opened, stored, tmp_path, position) -> None:
    body = bytes(4 * BLOCK_BYTES)
    async with opened(gather_bytes=10) as cache:
        entry = stored(cache, body=body)
        await cache.disk.flush()
        (path,) = body_files(tmp_path)
        data = bytearray(path.read_bytes())
        data[position] ^= 4
        path.write_bytes(data)
        got = b""
        with pytest.raises(StorageError):
            stream = await cache.read(entry, 0, None)
            async for chunk in stream:
                got += chunk
        assert body.startswith(got)
        assert cache.lookup(KEY) == ()
        await cache.disk.flush()
        assert body_files(tmp_path) == []


async def test_a_body_whose_file_is_gone_is_dropped(opened, stored, tmp_path) -> None:
    async with opened(memory=1_000) as cache:
        entry = stored(cache, body=bytes(2_000))
        await cache.disk.flush()
        body_files(tmp_path)[0].unlink()
        with pytest.raises(StorageError):
            await cache.read(entry)
        assert cache.lookup(KEY) == ()


async def test_a_body_that_nobody_reads_any_more_is_in_its_file_alone(opened, make_entry) -> None:
    async with opened() as cache:
        entry = make_entry(KEY)
        fetch = cache.begin(entry.key)
        intake = cache.intake(entry, fetch, 3_000_000)
        chunk = bytes(1_500_000)
        before = sys.getrefcount(chunk)
        follower = intake.follow()
        intake.write(chunk)
        for _ in range(2):
            await cache.disk.flush()
        assert sys.getrefcount(chunk) > before
        await follower.aclose()
        assert sys.getrefcount(chunk) == before
        intake.abort(OSError("cut off"))
        cache.end(fetch)


async def test_a_purge_is_in_the_index_when_it_returns(opened, stored, tmp_path) -> None:
    async with opened() as cache:
        stored(cache, tags=("one",))
        kept = stored(cache, f"{KEY}2", tags=("two",))
        soft = stored(cache, f"{KEY}3", tags=("three",))
        assert await cache.purge(["one"]) == 1
        assert await cache.purge(["three"], soft=True) == 1
        copy = tmp_path / "copy.sqlite"
        for end in ("", "-wal"):
            shutil.copy(tmp_path / "cache" / f"index.sqlite{end}", f"{copy}{end}")
        database = sqlite3.connect(copy)
        rows = database.execute("SELECT key, sum < 0 FROM entries ORDER BY number").fetchall()
        database.close()
        assert rows == [(kept.key, 0), (soft.key, 1)]
        assert len(body_files(tmp_path)) == 2
    async with opened() as cache:
        cache.trust_found()
        assert [only(cache, key).stale for key in (kept.key, soft.key)] == [False, True]


async def test_a_purge_reaches_what_is_still_being_read(opened, stored) -> None:
    async with opened() as cache:
        for number in range(700):
            stored(cache, f"{KEY}{number}", tags=(f"tag-{number % 2}",))
    async with opened(loaded=False) as cache:
        assert await cache.purge(["tag-1"]) == 350
        assert len(cache) == 350
    async with opened() as cache:
        assert len(cache) == 350


async def test_a_page_can_be_found_and_forgotten_while_the_index_is_read(opened, stored) -> None:
    async with opened() as cache:
        for number in range(700):
            stored(cache, f"{KEY}{number}", body=b"%d" % number)
    async with opened(loaded=False) as cache:
        assert cache.lookup(f"{KEY}698") is None
        (entry,) = await cache.find(f"{KEY}698")
        assert await cache.read(entry) == b"698"
        assert cache.lookup(f"{KEY}698") == (entry,)
        cache.invalidate([f"{KEY}699"])
        assert cache.lookup(f"{KEY}699") == ()
        cache.drop([entry])
        newer = stored(cache, f"{KEY}697", body=b"newer")
        await cache.loaded()
        assert len(cache) == 698
        assert cache.lookup(newer.key) == (newer,)
        assert cache.lookup(f"{KEY}none") == ()
    async with opened() as cache:
        assert len(cache) == 698
        assert await cache.read(only(cache, newer.key)) == b"newer"


async def test_a_freshened_entry_keeps_its_file(opened, stored, tmp_path) -> None:
    async with opened() as cache:
        old = stored(cache)
        new = replace(old, head=b"etag: 2\r\n", lifetime_s=7.0)
        assert cache.replace(old, new)
    async with opened() as cache:
        entry = only(cache)
        assert (entry.head, entry.lifetime_s) == (b"etag: 2\r\n", 7.0)
        assert await cache.read(entry) == b"page"
        assert len(body_files(tmp_path)) == 1


async def test_the_position_and_a_missed_purge_outlive_the_process(opened, stored) -> None:
    async with opened() as cache:
        assert cache.position is None
        stored(cache)
        await cache.keep_position("5")
    async with opened() as cache:
        assert cache.position == "5"
        cache.trust_found()
        assert not only(cache).stale
        await cache.mark_all_stale()
        await cache.keep_position("6")
    async with opened() as cache:
        assert cache.position == "6"
        cache.trust_found()
        assert only(cache).stale


async def test_a_new_position_without_trust_leaves_what_was_found_stale(opened, stored) -> None:
    async with opened() as cache:
        stored(cache)
    async with opened() as cache:
        await cache.keep_position("6")
        stored(cache, f"{KEY}new")
    async with opened() as cache:
        cache.trust_found()
        assert only(cache).stale
        assert not only(cache, f"{KEY}new").stale


async def test_leftovers_of_earlier_runs_are_swept(opened, stored, tmp_path) -> None:
    async with opened() as cache:
        stored(cache)
    (path,) = body_files(tmp_path)
    orphan = path.with_name(str(int(path.name) + 1))
    orphan.write_bytes(b"no row")
    coming = tmp_path / "cache" / "coming" / orphan.name
    coming.write_bytes(b"cut")
    async with opened() as cache:
        await cache.swept()
        assert body_files(tmp_path) == [path]
        assert not coming.exists()
        assert await cache.read(only(cache)) == b"page"


class Broken(Files):
    """A disk on which everything fails while `error` is set."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def write(self, descriptor: int, data: bytes) -> None:
        if isinstance(self.error, OSError):
            raise self.error
        super().write(descriptor, data)

    def about_to_commit(self) -> None:
        if isinstance(self.error, sqlite3.Error):
            raise self.error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EIO, "Input/output error"),
        sqlite3.OperationalError("database or disk is full"),
    ],
)
@pytest.mark.parametrize("later_s", [61, pytest.param(-3600, id="the clock is set back")])
async def test_a_failing_disk_is_left_alone_for_a_while(
    opened, stored, clock, tmp_path, error, later_s
) -> None:
    files = Broken()
    async with opened(files=files) as cache:
        before = stored(cache, f"{KEY}before")
        await cache.disk.flush()
        files.error = error
        with capture_logs() as logs:
            entry = stored(cache)
            await cache.disk.flush()
        assert [line["event"] for line in logs] == ["cache disk failed, memory only"]
        assert cache.disk_state == f"paused: {error}"
        assert cache.peek(entry) == b"page"
        assert len(body_files(tmp_path)) == 1
        files.error = None
        stored(cache, f"{KEY}paused")
        clock.advance(later_s)
        with capture_logs() as logs:
            after = stored(cache, f"{KEY}after")
        assert [line["event"] for line in logs] == ["cache disk is used again"]
        assert cache.disk_state == "ok"
    async with opened() as cache:
        assert {entry.key for entry in cache.entries()} == {before.key, after.key}


async def test_a_purge_that_the_disk_cannot_note_is_not_acknowledged(opened, stored) -> None:
    files = Broken()
    async with opened(files=files) as cache:
        stored(cache)
        await cache.disk.flush()
        files.error = sqlite3.OperationalError("disk I/O error")
        with pytest.raises(StorageError, match="disk I/O error"):
            await cache.purge(["site-1"])
        assert cache.lookup(KEY) == ()
        files.error = None
        assert await cache.purge(["site-1"]) == 0
    async with opened() as cache:
        assert cache.lookup(KEY) == ()


async def test_a_damaged_index_is_begun_anew_while_it_serves(opened, stored, tmp_path) -> None:
    files = Broken()
    async with opened(files=files) as cache:
        await cache.keep_position("41")
        kept = stored(cache)
        long = stored(cache, f"{KEY}long", bytes(2_000_000))
        await cache.disk.flush()
        files.error = sqlite3.DatabaseError("database disk image is malformed")
        stored(cache, f"{KEY}2")
        await cache.disk.flush()
        files.error = None
        assert cache.lookup(kept.key) == (kept,)
        assert cache.lookup(long.key) == ()
        assert await cache.purge(["site-1"]) == 2
    async with opened() as cache:
        assert len(cache) == 0
        assert cache.position == "41"
    assert (tmp_path / "cache" / "index.sqlite.set-aside").exists()


@pytest.mark.parametrize("place", [0, 5_000, 20_000])
async def test_an_index_damaged_on_disk_costs_entries_and_nothing_else(
    opened, stored, tmp_path, place
) -> None:
    async with opened() as cache:
        for number in range(300):
            stored(cache, f"{KEY}{number}", body=b"%d" % number)
    path = tmp_path / "cache" / "index.sqlite"
    data = bytearray(path.read_bytes())
    data[place : place + 9_000] = noise(9_000)
    path.write_bytes(data)
    with capture_logs():
        async with opened() as cache:
            for entry in cache.entries():
                assert await cache.read(entry) == entry.key.removeprefix(KEY).encode()
            fresh = stored(cache, f"{KEY}fresh")
    with capture_logs():
        async with opened() as cache:
            assert cache.lookup(fresh.key)


@pytest.mark.parametrize(
    ("written", "damaged"),
    [
        (b"selecting TEXT", b"\xf3electing TEXT"),
        (b'etag: "1"\r\n', b'etag: "3"\r\n'),
        (b'["site-1"]', b'["site-3"]'),
        (b"opening1", b"openingq"),
    ],
    ids=["schema", "head", "tags", "run"],
)
async def test_damage_in_an_index_that_is_in_order_for_sqlite_is_seen(
    opened, stored, tmp_path, written, damaged
) -> None:
    async with opened() as cache:
        stored(cache)
    path = tmp_path / "cache" / "index.sqlite"
    data = path.read_bytes()
    assert written in data
    path.write_bytes(data.replace(written, damaged))
    with capture_logs() as logs:
        async with opened() as cache:
            assert await cache.find(KEY) == ()
            assert await cache.purge(["site-1"]) == 0
            fresh = stored(cache, f"{KEY}fresh")
    assert [line["event"] for line in logs if line["event"].endswith("is begun anew")]
    async with opened() as cache:
        assert cache.lookup(fresh.key)


async def test_a_freshened_entry_whose_body_was_not_written_leaves_no_row(opened, stored) -> None:
    files = Broken()
    async with opened(files=files) as cache:
        files.error = OSError(errno.EIO, "Input/output error")
        old = stored(cache)
        # Blocks the loop: the writer has failed, and the cache has not heard of it.
        cache.disk._writer.flush(durable=False).result()
        files.error = None
        new = replace(old, lifetime_s=7.0)
        assert cache.replace(old, new)
        await cache.disk.flush()
        assert cache.peek(new) == b"page"
    async with opened() as cache:
        assert cache.lookup(KEY) == ()
