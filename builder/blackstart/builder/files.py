"""The files of a build that get published: path, digest, size, and where each is read from."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from blackstart.builder.config import FILE, BuildConfig
from blackstart.builder.links import LinkError, follow
from blackstart.builder.tree import is_of_git, open_file, shown
from blackstart.errors import RepositoryError
from blackstart.model import ManifestFile
from blackstart.routing.rules import CONFIG_FILES, MAX_FILE_BYTES, parse_rules

READ_BYTES = 1024 * 1024


class _LeftOutError(Exception):
    """Something is not published; the text says why."""


@dataclass(frozen=True)
class Publication:
    """What is announced, in path order; `skipped` says what was left out and why.

    `sources` tells for each announced path which regular file below `folder` holds it.
    """

    folder: Path
    files: list[ManifestFile]
    sources: Mapping[str, str]
    skipped: list[str]

    async def stream(self, path: str) -> AsyncIterator[bytes]:
        """The content of an announced path, read off the loop. Raises: RepositoryError."""
        with await asyncio.to_thread(open_file, self.folder, self.sources[path]) as file:
            while data := await asyncio.to_thread(file.read, READ_BYTES):
                yield data

    def read(self, path: str, size: int = -1) -> bytes:
        """The content of an announced path, or its first `size` bytes. Raises: RepositoryError."""
        with open_file(self.folder, self.sources[path]) as file:
            return file.read(size)


def published_files(folder: Path, config: BuildConfig) -> Publication:
    """All files below the publish folder of `folder`; links are followed to files inside it.

    Raises: RepositoryError when there is no such folder or a file cannot be read.
    """
    top = real_folder(folder, config.publish)
    if top is None:
        raise RepositoryError(
            f"there is no folder {shown(config.publish)!r} to publish",
            hint="it is build.publish in netlify.toml, relative to build.base",
        )
    sources: dict[str, str] = {}
    skipped: list[str] = []
    for path in _walk(folder, top):
        name = path[len(top) :].lstrip("/")
        try:
            sources[_utf8(name)] = _source(folder, path)
        except _LeftOutError as error:
            skipped.append(f"{shown(name)}: {error}")
    if config.has_rules:
        # The origin follows the rules of the repository's own file, wherever the site is in it.
        sources.setdefault(FILE, FILE)
    files = [_announced(folder, path, sources[path]) for path in sorted(sources)]
    return Publication(folder, files, sources, sorted(skipped))


def rule_problems(publication: Publication) -> list[str]:
    """What the origin will pass over in the site's redirects and headers."""
    listed = [name for name in CONFIG_FILES if name in publication.sources]
    return parse_rules(
        {name: publication.read(name, MAX_FILE_BYTES + 1) for name in listed}
    ).problems


def real_folder(folder: Path, path: str) -> str | None:
    """Where a folder below `folder` really is, links followed; None when it is none inside."""
    try:
        found = follow(path, lambda link: _read_link(folder, link))
    except LinkError:
        return None
    return found if (folder / found).is_dir() and not is_of_git(found) else None


def _walk(folder: Path, top: str) -> Iterator[str]:
    """Everything below `top` that is no folder, relative to `folder`, without what is git's."""
    ahead = [top]
    while ahead:
        at = ahead.pop()
        try:
            entries = list(os.scandir(folder / at))
        except OSError as error:
            raise RepositoryError(f"cannot read {shown(at)}: {error.strerror}") from error
        for entry in entries:
            path = f"{at}/{entry.name}" if at else entry.name
            if is_of_git(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                ahead.append(path)
            else:
                yield path


def _utf8(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise _LeftOutError("its name is not UTF-8") from None
    return name


def _source(folder: Path, path: str) -> str:
    """The regular file that `path` is or leads to. Raises: _LeftOutError."""
    what = "" if _read_link(folder, path) is None else "a symbolic link that leads to "
    try:
        source = follow(path, lambda link: _read_link(folder, link))
    except LinkError as error:
        raise _LeftOutError(f"a symbolic link that {error}") from error
    if is_of_git(source):
        raise _LeftOutError(f"{what}a file of git is not published")
    try:
        mode = os.lstat(folder / source).st_mode
    except OSError:
        raise _LeftOutError("a symbolic link that leads nowhere") from None
    if stat.S_ISDIR(mode):
        raise _LeftOutError(f"{what}a folder is not published")
    if not stat.S_ISREG(mode):
        raise _LeftOutError(f"{what}a pipe, socket or device is not published")
    return source


def _read_link(folder: Path, path: str) -> str | None:
    try:
        return os.readlink(folder / path)
    except OSError:
        return None


def _announced(folder: Path, path: str, source: str) -> ManifestFile:
    with open_file(folder, source) as file:
        digest = hashlib.file_digest(file, _sha1)
        return ManifestFile(path=path, sha1=digest.hexdigest(), size=file.tell())


def _sha1() -> hashlib._Hash:
    return hashlib.sha1(usedforsecurity=False)
