"""Metadata out of the pointer log: what it would set for the deploys whose pointer is lost."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blackstart.model import DeployState, InvalidDeploy, Metadata, parse_deploy
from blackstart.recovery.find.files import FileCheck, TreeState
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.pointers import LoggedPointer, PointerLogReading, newest_pointers

BATCH = 200
_TREE_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Rebuilt:
    """What the log has for a broken deploy. `inferred` names the fields that it does not know.

    `missing_files` are paths whose bytes are not in the object store: the
    pointer is right all the same.
    """

    deploy: InvalidDeploy
    pointer: LoggedPointer
    metadata: Metadata
    inferred: tuple[str, ...]
    missing_files: tuple[str, ...]


@dataclass(frozen=True)
class NotRebuilt:
    """A broken deploy that the log cannot bring back, and why."""

    deploy: InvalidDeploy
    why: str


async def rebuild_from_log(
    store: MetadataStore, objects: ObjectStore, reading: PointerLogReading
) -> AsyncIterator[Rebuilt | NotRebuilt]:
    """For each deploy whose pointer is lost, what the log would set; in `_id` order.

    A deploy that is on its way has no pointer yet, and has lost none. Nothing
    is written. Raises: PyMongoError.
    """
    broken = [deploy async for deploy in without_pointer(store)]
    pointers = await newest_pointers(reading, {deploy.id for deploy in broken})
    files = FileCheck(objects)
    for start in range(0, len(broken), BATCH):
        part = broken[start : start + BATCH]
        known = [pointers[deploy.id] for deploy in part if deploy.id in pointers]
        trees = await files.trees(pointer.tree for pointer in known)
        for deploy in part:
            yield _rebuilt(deploy, pointers.get(deploy.id), trees)


async def without_pointer(store: MetadataStore) -> AsyncIterator[InvalidDeploy]:
    """Deploys whose metadata is invalid, or whose pointer is nothing that a tree is called."""
    async for raw in store.deploys.scan_raw():
        deploy = parse_deploy(raw)
        if isinstance(deploy, InvalidDeploy):
            yield deploy
        elif deploy.metadata.tree is not None and not _TREE_ID.fullmatch(deploy.metadata.tree):
            yield InvalidDeploy(
                id=deploy.id,
                site_id=deploy.site_id,
                number=deploy.number,
                state=deploy.state,
                reason=f"metadata.tree: {deploy.metadata.tree!r} is no tree's id",
                raw=raw,
            )


async def set_rebuilt(store: MetadataStore, rebuilt: Rebuilt) -> bool:
    """Set it; False, and nothing is changed, when the metadata is not what it was when found."""
    return await store.deploys.replace_metadata(
        rebuilt.deploy.id,
        seen=rebuilt.deploy.raw.get("metadata"),
        metadata=rebuilt.metadata.model_dump(),
    )


def _rebuilt(
    deploy: InvalidDeploy, pointer: LoggedPointer | None, trees: Mapping[str, TreeState]
) -> Rebuilt | NotRebuilt:
    if pointer is None:
        return NotRebuilt(deploy, "the log has no pointer of it")
    if pointer.site_id != deploy.site_id:
        return NotRebuilt(deploy, f"the log has it as one of site {pointer.site_id}")
    tree = trees[pointer.tree]
    if tree.unjudged:
        return NotRebuilt(deploy, f"could not verify its tree: {tree.unjudged}")
    if tree.unreadable:
        return NotRebuilt(deploy, tree.unreadable)
    completed_at, is_inferred = _completed_at(deploy, pointer)
    metadata = Metadata(
        tree=pointer.tree,
        completed_at=completed_at,
        file_count=tree.file_count,
        byte_count=tree.byte_count,
        pending_uploads=[],
    )
    again = parse_deploy({**deploy.raw, "metadata": metadata.model_dump()})
    if isinstance(again, InvalidDeploy):
        return NotRebuilt(deploy, f"it stays invalid: {again.reason}")
    inferred = ("completed_at",) if is_inferred else ()
    return Rebuilt(deploy, pointer, metadata, inferred, tuple(tree.missing))


def _completed_at(deploy: InvalidDeploy, pointer: LoggedPointer) -> tuple[datetime | None, bool]:
    """When the deploy was completed, and whether that is inferred.

    What the damage left is taken. Else a ready deploy was completed right
    after its pointer was set, and any other may not have been.
    """
    metadata: Any = deploy.raw.get("metadata")
    left = metadata.get("completed_at") if isinstance(metadata, Mapping) else None
    if isinstance(left, datetime):
        return left, False
    return (pointer.at if deploy.state == DeployState.READY else None), True
