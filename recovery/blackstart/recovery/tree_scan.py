"""Finds pointers in the bucket alone: reads every tree and asks it whose it is."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from blackstart.errors import ObjectNotFoundError, StorageError
from blackstart.model import Tree, TreeOf
from blackstart.store import ObjectStore
from blackstart.store.objects import tree_key

TREES_AT_ONCE = 16
"""Trees that are read side by side; as many are held in memory, still encoded."""

NAMED_PROBLEMS = 1_000
"""Trees with a problem that are named one by one; the others are counted."""

_FANS = [f"{fan:02x}" for fan in range(256)]


@dataclass(frozen=True)
class FoundTree:
    """A tree whose bytes have its digest, and the deploy that it says it was made for."""

    tree_id: str
    site_id: str
    deploy_id: str
    commit_ref: str | None
    file_count: int
    byte_count: int


class TreeProblemKind(StrEnum):
    """What keeps a tree from telling; `unreadable` means that nobody knows."""

    DAMAGED = "damaged-tree"
    WITHOUT_OWNER = "tree-without-owner"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class TreeProblem:
    """`text` is one line for people; `tree_id` is None where it is about several."""

    kind: TreeProblemKind
    text: str
    tree_id: str | None = None


class TreeScan:
    """One pass over all trees: `async for tree in scan`, then `problems`.

    Trees come in the order of their ids, so two passes over one bucket are
    alike. A 256th of the names and a few trees are held at a time. Nothing
    that is wrong in the bucket ends the pass.
    """

    def __init__(self, objects: ObjectStore) -> None:
        self.problems: list[TreeProblem] = []
        self.seen = 0
        """Trees looked at, whatever became of them."""
        self.without_owner = 0
        self._objects = objects
        self._more: dict[TreeProblemKind, int] = {}
        self._example = ""

    async def __aiter__(self) -> AsyncIterator[FoundTree]:
        for fan in _FANS:
            async for found in self._below(fan):
                yield found
        self._sum_up()

    async def _below(self, fan: str) -> AsyncIterator[FoundTree]:
        try:
            keys = iter(await self._objects.list_keys(f"trees/{fan}/"))
        except StorageError as error:
            self._tell(TreeProblemKind.UNREADABLE, f"trees/{fan}/ could not be listed: {error}")
            return
        while batch := [_id_of(key) for key in islice(keys, TREES_AT_ONCE)]:
            self.seen += len(batch)
            for tree_id, data in zip(batch, await self._read(batch), strict=True):
                found = None if data is None else self._found(tree_id, data)
                if found is not None:
                    yield found

    async def _read(self, tree_ids: list[str]) -> list[bytes | None]:
        return await asyncio.gather(*(self._read_one(tree_id) for tree_id in tree_ids))

    async def _read_one(self, tree_id: str) -> bytes | None:
        try:
            return await self._objects.get(tree_key(tree_id))
        except ObjectNotFoundError:
            return None  # It went away since it was listed.
        except StorageError as error:
            text = f"tree {tree_id} could not be read: {error.message}"
            self._tell(TreeProblemKind.UNREADABLE, text, tree_id)
            return None

    def _found(self, tree_id: str, data: bytes) -> FoundTree | None:
        if hashlib.sha256(data).hexdigest() != tree_id:
            text = f"tree {tree_id} is damaged: its bytes have another digest"
            self._tell(TreeProblemKind.DAMAGED, text, tree_id)
            return None
        try:
            tree = Tree.decode(data)
        except (ValueError, KeyError, TypeError, RecursionError):
            self._tell(TreeProblemKind.DAMAGED, f"tree {tree_id} is no tree", tree_id)
            return None
        if tree.of is None:
            self.without_owner += 1
            self._example = self._example or tree_id
            return None
        return _found_tree(tree_id, tree, tree.of)

    def _tell(self, kind: TreeProblemKind, text: str, tree_id: str | None = None) -> None:
        if len(self.problems) < NAMED_PROBLEMS:
            self.problems.append(TreeProblem(kind, text, tree_id))
        else:
            self._more[kind] = self._more.get(kind, 0) + 1

    def _sum_up(self) -> None:
        for kind, count in self._more.items():
            self.problems.append(TreeProblem(kind, f"{count:,} more of this kind"))
        if self.without_owner:
            text = (
                f"{self.without_owner:,} trees do not say whose they are, such as {self._example}"
            )
            self.problems.append(TreeProblem(TreeProblemKind.WITHOUT_OWNER, text))


def scan_trees(objects: ObjectStore) -> TreeScan:
    """One pass over all trees in the object store."""
    return TreeScan(objects)


def _found_tree(tree_id: str, tree: Tree, of: TreeOf) -> FoundTree:
    byte_count = sum(entry.size for entry in tree.files.values())
    return FoundTree(tree_id, *of, len(tree.files), byte_count)


def _id_of(key: str) -> str:
    """The id under which a tree lies; whatever else lies there has no such digest."""
    return key.removeprefix("trees/").replace("/", "")
