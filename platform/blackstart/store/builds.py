"""Every question the platform asks of the `builds` collection: the build queue."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection

from blackstart.errors import NotFoundError
from blackstart.model import Build, BuildState, Lease

_QUEUE_ORDER = [("priority", ASCENDING), ("created_at", ASCENDING), ("_id", ASCENDING)]


class Builds:
    """The queue of builds, claimed by compare-and-set."""

    def __init__(self, collection: AsyncCollection[dict[str, Any]]) -> None:
        self._builds = collection

    async def create_indexes(self) -> None:
        await self._builds.create_index([("state", ASCENDING), *_QUEUE_ORDER])
        await self._builds.create_index([("site_id", ASCENDING), ("created_at", DESCENDING)])

    async def insert(self, build: Build) -> None:
        await self._builds.insert_one(build.to_mongo())

    async def get(self, build_id: str) -> Build:
        """Raises: NotFoundError."""
        raw = await self._builds.find_one({"_id": build_id})
        if raw is None:
            raise NotFoundError(f"no build {build_id!r}")
        return Build.from_mongo(raw)

    async def of_site(self, site_id: str) -> list[Build]:
        """A site's builds, newest first."""
        cursor = self._builds.find({"site_id": site_id}).sort("created_at", DESCENDING)
        return [Build.from_mongo(raw) async for raw in cursor]

    async def in_state(self, state: BuildState) -> list[Build]:
        """All builds in a state, in queue order."""
        cursor = self._builds.find({"state": state}).sort(_QUEUE_ORDER)
        return [Build.from_mongo(raw) async for raw in cursor]

    async def next_claimable(self, now: datetime) -> Build | None:
        """The build to take next: a queued one, or one whose worker let its lease run out."""
        # Two questions, not one `$or`: each is answered from the index.
        raw = await self._builds.find_one({"state": BuildState.QUEUED}, sort=_QUEUE_ORDER)
        if raw is None:
            raw = await self._builds.find_one(
                {"state": BuildState.RUNNING, "lease.until": {"$lt": now}}, sort=_QUEUE_ORDER
            )
        return None if raw is None else Build.from_mongo(raw)

    async def claim(self, build: Build, lease: Lease) -> bool:
        """Take a build as seen; False when somebody else was first."""
        result = await self._builds.update_one(
            _as_seen(build),
            {"$set": {"state": BuildState.RUNNING, "lease": lease.model_dump()}},
        )
        return result.matched_count == 1

    async def set_deploy(self, build: Build, deploy_id: str, commit_ref: str) -> bool:
        """Record which deploy the build makes, of which commit; False when it was taken over."""
        result = await self._builds.update_one(
            _as_seen(build), {"$set": {"deploy_id": deploy_id, "commit_ref": commit_ref}}
        )
        return result.matched_count == 1

    async def end(
        self, build: Build, state: BuildState, *, log: list[str], error: str | None = None
    ) -> bool:
        """Close a build as seen and let its lease go; False when it was taken over."""
        result = await self._builds.update_one(
            _as_seen(build),
            {
                "$set": {"state": state, "error": error, "lease": None},
                "$push": {"log": {"$each": log}},
            },
        )
        return result.matched_count == 1


def _as_seen(build: Build) -> dict[str, Any]:
    """Matches the build only while nobody else moved it on or took it over."""
    lease = None if build.lease is None else build.lease.model_dump()
    return {"_id": build.id, "state": build.state, "lease": lease}
