"""A tree: an immutable object that maps a deploy's paths to blob digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class TreeEntry(NamedTuple):
    """One file: its blob's SHA-1 digest and its size in bytes."""

    sha1: str
    size: int


class TreeOf(NamedTuple):
    """The deploy that a tree was made for, so that it can be found without the database."""

    site_id: str
    deploy_id: str
    commit_ref: str | None


@dataclass(frozen=True)
class Tree:
    """Path (no leading slash) -> entry, and perhaps whose it is. Equal contents have equal ids."""

    files: Mapping[str, TreeEntry]
    of: TreeOf | None = None

    def encode(self) -> bytes:
        """Canonical JSON: sorted paths, no spaces, so that equal trees are equal bytes."""
        files = {path: list(self.files[path]) for path in sorted(self.files)}
        fields: dict[str, Any] = {"files": files}
        if self.of is not None:
            fields["of"] = self.of._asdict()
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=True).encode()

    @property
    def id(self) -> str:
        """SHA-256 of the canonical bytes, in hex: this is what a pointer holds."""
        return hashlib.sha256(self.encode()).hexdigest()

    @classmethod
    def decode(cls, data: bytes) -> Tree:
        """From canonical bytes. Raises: ValueError, KeyError, TypeError on anything else."""
        fields = json.loads(data)
        files = {
            path: TreeEntry(str(sha1), int(size)) for path, (sha1, size) in fields["files"].items()
        }
        return cls(files, _decode_of(fields["of"]) if "of" in fields else None)


def _decode_of(fields: Any) -> TreeOf:
    of = TreeOf(**fields)
    if not (isinstance(of.site_id, str) and isinstance(of.deploy_id, str)):
        raise TypeError("a tree's site and deploy are texts")
    if not (of.commit_ref is None or isinstance(of.commit_ref, str)):
        raise TypeError("a tree's commit is a text or nothing")
    return of
