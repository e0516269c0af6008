"""The files of a checkout as a deploy announces them: path, digest, size."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from blackstart.model import ManifestFile


def digest_files(folder: Path, paths: Sequence[str]) -> list[ManifestFile]:
    """Announce each path below `folder`, in path order."""
    files = []
    for path in sorted(paths):
        with open(folder / path, "rb") as file:
            digest = hashlib.file_digest(file, _sha1)
            files.append(ManifestFile(path=path, sha1=digest.hexdigest(), size=file.tell()))
    return files


def _sha1() -> hashlib._Hash:
    return hashlib.sha1(usedforsecurity=False)
