"""Tests of announcing the files of a checkout."""

from __future__ import annotations

import hashlib
from pathlib import Path

from blackstart.builder.files import digest_files
from blackstart.model import ManifestFile


def test_files_are_announced_in_path_order_with_digest_and_size(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.txt").write_bytes(b"three")
    (tmp_path / "a.txt").write_bytes(b"")
    assert digest_files(tmp_path, ["b/c.txt", "a.txt"]) == [
        ManifestFile(path=path, sha1=hashlib.sha1(data).hexdigest(), size=len(data))
        for path, data in (("a.txt", b""), ("b/c.txt", b"three"))
    ]
