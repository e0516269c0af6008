"""Every question the platform asks of the `builds` collection: the build queue."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from blackstart.errors import InvalidDocumentError, NotFoundError
from blackstart.model import Build, BuildState, InvalidBuild, Lease, parse_build

log = structlog.get_logger("store")
_QUEUE_ORDER = [("priority", ASCENDING), ("due_at", ASCENDING), ("_id", ASCENDING)]


class Builds:
    """The queue of builds, claimed by compare-and-set.

    An invalid document is logged and passed over by whoever looks for work: it holds up nobody.
    """

    def __init__(self, collection: AsyncCollection[dict[str, Any]]) -> None:
        self._builds = collection

    async def create_indexes(self) -> None:
        await self._builds.create_index([("state", ASCENDING), *_QUEUE_ORDER])
        await self._builds.create_index([("site_id", ASCENDING), ("created_at", DESCENDING)])
        # The database itself sees to it that a site has one running build at most.
        await self._builds.create_index(
            [("site_id", ASCENDING)],
            name="one_running_build_per_site",
            unique=True,
            partialFilterExpression={"state": BuildState.RUNNING},
        )

    async def insert(self, build: Build) -> None:
        await self._builds.insert_one(build.to_mongo())

    async def find(self, build_id: str) -> Build | None:
        raw = await self._builds.find_one({"_id": build_id})
        return None if raw is None else Build.from_mongo(raw)

    async def get(self, build_id: str) -> Build:
        """Raises: NotFoundError."""
        build = await self.find(build_id)
        if build is None:
            raise NotFoundError(f"no build {build_id!r}")
        return build

    async def as_found(self, build_id: str) -> Build | InvalidBuild:
        """A build to be shown, whatever became of its document. Raises: NotFoundError."""
        raw = await self._builds.find_one({"_id": build_id})
        if raw is None:
            raise NotFoundError(f"no build {build_id!r}")
        return parse_build(raw)

    async def of_site(
        self, site_id: str, *, skip: int = 0, limit: int = 0
    ) -> list[Build | InvalidBuild]:
        """A site's builds, newest first; `limit` 0 means all."""
        cursor = self._builds.find({"site_id": site_id})
        cursor = cursor.sort([("created_at", DESCENDING), ("_id", DESCENDING)])
        return [parse_build(raw) async for raw in cursor.skip(skip).limit(limit)]

    async def in_state(self, state: BuildState) -> list[Build]:
        """All builds in a state, in queue order."""
        cursor = self._builds.find({"state": state}).sort(_QUEUE_ORDER)
        return [build async for raw in cursor if (build := _valid(raw))]

    async def waiting(self, site_id: str) -> list[Build]:
        """A site's queued builds, in queue order."""
        query = {"state": BuildState.QUEUED, "site_id": site_id}
        cursor = self._builds.find(query).sort(_QUEUE_ORDER)
        return [build async for raw in cursor if (build := _valid(raw))]

    async def busy_sites(self) -> list[str]:
        """The sites that have a running build."""
        cursor = self._builds.find({"state": BuildState.RUNNING}, {"site_id": 1})
        return sorted([str(raw["site_id"]) async for raw in cursor if "site_id" in raw])

    async def next_queued(self, *, busy: Sequence[str]) -> Build | None:
        """The first build in queue order whose site is not busy."""
        query: dict[str, Any] = {"state": BuildState.QUEUED}
        if busy:
            query["site_id"] = {"$nin": list(busy)}
        passed = 0
        while raw := await self._builds.find_one(query, sort=_QUEUE_ORDER, skip=passed):
            if build := _valid(raw):
                return build
            passed += 1
        return None

    async def expired(self, now: datetime) -> list[Build]:
        """Running builds whose worker let its lease run out."""
        query = {"state": BuildState.RUNNING, "lease.until": {"$lt": now}}
        return [build async for raw in self._builds.find(query) if (build := _valid(raw))]

    async def claim(self, build: Build, lease: Lease, now: datetime) -> Build | None:
        """Take a queued build; None when somebody else was first or its site is busy."""
        change = {
            "state": BuildState.RUNNING,
            "lease": lease.model_dump(),
            "attempt": build.attempt + 1,
            "started_at": build.started_at or now,
        }
        try:
            result = await self._builds.update_one(_as_seen(build), {"$set": change})
        except DuplicateKeyError:
            return None
        if result.matched_count != 1:
            return None
        return build.model_copy(
            update=change | {"lease": lease}  # the model keeps the lease as it is
        )

    async def renew(self, build: Build, until: datetime) -> bool:
        """Hold on to a running build; False when it is ours no more."""
        result = await self._builds.update_one(_as_seen(build), {"$set": {"lease.until": until}})
        return result.matched_count == 1

    async def requeue(self, build: Build) -> bool:
        """Give a running build back, for whoever comes next; False when it moved on."""
        result = await self._builds.update_one(
            _as_seen(build), {"$set": {"state": BuildState.QUEUED, "lease": None}}
        )
        return result.matched_count == 1

    async def add_log(self, build: Build, lines: Sequence[str]) -> bool:
        """Append to the log of a build; False when it is ours no more."""
        result = await self._builds.update_one(
            _as_seen(build), {"$push": {"log": {"$each": list(lines)}}}
        )
        return result.matched_count == 1

    async def set_deploy(self, build: Build, deploy_id: str, commit_ref: str) -> bool:
        """Record which deploy the build makes, of which commit; False when it was taken over."""
        result = await self._builds.update_one(
            _as_seen(build), {"$set": {"deploy_id": deploy_id, "commit_ref": commit_ref}}
        )
        return result.matched_count == 1

    async def end(
        self,
        build: Build,
        state: BuildState,
        *,
        at: datetime,
        log: Sequence[str],
        error: str | None = None,
    ) -> bool:
        """Close a build as seen and let its lease go; False when it was taken over."""
        result = await self._builds.update_one(
            _as_seen(build),
            {
                "$set": {"state": state, "error": error, "lease": None, "ended_at": at},
                "$push": {"log": {"$each": list(log)}},
            },
        )
        return result.matched_count == 1

    async def delete_of_site(self, site_id: str) -> None:
        await self._builds.delete_many({"site_id": site_id})


def _valid(raw: dict[str, Any]) -> Build | None:
    try:
        return Build.from_mongo(raw)
    except InvalidDocumentError as error:
        log.warning("invalid build passed over", build_id=str(raw["_id"]), reason=error.message)
        return None


def _as_seen(build: Build) -> dict[str, Any]:
    """Matches the build only while nobody else moved it on or took it over."""
    return {"_id": build.id, "state": build.state, "attempt": build.attempt}
