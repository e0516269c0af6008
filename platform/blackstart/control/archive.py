"""A zip archive as an upload: every entry checked before one byte of it is believed."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from blackstart.errors import TooLargeError, UsageError
from blackstart.model import ManifestFile, check_site_path

CHUNK_BYTES = 256 * 1024

METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""What archivers write by default. Bzip2 and LZMA can ask for a lot of memory."""

DIRECTORY_BYTES_PER_FILE = 1024
"""What the archive's directory may take for each allowed file, names and extra fields."""

# Flags of PKWARE's APPNOTE 4.4.4: encrypted, patch data, strong encryption, masked headers.
_UNREADABLE_FLAGS = 0x1 | 0x20 | 0x40 | 0x2000
_LOCAL_HEADER_BYTES = 30
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class ArchiveEntry:
    """One file of an archive: its path in the site and its size in bytes as declared."""

    path: str
    size: int


class Archive:
    """An open archive whose entries have passed the checks; use it as a context manager.

    Raises (while reading): UsageError when an entry is damaged or is not what it declares.
    """

    def __init__(
        self, source: io.FileIO, file: zipfile.ZipFile, infos: Iterable[zipfile.ZipInfo]
    ) -> None:
        self._source = source
        self._file = file
        self._infos = {info.filename: info for info in infos}
        self.entries = [ArchiveEntry(path, info.file_size) for path, info in self._infos.items()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._source.close()

    async def digests(self) -> list[ManifestFile]:
        """Path, SHA-1 and size of every entry as read, in path order; works in a thread."""
        return await asyncio.to_thread(self._digests)

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        """The bytes of one entry, in chunks of at most 256 KiB."""
        chunks = self._chunks(path)
        while chunk := await asyncio.to_thread(next, chunks, b""):
            yield chunk

    def _digests(self) -> list[ManifestFile]:
        files = []
        for path in sorted(self._infos):
            digest, size = hashlib.sha1(usedforsecurity=False), 0
            for chunk in self._chunks(path):
                digest.update(chunk)
                size += len(chunk)
            files.append(ManifestFile(path=path, sha1=digest.hexdigest(), size=size))
        return files

    def _chunks(self, path: str) -> Iterator[bytes]:
        """Never more than the declared size: zipfile cuts off what a bomb would add."""
        info, size = self._infos[path], 0
        with _clear_errors(f"cannot read {_shown(path)} from the archive"):
            with self._file.open(info) as entry:
                while chunk := entry.read(CHUNK_BYTES):
                    size += len(chunk)
                    yield chunk
            if size != info.file_size:
                raise zipfile.BadZipFile(f"it has {size:,} bytes, not {info.file_size:,}")


def read_archive(path: Path, *, max_files: int, max_bytes: int) -> Archive:
    """Open a zip file and check what it declares. Blocks: call it in a thread.

    Folders are passed over, and nothing is stripped from the paths. At most
    `max_files` files with `max_bytes` bytes in all, unpacked, are taken.

    Raises: UsageError, which names the entry, for a file that is no whole zip
    archive, a path outside the site (see `check_site_path`) or listed twice,
    links and special files, encrypted or overlapping entries; TooLargeError
    for too much.
    """
    source = _Bounded(path, max_files)
    try:
        with _clear_errors("not a whole zip archive"):
            file = zipfile.ZipFile(source)
        infos = [info for info in file.infolist() if _is_file(info)]
        _check_amount(infos, max_files=max_files, max_bytes=max_bytes)
        _check_duplicates(infos)
        _check_overlaps(file.infolist(), end=file.start_dir)
    except BaseException:
        source.close()
        raise
    return Archive(source, file, infos)


class _Bounded(io.FileIO):
    """Refuses the one large read: zipfile takes the whole directory into memory."""

    def __init__(self, path: Path, max_files: int) -> None:
        super().__init__(path)
        # The end record is looked for in the last 64 KiB and a bit.
        self._most = 2**17 + max_files * DIRECTORY_BYTES_PER_FILE

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > max(self._most, CHUNK_BYTES):
            raise TooLargeError("the archive's directory is too large", hint="send fewer files")
        return super().read(size) or b""


def _is_file(info: zipfile.ZipInfo) -> bool:
    """Whether the entry is a file; False for a folder. Raises: UsageError for all else."""
    # zipfile cuts a name at its first NUL: what was written counts.
    name = info.filename if "\0" not in info.orig_filename else info.orig_filename
    is_folder = name.endswith("/")
    if _DRIVE.match(name):
        raise UsageError(f"{_shown(name)} in the archive has a drive letter")
    check_site_path(name[:-1] if is_folder else name)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG):
        what = "a symbolic link" if stat.S_ISLNK(kind) else "not an ordinary file"
        raise UsageError(f"{_shown(name)} in the archive is {what}")
    if info.flag_bits & _UNREADABLE_FLAGS:
        raise UsageError(f"{_shown(name)} in the archive is encrypted")
    if info.compress_type not in METHODS:
        raise UsageError(
            f"{_shown(name)} in the archive is packed with method {info.compress_type}",
            hint="use deflate, or none",
        )
    return not is_folder


def _check_amount(infos: list[zipfile.ZipInfo], *, max_files: int, max_bytes: int) -> None:
    if len(infos) > max_files:
        name = _shown(infos[max_files].filename)
        raise TooLargeError(
            f"the archive has more than {max_files:,} files: {name} is one too many"
        )
    total = 0
    for info in infos:
        total += info.file_size
        if total > max_bytes:
            name = _shown(info.filename)
            raise TooLargeError(f"the archive has more than {max_bytes:,} bytes, up to {name}")


def _check_duplicates(infos: list[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for info in infos:
        # Two spellings of one name in Unicode look the same to everyone but a computer.
        name = unicodedata.normalize("NFC", info.filename)
        if name in seen:
            raise UsageError(f"{_shown(info.filename)} is in the archive twice")
        seen.add(name)


def _check_overlaps(infos: list[zipfile.ZipInfo], *, end: int) -> None:
    """Entries that share packed bytes are how a small archive unpacks to petabytes."""
    for info in sorted(infos, key=lambda info: info.header_offset, reverse=True):
        if info.header_offset + _LOCAL_HEADER_BYTES + info.compress_size > end:
            raise UsageError(f"{_shown(info.filename)} in the archive overlaps what follows it")
        end = info.header_offset


@contextmanager
def _clear_errors(failure: str) -> Iterator[None]:
    """What zipfile raises on damaged files, as a UsageError."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        OverflowError,
        struct.error,
    ) as error:
        reason = str(error) or "it ends too early"
        raise UsageError(f"{failure}: {reason}", hint="pack it anew and send it whole") from error


def _shown(name: str) -> str:
    return repr(name if len(name) <= 200 else f"{name[:200]}...")
