"""Deploys that are not ready: what was announced for them, less what has arrived."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from blackstart.errors import InvalidDocumentError, StorageError
from blackstart.model import DeployState, InvalidDeploy, Manifest
from blackstart.recovery.exact import collection
from blackstart.recovery.sources.source import Broken, Offer, Refusal, Route
from blackstart.store import MetadataStore, ObjectStore

UNREADY = frozenset(DeployState) - {DeployState.READY}
_NOTHING: dict[str, Any] = {
    "tree": None,
    "completed_at": None,
    "file_count": 0,
    "byte_count": 0,
    "pending_uploads": [],
}


class AnnouncedSource:
    """For deploys that are under way or were given up: the manifest says what they wait for.

    One that is processing may have had a pointer already; whoever works on it
    then writes its tree once more, which is the same one.
    """

    route = Route.ANNOUNCED
    name = "manifests"

    def __init__(self, store: MetadataStore, objects: ObjectStore) -> None:
        self.problems: list[str] = []
        self._manifests = collection(store, "manifests")
        self._objects = objects

    async def offers(self, broken: Broken) -> AsyncIterator[Offer | Refusal]:
        for deploy_id, deploy in broken.items():
            if deploy.state in UNREADY:
                try:
                    yield await self._look(deploy)
                except StorageError as error:
                    self.problems.append(error.message)
                    yield Refusal(deploy_id, f"{self.name}: {error.message}")

    async def _look(self, deploy: InvalidDeploy) -> Offer | Refusal:
        raw = await self._manifests.find_one({"_id": deploy.raw["_id"]})
        if raw is None and deploy.state == DeployState.NEW:
            return Offer(deploy.id, {}, "nothing was announced for it yet", guesses=_NOTHING)
        if raw is None:
            return Refusal(deploy.id, f"{self.name}: nothing was announced for it")
        try:
            manifest = Manifest.from_mongo(raw)
        except InvalidDocumentError:
            return Refusal(deploy.id, f"{self.name}: its own is not valid")
        return await self._offer(deploy, manifest)

    async def _offer(self, deploy: InvalidDeploy, manifest: Manifest) -> Offer:
        digests = sorted({file.sha1 for file in manifest.files})
        sizes = await self._objects.stat_blobs(digests)
        pending = [sha1 for sha1 in digests if sha1 not in sizes]
        guesses = {
            "tree": None,
            "completed_at": None,
            "file_count": len(manifest.files),
            "byte_count": sum(
                sizes.get(file.sha1, 0) if file.size is None else file.size
                for file in manifest.files
            ),
            "pending_uploads": pending,
        }
        evidence = f"{len(manifest.files)} files were announced, {len(pending)} have not arrived"
        return Offer(deploy.id, {}, evidence, guesses=guesses)
