"""Every question the platform asks of the `deploys` and `manifests` collections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DocumentTooLarge, DuplicateKeyError

from blackstart.errors import ConflictError, NotFoundError, TooLargeError
from blackstart.model import (
    Build,
    Context,
    Deploy,
    DeployState,
    InvalidDeploy,
    Manifest,
    Metadata,
    parse_deploy,
)

UNFINISHED = (DeployState.NEW, DeployState.UPLOADING, DeployState.PROCESSING)
_NOT_COMPLETED = {"state": {"$in": list(UNFINISHED)}, "metadata.completed_at": None}


class Deploys:
    """Deploys as they are, valid or not, and the writes that move them along."""

    def __init__(
        self,
        deploys: AsyncCollection[dict[str, Any]],
        manifests: AsyncCollection[dict[str, Any]],
    ) -> None:
        self._deploys = deploys
        self._manifests = manifests

    async def create_indexes(self) -> None:
        await self._deploys.create_index(
            [("site_id", ASCENDING), ("number", DESCENDING)], unique=True
        )
        await self._deploys.create_index(
            [("site_id", ASCENDING), ("branch", ASCENDING), ("number", DESCENDING)]
        )

    async def insert(self, deploy: Deploy) -> None:
        """Raises: ConflictError when the site has a deploy of that number already."""
        try:
            await self._deploys.insert_one(deploy.to_mongo())
        except DuplicateKeyError as error:
            raise ConflictError(
                f"site {deploy.site_id} has a deploy number {deploy.number} already"
            ) from error

    async def insert_manifest(self, manifest: Manifest) -> bool:
        """Keep what a client announced; False when the deploy has a manifest already.

        Raises: TooLargeError when it does not fit into one document.
        """
        try:
            await self._manifests.insert_one(manifest.to_mongo())
        except DuplicateKeyError:
            return False
        except DocumentTooLarge as error:
            raise TooLargeError(
                f"{len(manifest.files)} files are too many for one deploy",
                hint="their paths and digests must fit into 16 MB",
            ) from error
        return True

    async def delete_manifest(self, deploy_id: str) -> None:
        await self._manifests.delete_one({"_id": deploy_id})

    async def insert_many(self, deploys: Sequence[Deploy], manifests: Sequence[Manifest]) -> None:
        await self._manifests.insert_many([manifest.to_mongo() for manifest in manifests])
        await self._deploys.insert_many([deploy.to_mongo() for deploy in deploys])

    async def raw(self, deploy_id: str) -> dict[str, Any] | None:
        """The document as stored, unread."""
        return await self._deploys.find_one({"_id": deploy_id})

    async def find(self, deploy_id: str) -> Deploy | InvalidDeploy | None:
        raw = await self.raw(deploy_id)
        return None if raw is None else parse_deploy(raw)

    async def get(self, deploy_id: str) -> Deploy | InvalidDeploy:
        """Raises: NotFoundError."""
        found = await self.find(deploy_id)
        if found is None:
            raise NotFoundError(f"no deploy {deploy_id!r}")
        return found

    async def state(self, deploy_id: str) -> str:
        """A deploy's state alone, without its list of pending uploads. Raises: NotFoundError."""
        raw = await self._deploys.find_one({"_id": deploy_id}, {"state": 1})
        if raw is None:
            raise NotFoundError(f"no deploy {deploy_id!r}")
        return str(raw.get("state"))

    async def manifest(self, deploy_id: str) -> Manifest:
        """Raises: NotFoundError."""
        raw = await self._manifests.find_one({"_id": deploy_id})
        if raw is None:
            raise NotFoundError(f"no manifest for deploy {deploy_id!r}")
        return Manifest.from_mongo(raw)

    async def of_site(
        self,
        site_id: str,
        *,
        skip: int = 0,
        limit: int = 0,
        where: Mapping[str, Any] | None = None,
    ) -> list[Deploy | InvalidDeploy]:
        """A site's deploys, newest first; `limit` 0 means all, `where` names fields' values."""
        query = {"site_id": site_id, **(where or {})}
        cursor = self._newest_first(query).skip(skip).limit(limit)
        return [parse_deploy(raw) async for raw in cursor]

    async def many(self, deploy_ids: Iterable[str]) -> dict[str, Deploy | InvalidDeploy]:
        """Those of the deploys that exist, by id."""
        cursor = self._deploys.find({"_id": {"$in": sorted(deploy_ids)}})
        return {str(raw["_id"]): parse_deploy(raw) async for raw in cursor}

    async def latest_number(self, site_id: str) -> int:
        """The highest deploy number of a site, 0 when it has none."""
        async for raw in self._newest_first({"site_id": site_id}).limit(1):
            return int(raw["number"])
        return 0

    async def previous_pointer(self, site_id: str, number: int) -> str | None:
        """The pointer of the site's nearest earlier deploy that has one."""
        query = {
            "site_id": site_id,
            "number": {"$lt": number},
            "metadata.tree": {"$type": "string"},
        }
        async for raw in self._newest_first(query).limit(1):
            return str(raw["metadata"]["tree"])
        return None

    async def completed_newest_first(
        self, site_id: str, *, but: str
    ) -> AsyncIterator[Deploy | InvalidDeploy]:
        """Ready production deploys of a site except `but`, newest first, read as asked for."""
        query = {
            "site_id": site_id,
            "state": DeployState.READY,
            "context": Context.PRODUCTION,
            "_id": {"$ne": but},
        }
        skip, limit = 0, 1
        while found := await self._newest_first(query).skip(skip).limit(limit).to_list():
            for raw in found:
                yield parse_deploy(raw)
            skip, limit = skip + len(found), 2 * limit

    async def listing_digests(
        self, site_id: str, *, but: str
    ) -> AsyncIterator[tuple[dict[str, Any], Manifest]]:
        """Each other deploy of a site, unread, with the files it announced; newest first."""
        raws = [raw async for raw in self._newest_first({"site_id": site_id, "_id": {"$ne": but}})]
        ids = [raw["_id"] for raw in raws]
        manifests = {
            str(raw["_id"]): Manifest.from_mongo(raw)
            async for raw in self._manifests.find({"_id": {"$in": ids}})
        }
        for raw in raws:
            manifest = manifests.get(str(raw["_id"]))
            if manifest is not None:
                yield raw, manifest

    async def scan(self) -> AsyncIterator[Deploy | InvalidDeploy]:
        """Every deploy in `_id` order, in bounded memory."""
        async for raw in self.scan_raw():
            yield parse_deploy(raw)

    async def scan_raw(self) -> AsyncIterator[dict[str, Any]]:
        """Every deploy document in `_id` order, as stored."""
        async for raw in self._deploys.find().sort("_id", ASCENDING):
            yield raw

    async def resumable(self, *, since: datetime) -> list[str]:
        """Ids of the deploys of API clients that may have all their files and nobody at work.

        All that are processing, and those uploading that were made at `since` or later.
        """
        recent = {"state": DeployState.UPLOADING, "created_at": {"$gte": since}}
        query = {"build_id": None, "$or": [{"state": DeployState.PROCESSING}, recent]}
        cursor = self._deploys.find(query, {"_id": 1}).sort("_id", ASCENDING)
        return [str(raw["_id"]) async for raw in cursor]

    async def move(
        self,
        deploy_id: str,
        *,
        from_states: Sequence[DeployState],
        to: DeployState,
        metadata: Metadata | None = None,
    ) -> bool:
        """Compare-and-set the state, and the metadata with it; False when it was in none of
        `from_states`."""
        change: dict[str, Any] = {"state": to}
        if metadata is not None:
            change["metadata"] = metadata.model_dump()
        result = await self._deploys.update_one(
            {"_id": deploy_id, "state": {"$in": list(from_states)}}, {"$set": change}
        )
        return result.matched_count == 1

    async def give_up(self, deploy_id: str, state: DeployState, why: str) -> bool:
        """End a deploy that is not completed as cancelled or an error; False when it is past that.

        What is completed is about to be published, or is: it is never taken back.
        """
        result = await self._deploys.update_one(
            {"_id": deploy_id, **_NOT_COMPLETED}, {"$set": {"state": state, "error": why}}
        )
        return result.matched_count == 1

    async def give_up_of_build(
        self,
        build: Build,
        state: DeployState,
        why: str,
        *,
        but: str | None = None,
    ) -> None:
        """As `give_up`, for every deploy that the build began; one may be spared."""
        await self._deploys.update_many(
            {
                "site_id": build.site_id,
                "build_id": build.id,
                "_id": {"$ne": but},
                **_NOT_COMPLETED,
            },
            {"$set": {"state": state, "error": why}},
        )

    async def set_pointer(self, deploy_id: str, tree_id: str, byte_count: int) -> bool:
        """All files are there: record which tree they are; False unless it is processing."""
        result = await self._deploys.update_one(
            {"_id": deploy_id, "state": DeployState.PROCESSING},
            {
                "$set": {
                    "metadata.tree": tree_id,
                    "metadata.byte_count": byte_count,
                    "metadata.pending_uploads": [],
                }
            },
        )
        return result.matched_count == 1

    async def newest_of_branch(self, site_id: str, branch: str) -> Deploy | InvalidDeploy | None:
        """The newest ready branch deploy of one branch of a site."""
        where = {"branch": branch, "state": DeployState.READY, "context": Context.BRANCH}
        found = await self.of_site(site_id, limit=1, where=where)
        return found[0] if found else None

    async def branches(self, site_id: str) -> dict[str, Deploy | InvalidDeploy]:
        """The newest ready branch deploy of each branch of a site."""
        query = {"site_id": site_id, "state": DeployState.READY, "context": Context.BRANCH}
        found: dict[str, Deploy | InvalidDeploy] = {}
        async for raw in self._newest_first(query):
            found.setdefault(str(raw.get("branch")), parse_deploy(raw))
        return found

    async def delete_of_site(self, site_id: str) -> None:
        """Forget a site's deploys and what was announced for them."""
        ids = [raw["_id"] async for raw in self._deploys.find({"site_id": site_id}, {"_id": 1})]
        await self._deploys.delete_many({"site_id": site_id})
        await self._manifests.delete_many({"_id": {"$in": ids}})

    async def replace_metadata(self, deploy_id: str, *, seen: Any, metadata: Any) -> bool:
        """Put metadata back, if it still is exactly what was `seen`; None means null or gone."""
        result = await self._deploys.update_one(
            {"_id": deploy_id, "metadata": seen}, {"$set": {"metadata": metadata}}
        )
        return result.matched_count == 1

    def _newest_first(self, query: dict[str, Any]) -> Any:
        return self._deploys.find(query).sort([("site_id", ASCENDING), ("number", DESCENDING)])
