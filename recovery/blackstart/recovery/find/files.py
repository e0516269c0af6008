"""Whether the files of deploys are there: the object store is asked, metadata is not trusted."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from blackstart.errors import DigestMismatchError, ObjectNotFoundError, StorageError
from blackstart.model import Tree
from blackstart.store import ObjectStore

TREES_KEPT = 50_000
BLOBS_KEPT = 200_000
TREES_AT_ONCE = 8
BLOBS_AT_ONCE = 4

T = TypeVar("T")


@dataclass(frozen=True)
class TreeState:
    """What was found of a tree: paths whose blob is missing or damaged, or why it is unreadable.

    `unjudged` says why nobody can tell, when the object store failed. `listing`
    is a digest of paths and blobs, to be compared with `listing_of` other files.
    """

    missing: list[str] = field(default_factory=list)
    unreadable: str = ""
    unjudged: str = ""
    file_count: int = 0
    byte_count: int = 0
    listing: str = ""

    @property
    def whole(self) -> bool:
        return not (self.missing or self.unreadable or self.unjudged)


class FileCheck:
    """Looks trees and blobs up, and remembers a bounded number of answers.

    With `deep` every blob is read and hashed; else it counts as there when
    the object store says it exists.
    """

    def __init__(self, objects: ObjectStore, *, deep: bool = False) -> None:
        self._objects = objects
        self._deep = deep
        self._trees: _Recent[TreeState] = _Recent(TREES_KEPT)
        self._blobs: _Recent[bool] = _Recent(BLOBS_KEPT)

    async def trees(self, tree_ids: Iterable[str]) -> dict[str, TreeState]:
        """The state of each of some trees, a few looked at side by side."""
        wanted = sorted(set(tree_ids))
        found = {key: state for key in wanted if (state := self._trees.get(key)) is not None}
        waiting = iter([key for key in wanted if key not in found])

        async def look() -> None:
            for key in waiting:
                state = found[key] = await self._look(key)
                if not state.unjudged:
                    self._trees.keep(key, state)

        await asyncio.gather(*(look() for _ in range(TREES_AT_ONCE)))
        return found

    async def tree(self, tree_id: str) -> TreeState:
        """The state of one tree."""
        return (await self.trees([tree_id]))[tree_id]

    async def _look(self, tree_id: str) -> TreeState:
        try:
            tree = await self._objects.get_tree(tree_id)
        except ObjectNotFoundError:
            return TreeState(unreadable=f"tree {tree_id} is missing")
        except (DigestMismatchError, ValueError, KeyError, TypeError):
            return TreeState(unreadable=f"tree {tree_id} is damaged")
        except StorageError as error:
            return TreeState(unjudged=error.message)
        try:
            gone = await self._gone(tree)
        except StorageError as error:
            return TreeState(unjudged=error.message)
        return TreeState(
            missing=sorted(path for path, entry in tree.files.items() if entry.sha1 in gone),
            file_count=len(tree.files),
            byte_count=sum(entry.size for entry in tree.files.values()),
            listing=listing_of((path, entry.sha1) for path, entry in tree.files.items()),
        )

    async def _gone(self, tree: Tree) -> set[str]:
        """Those of a tree's digests whose blob is missing, or has other bytes."""
        digests = {entry.sha1 for entry in tree.files.values()}
        known = {sha1: there for sha1 in digests if (there := self._blobs.get(sha1)) is not None}
        unknown = sorted(digests - known.keys())
        if unknown:
            stored = await self._stored(unknown)
            for sha1 in unknown:
                known[sha1] = sha1 in stored
                self._blobs.keep(sha1, known[sha1])
        return {sha1 for sha1, present in known.items() if not present}

    async def _stored(self, digests: list[str]) -> set[str]:
        stored = set(await self._objects.stat_blobs(digests))
        if not self._deep:
            return stored
        waiting = iter(sorted(stored))
        right: set[str] = set()

        async def look() -> None:
            for sha1 in waiting:
                if await self._is_right(sha1):
                    right.add(sha1)

        await asyncio.gather(*(look() for _ in range(BLOBS_AT_ONCE)))
        return right

    async def _is_right(self, sha1: str) -> bool:
        digest = hashlib.sha1(usedforsecurity=False)
        try:
            async for chunk in await self._objects.stream_blob(sha1):
                digest.update(chunk)
        except ObjectNotFoundError:
            return False
        return digest.hexdigest() == sha1


def listing_of(files: Iterable[tuple[str, str]]) -> str:
    """A digest of which paths have which blobs, in whatever order they are told."""
    digest = hashlib.sha256()
    for path, sha1 in sorted(files):
        digest.update(f"{sha1} {path}\n".encode())
    return digest.hexdigest()


class _Recent(Generic[T]):
    """The answers asked for last, so many of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str) -> T | None:
        value = self._kept.get(key)
        if value is not None:
            self._kept.move_to_end(key)
        return value

    def keep(self, key: str, value: T) -> None:
        self._kept[key] = value
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)
