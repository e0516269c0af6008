"""Tests of opening files in a folder that nobody vouches for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from blackstart.builder.tree import open_file
from blackstart.errors import RepositoryError


def test_a_file_is_opened_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"data")
    with open_file(tmp_path, "a/b/c") as file:
        assert file.read() == b"data"


@pytest.mark.parametrize("swapped", ["a", "a/b", "a/b/c"])
def test_nothing_is_read_through_a_part_that_became_a_link(tmp_path: Path, swapped: str) -> None:
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    for path in (outside / "b" / "c", outside / "c"):
        path.write_bytes(b"secret")
    top = tmp_path / "top"
    (top / swapped).parent.mkdir(parents=True)
    target = {"a": outside, "a/b": outside / "b", "a/b/c": outside / "c"}[swapped]
    (top / swapped).symlink_to(target)
    with pytest.raises(RepositoryError, match="cannot read a/b/c"):
        open_file(top, "a/b/c")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RepositoryError, match="not a regular file"):
        open_file(tmp_path, "pipe")


def test_no_file_stays_open_after_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "a" / "folder").mkdir(parents=True)
    before = os.listdir("/dev/fd")
    for path in ("a/folder", "a/no", "no/no"):
        with pytest.raises(RepositoryError):
            open_file(tmp_path, path)
    assert len(os.listdir("/dev/fd")) == len(before)
