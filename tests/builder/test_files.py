"""Tests of which files of a build are published, and what each is read from."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blackstart.builder.config import BuildConfig
from blackstart.builder.files import Publication, published_files
from blackstart.builder.git import Git
from blackstart.errors import RepositoryError
from blackstart.model import ManifestFile
from blackstart.model.tree import Tree, TreeEntry
from blackstart.process import remove_folder
from blackstart.repositories import RepositoryPolicy

if TYPE_CHECKING:
    from tests.conftest import Repository


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def fill(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def content(publication: Publication) -> dict[str, bytes]:
    return {file.path: publication.read(file.path) for file in publication.files}


def test_files_are_announced_in_path_order_with_digest_and_size(folder: Path) -> None:
    fill(folder, {"b/c.txt": b"three", "a.txt": b"", "b.txt": b"x", "B": b"y"})
    assert published_files(folder, BuildConfig()).files == [
        ManifestFile(path=path, sha1=hashlib.sha1(data).hexdigest(), size=len(data))
        for path, data in (("B", b"y"), ("a.txt", b""), ("b.txt", b"x"), ("b/c.txt", b"three"))
    ]


def test_only_what_is_below_the_publish_folder_is_published(folder: Path) -> None:
    fill(folder, {"secret.txt": b"secret", "dist/index.html": b"home", "dist/a/b": b"deep"})
    (folder / "dist" / "dotted").symlink_to("../secret.txt")
    publication = published_files(folder, BuildConfig(publish="dist"))
    assert content(publication) == {"index.html": b"home", "a/b": b"deep", "dotted": b"secret"}


def test_the_publish_folder_may_be_a_link_inside_but_none_to_the_outside(folder: Path) -> None:
    fill(folder, {"real/index.html": b"home"})
    (folder / "dist").symlink_to("real")
    (folder / "out").symlink_to("/etc")
    (folder / ".git").mkdir()
    (folder / "git").symlink_to(".git")
    assert content(published_files(folder, BuildConfig(publish="dist"))) == {"index.html": b"home"}
    for publish in ("out", "git", "no", "real/index.html"):
        with pytest.raises(RepositoryError, match=f"no folder '{publish}' to publish"):
            published_files(folder, BuildConfig(publish=publish))


def test_links_are_followed_to_files_inside_and_everything_else_is_skipped_by_name(
    folder: Path, tmp_path: Path
) -> None:
    fill(
        folder, {"file": b"data", "deep/file": b"deep", ".git/config": b"token", ".gitignore": b""}
    )
    fill(tmp_path, {"outside": b"secret"})
    for name, target in {
        "inside": "deep/file",
        "chain": "inside",
        "deep/up": "../file",
        "absolute": str(folder / "file"),
        "passwords": "/etc/passwd",
        "outside": "../outside",
        "detour": "../site/file",
        "nowhere": "no",
        "circle": "circle",
        "folder": "deep",
        "hidden": ".git/config",
        "pipe-link": "pipe",
    }.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(folder / "socket"))
    publication = published_files(folder, BuildConfig())
    assert content(publication) == {
        "file": b"data",
        "deep/file": b"deep",
        "inside": b"deep",
        "chain": b"deep",
        "deep/up": b"data",
    }
    link = "a symbolic link that leads"
    assert publication.skipped == [
        f"absolute: {link} out of the site",
        f"circle: {link} in a circle",
        f"detour: {link} out of the site",
        f"folder: {link} to a folder is not published",
        f"hidden: {link} to a file of git is not published",
        f"nowhere: {link} nowhere",
        f"outside: {link} out of the site",
        f"passwords: {link} out of the site",
        f"pipe-link: {link} to a pipe, socket or device is not published",
        "pipe: a pipe, socket or device is not published",
        "socket: a pipe, socket or device is not published",
    ]


def test_a_name_that_is_no_text_is_skipped_and_shown_harmlessly(folder: Path) -> None:
    fill(folder, {"fine": b""})
    (folder / os.fsdecode(b"bad\xff\n")).write_bytes(b"")
    publication = published_files(folder, BuildConfig())
    assert content(publication) == {"fine": b""}
    assert publication.skipped == ["'bad\\udcff\\n': its name is not UTF-8"]


def test_a_file_that_is_swapped_for_a_link_after_it_was_announced_is_not_read(
    folder: Path,
) -> None:
    fill(folder, {"a/file": b"data"})
    publication = published_files(folder, BuildConfig())
    (folder / "a" / "file").unlink()
    (folder / "a" / "file").symlink_to("/etc/passwd")
    with pytest.raises(RepositoryError, match="symbolic link"):
        publication.read("a/file")


def test_a_tree_deeper_than_python_can_recurse_is_walked(folder: Path) -> None:
    at = os.open(folder, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    try:
        assert published_files(folder, BuildConfig()).files == []
    finally:
        remove_folder(folder)
    assert not folder.exists()


async def test_the_same_commit_gives_the_same_files_and_the_same_tree(
    repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"index.html": b"home", "a/run.sh": b"#!/bin/sh", "\u00fc": b"", "z": b"1"})
    (repository.folder / "link").symlink_to("a/run.sh")
    (repository.folder / "out").symlink_to("/etc/passwd")
    commit = repository.commit({})
    git = Git(tmp_path / "cache", RepositoryPolicy([tmp_path]))
    ids, listed = [], []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        await git.checkout(repository.repo, commit, tmp_path / name)
        publication = published_files(tmp_path / name, BuildConfig())
        listed.append(publication.files)
        entries = {file.path: TreeEntry(file.sha1, file.size) for file in publication.files}
        ids.append(Tree(entries).id)
    assert listed[0] == listed[1]
    assert [file.path for file in listed[0]] == ["a/run.sh", "index.html", "link", "z", "\u00fc"]
    assert ids[0] == ids[1]
