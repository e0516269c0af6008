"""Checks what a source offers before it is offered on: the tree, every file, the whole document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blackstart.model import DeployState, InvalidDeploy, Metadata, parse_deploy
from blackstart.recovery.exact import collection
from blackstart.recovery.find import FileCheck, TreeState, listing_of
from blackstart.recovery.sources.source import Offer, Refusal
from blackstart.store import MetadataStore

FIELDS = tuple(Metadata.model_fields)
NAMED = 3


@dataclass(frozen=True)
class Accepted:
    """An offer that holds: the metadata as it would be set, and which fields were inferred."""

    offer: Offer
    metadata: dict[str, Any]
    inferred: list[str]


class Assessor:
    """Asks the object store about trees and blobs, and the database about the rest."""

    def __init__(self, store: MetadataStore, files: FileCheck) -> None:
        self._manifests = collection(store, "manifests")
        self._builds = collection(store, "builds")
        self._files = files

    async def assess(
        self, offered: Sequence[tuple[InvalidDeploy, Offer]]
    ) -> list[Accepted | Refusal]:
        """What becomes of each offer."""
        trees = await self._files.trees(each for _, offer in offered if (each := _tree_of(offer)))
        listings = await self._announced([deploy for deploy, offer in offered if _tree_of(offer)])
        ended = await self._ended([deploy for deploy, offer in offered if _lacks_time(offer)])
        result: list[Accepted | Refusal] = []
        for deploy, offer in offered:
            pointer = _tree_of(offer)
            tree = trees.get(pointer or "")
            why = _why_not(pointer, tree, listings.get(deploy.id))
            if why:
                result.append(Refusal(deploy.id, why))
            else:
                result.append(_completed(deploy, offer, tree, ended.get(deploy.id)))
        return result

    async def _announced(self, deploys: Sequence[InvalidDeploy]) -> dict[str, str]:
        """Deploy -> digest of the files that its client announced, where that is known."""
        ids = [deploy.raw["_id"] for deploy in deploys]
        found = {}
        async for raw in self._manifests.find({"_id": {"$in": ids}}):
            try:
                files = [(file["path"], file["sha1"]) for file in raw["files"]]
                found[str(raw["_id"])] = listing_of(files)
            except (KeyError, TypeError, AttributeError):
                continue  # A damaged manifest tells nothing about a tree.
        return found

    async def _ended(self, deploys: Sequence[InvalidDeploy]) -> dict[str, datetime]:
        """Deploy -> when the build that made it ended."""
        builds = {deploy.raw.get("build_id"): deploy.id for deploy in deploys}
        builds.pop(None, None)
        if not builds:
            return {}
        query = {"_id": {"$in": list(builds)}}
        return {
            builds[raw["_id"]]: raw["ended_at"]
            async for raw in self._builds.find(query, {"ended_at": 1})
            if isinstance(raw.get("ended_at"), datetime)
        }


def _tree_of(offer: Offer) -> str | None:
    tree = offer.metadata.get("tree", offer.guesses.get("tree"))
    return tree if isinstance(tree, str) else None


def _lacks_time(offer: Offer) -> bool:
    return "completed_at" not in offer.metadata and "completed_at" not in offer.guesses


def _why_not(tree_id: str | None, tree: TreeState | None, announced: str | None) -> str:
    """Why a tree cannot be pointed at; blank when it can, or when there is none."""
    if tree_id is None or tree is None:
        return ""
    if tree.unjudged:
        return f"tree {tree_id} could not be looked at: {tree.unjudged}"
    if tree.unreadable:
        return tree.unreadable
    if tree.missing:
        names = ", ".join(tree.missing[:NAMED]) + (", ..." if len(tree.missing) > NAMED else "")
        return f"tree {tree_id} lists {len(tree.missing)} files that are not there: {names}"
    if announced is not None and announced != tree.listing:
        return f"tree {tree_id} has other files than were announced for the deploy"
    return ""


def _completed(
    deploy: InvalidDeploy, offer: Offer, tree: TreeState | None, ended: datetime | None
) -> Accepted | Refusal:
    """The whole metadata: what the source lacks comes from tree, build and object store."""
    if set(offer.metadata) >= set(FIELDS):
        metadata, inferred = dict(offer.metadata), []
    else:
        inferences = {**_inferences(deploy, tree, ended), **offer.guesses}
        metadata = {name: offer.metadata.get(name, inferences.get(name)) for name in FIELDS}
        inferred = [name for name in FIELDS if name not in offer.metadata]
    whole = parse_deploy({**deploy.raw, "metadata": metadata})
    if isinstance(whole, InvalidDeploy):
        return Refusal(deploy.id, f"the deploy would still be invalid: {whole.reason}")
    return Accepted(offer, metadata, inferred)


def _inferences(
    deploy: InvalidDeploy, tree: TreeState | None, ended: datetime | None
) -> Mapping[str, Any]:
    """What can be told without any source, once the tree is known to be whole.

    All files of a whole tree are there, so nothing is pending. A ready deploy
    was completed when its build ended, or at some time after it was made.
    """
    completed_at = None
    if deploy.state == DeployState.READY:
        completed_at = ended or deploy.raw.get("created_at")
    return {
        "completed_at": completed_at,
        "file_count": tree.file_count if tree else 0,
        "byte_count": tree.byte_count if tree else 0,
        "pending_uploads": [],
    }
