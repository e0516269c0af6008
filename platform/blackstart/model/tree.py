"""A tree: an immutable object that maps a deploy's paths to blob digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class TreeEntry(NamedTuple):
    """One file: its blob's SHA-1 digest and its size in bytes."""

    sha1: str
    size: int


@dataclass(frozen=True)
class Tree:
    """Path (no leading slash) -> entry. Equal contents have equal ids."""

    files: Mapping[str, TreeEntry]

    def encode(self) -> bytes:
        """Canonical JSON: sorted paths, no spaces, so that equal trees are equal bytes."""
        files = {path: list(self.files[path]) for path in sorted(self.files)}
        return json.dumps({"files": files}, separators=(",", ":"), ensure_ascii=True).encode()

    @property
    def id(self) -> str:
        """SHA-256 of the canonical bytes, in hex: this is what a pointer holds."""
        return hashlib.sha256(self.encode()).hexdigest()

    @classmethod
    def decode(cls, data: bytes) -> Tree:
        """From canonical bytes. Raises: ValueError, KeyError, TypeError on anything else."""
        files = json.loads(data)["files"]
        return cls({path: TreeEntry(str(sha1), int(size)) for path, (sha1, size) in files.items()})
