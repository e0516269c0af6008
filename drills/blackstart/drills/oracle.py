"""The oracle: knows the truth from before the fault, and judges by git's own digests.

What it holds lives in its memory alone: no responder, script or service of
the drill is given it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import bson

from blackstart.drills.world.repositories import Commit
from blackstart.store import MetadataStore

Documents = dict[str, dict[str, Any]]
COLLECTIONS = ("sites", "deploys", "manifests", "builds")


@dataclass
class State:
    """Every document of the platform at one moment, by collection and id."""

    collections: dict[str, Documents]

    @property
    def sites(self) -> Documents:
        return self.collections["sites"]

    @property
    def deploys(self) -> Documents:
        return self.collections["deploys"]

    def changed(self, later: State) -> set[tuple[str, str]]:
        """(collection, id) of what differs, came or went between two states."""
        return {
            (name, key)
            for name, documents in self.collections.items()
            for key in documents.keys() | later.collections[name].keys()
            if documents.get(key) != later.collections[name].get(key)
        }


def empty_state() -> State:
    """The state of a platform without documents."""
    return State({name: {} for name in COLLECTIONS})


@dataclass(frozen=True)
class Served:
    """One page as the last reader found it: through a node, at the very end."""

    site: str
    deploy_id: str
    path: str
    status: int
    blob: str | None


@dataclass
class Oracle:
    """The truth, and what was found of it at the end.

    `commits` holds the git blob id of every published file of every commit.
    `morning`, `before`, `after` and `final` are the database when the story
    began, right before and after the fault, and at the end.
    """

    commits: Mapping[str, Commit]
    morning: State = field(default_factory=empty_state)
    before: State = field(default_factory=empty_state)
    after: State = field(default_factory=empty_state)
    final: State = field(default_factory=empty_state)
    site_pages: list[Served] = field(default_factory=list)
    deploy_pages: list[Served] = field(default_factory=list)

    @property
    def hit(self) -> set[str]:
        """Ids of the deploys whose metadata the fault changed."""
        return {
            key
            for key, document in self.before.deploys.items()
            if self.after.deploys.get(key, {}).get("metadata") != document["metadata"]
        }


async def observe(store: MetadataStore, earlier: State | None = None) -> State:
    """Read every document; no query of the platform is used for it.

    What is as it was in an `earlier` state is shared with it, and of a
    manifest only a digest is kept: several states of a large fleet fit in memory.
    """
    collections: dict[str, Documents] = {}
    for name in COLLECTIONS:
        known = earlier.collections[name] if earlier else {}
        documents: Documents = {}
        async for raw in store.database[name].find():
            document = _digest(raw) if name == "manifests" else raw
            key = str(raw["_id"])
            same = known.get(key)
            documents[key] = same if same is not None and same == document else document
        collections[name] = documents
    return State(collections)


def _digest(raw: dict[str, Any]) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(bson.encode(raw)).digest()}
