"""Zip archives as people pack them, and as attackers do."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blackstart.control.archive import CHUNK_BYTES, Archive, read_archive
from blackstart.errors import BlackstartError, TooLargeError, UsageError
from blackstart.model import ManifestFile

SITE = {"index.html": b"<h1>hello</h1>", "a/b/empty": b"", "a/large.bin": bytes(3 * CHUNK_BYTES)}


def packed(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target.getvalue()


def with_entry(info: zipfile.ZipInfo, data: bytes = b"x") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(info, data)
    return target.getvalue()


Opener = Callable[..., Archive]


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    def open_archive(data: bytes, *, max_files: int = 100, max_bytes: int = 10**7) -> Archive:
        path = tmp_path / "upload.zip"
        path.write_bytes(data)
        return read_archive(path, max_files=max_files, max_bytes=max_bytes)

    return open_archive


def refusal(
    opened: Opener,
    data: bytes,
    kind: type[BlackstartError] = UsageError,
    **limits: int,
) -> str:
    """The one line with which the archive is refused."""
    with pytest.raises(kind) as refused, opened(data, **limits):
        pass
    assert len(refused.value.message.splitlines()) == 1
    return refused.value.message


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
async def test_an_archive_gives_its_files_byte_by_byte(opened: Opener, method: int) -> None:
    with opened(packed({"folder/": b"", **SITE}, method)) as archive:
        assert {entry.path: entry.size for entry in archive.entries} == {
            path: len(data) for path, data in SITE.items()
        }
        for path, data in SITE.items():
            assert b"".join([chunk async for chunk in archive.stream(path)]) == data


async def test_digests_are_those_of_the_unpacked_bytes_in_path_order(opened: Opener) -> None:
    with opened(packed(SITE)) as archive:
        assert await archive.digests() == [
            ManifestFile(
                path=path,
                sha1=hashlib.sha1(SITE[path], usedforsecurity=False).hexdigest(),
                size=len(SITE[path]),
            )
            for path in sorted(SITE)
        ]


async def test_an_archive_without_files_is_an_empty_site(opened: Opener) -> None:
    with opened(packed({})) as archive:
        assert archive.entries == []
        assert await archive.digests() == []


def test_the_top_folder_is_kept(opened: Opener) -> None:
    with opened(packed({"dist/index.html": b""})) as archive:
        assert [entry.path for entry in archive.entries] == ["dist/index.html"]


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../x", "a/../x", "a\\b", "..\\x", "./x", "a//b", "a\nb", "../folder/"]
)
def test_a_path_outside_the_site_is_refused_by_name(opened: Opener, name: str) -> None:
    assert f"not a path inside a site: {name.removesuffix('/')!r}" in refusal(
        opened, packed({"index.html": b"", name: b""})
    )


@pytest.mark.parametrize("name", ["C:/x", "c:x"])
def test_a_drive_letter_is_refused(opened: Opener, name: str) -> None:
    assert refusal(opened, packed({name: b""})) == f"{name!r} in the archive has a drive letter"


def test_a_name_is_judged_beyond_its_first_nul(opened: Opener) -> None:
    data = packed({"index.htmlX.exe": b""}).replace(b"index.htmlX.exe", b"index.html\0.exe")
    assert "control character" in refusal(opened, data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_path_can_stand_in_an_archive_once(opened: Opener) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("index.html", b"one")
        archive.writestr("index.html", b"two")
    assert refusal(opened, target.getvalue()) == "'index.html' is in the archive twice"


def test_two_spellings_of_one_name_are_one_path(opened: Opener) -> None:
    data = packed({"\u00fcber.html": b"1", "u\u0308ber.html": b"2"})
    assert "is in the archive twice" in refusal(opened, data)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (stat.S_IFLNK, "is a symbolic link"),
        (stat.S_IFIFO, "is not an ordinary file"),
        (stat.S_IFCHR, "is not an ordinary file"),
        (stat.S_IFDIR, "is not an ordinary file"),
    ],
)
def test_links_and_special_files_are_refused(opened: Opener, kind: int, reason: str) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    assert refusal(opened, with_entry(info, b"/etc/passwd")) == f"'link' in the archive {reason}"


def in_directory(data: bytes, offset: int, layout: str, value: int) -> bytes:
    """Overwrites a field of the first entry in the archive's directory (APPNOTE 4.3.12)."""
    patched = bytearray(data)
    struct.pack_into(layout, patched, data.index(b"PK\x01\x02") + offset, value)
    return bytes(patched)


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_an_encrypted_entry_is_refused(opened: Opener, flag: int) -> None:
    data = in_directory(packed({"secret": b"x"}), 8, "<H", flag)
    assert refusal(opened, data) == "'secret' in the archive is encrypted"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 99])
def test_only_common_packing_is_taken(opened: Opener, method: int) -> None:
    data = in_directory(packed({"x": b"x"}), 10, "<H", method)
    assert refusal(opened, data) == f"'x' in the archive is packed with method {method}"


def test_too_many_files_are_refused(opened: Opener) -> None:
    data = packed({f"{number}": b"" for number in range(4)})
    assert "more than 3 files: '3' is one too many" in refusal(
        opened, data, TooLargeError, max_files=3
    )
    with opened(data, max_files=4) as archive:
        assert len(archive.entries) == 4


def test_a_directory_of_millions_is_not_even_read(opened: Opener) -> None:
    data = packed({f"{number:0200}": b"" for number in range(3_000)})
    assert (
        refusal(opened, data, TooLargeError, max_files=10) == "the archive's directory is too large"
    )


def test_too_many_bytes_are_refused_as_declared(opened: Opener) -> None:
    data = packed({"a": bytes(60), "b": bytes(41)})
    assert (
        refusal(opened, data, TooLargeError, max_bytes=100)
        == "the archive has more than 100 bytes, up to 'b'"
    )
    with opened(data, max_bytes=101) as archive:
        assert len(archive.entries) == 2


@pytest.mark.parametrize("declared", [0, 10, 1_000_000 - 1, 1_000_000 + 1])
async def test_an_entry_that_lies_about_its_size_is_noticed(opened: Opener, declared: int) -> None:
    data = in_directory(packed({"bomb": bytes(1_000_000)}), 24, "<I", declared)
    with opened(data) as archive, pytest.raises(UsageError, match="cannot read 'bomb'"):
        await archive.digests()


async def test_damaged_bytes_are_noticed(opened: Opener) -> None:
    data = packed({"index.html": b"hello world"}, zipfile.ZIP_STORED).replace(b"hello", b"jello")
    with opened(data) as archive, pytest.raises(UsageError, match="cannot read 'index"):
        [chunk async for chunk in archive.stream("index.html")]


def test_entries_that_share_their_bytes_are_refused(opened: Opener) -> None:
    data = packed({"a": b"1" * 50, "b": b"2" * 50}, zipfile.ZIP_STORED)
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    patched = bytearray(data)
    struct.pack_into("<I", patched, second + 42, 0)
    assert "overlaps what follows it" in refusal(opened, bytes(patched))


def test_what_is_no_archive_is_refused(opened: Opener) -> None:
    for data in (b"", b"hello", b"PK", b"\x1f\x8b gzip", b"PK\x05\x06" + bytes(10)):
        assert refusal(opened, data).startswith("not a whole zip archive: ")


def test_a_file_that_is_not_there_is_the_caller_s_mistake(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_archive(tmp_path / "none.zip", max_files=1, max_bytes=1)


WHOLE = packed(SITE)
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(cut=st.integers(0, len(WHOLE) - 1))
@same_folder
def test_a_truncated_archive_is_refused(opened: Opener, cut: int) -> None:
    refusal(opened, WHOLE[:cut])


@given(at=st.integers(0, len(WHOLE) - 1), value=st.integers(0, 255))
@same_folder
async def test_a_changed_byte_changes_nothing_or_is_a_clear_refusal(
    opened: Opener, at: int, value: int
) -> None:
    data = WHOLE[:at] + bytes([value]) + WHOLE[at + 1 :]
    try:
        with opened(data) as archive:
            files = {entry.path: entry.size for entry in archive.entries}
            digests = {file.path: file.size for file in await archive.digests()}
    except UsageError:
        return
    assert digests == files
    assert set(files.values()) <= {len(data) for data in SITE.values()}


names = st.lists(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="\\/:."))
    .filter(bool)
    .map(lambda text: text[:20]),
    min_size=1,
    max_size=3,
).map("/".join)


@given(files=st.dictionaries(names, st.binary(max_size=100), max_size=6))
@same_folder
async def test_what_was_packed_comes_out(opened: Opener, files: dict[str, bytes]) -> None:
    try:
        archive = opened(packed(files))
    except UsageError as error:
        assert "twice" in error.message, "only two spellings of one name are refused"
        return
    with archive:
        unpacked = {
            path: b"".join([chunk async for chunk in archive.stream(path)]) for path in files
        }
    assert unpacked == files
