"""Every question the platform asks of the `sites` collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from blackstart.errors import ConflictError, NotFoundError
from blackstart.model import Deploy, InvalidDeploy, Site, parse_deploy


class Sites:
    """Sites by id and name, and the compare-and-set that publishes."""

    def __init__(self, collection: AsyncCollection[dict[str, Any]]) -> None:
        self._sites = collection

    async def create_indexes(self) -> None:
        await self._sites.create_index([("name", ASCENDING)], unique=True)

    async def insert(self, site: Site) -> None:
        """Raises: ConflictError when the name is taken."""
        try:
            await self._sites.insert_one(site.to_mongo())
        except DuplicateKeyError as error:
            raise _taken(site.name) from error

    async def insert_many(self, sites: Sequence[Site]) -> None:
        await self._sites.insert_many([site.to_mongo() for site in sites])

    async def find(self, site_id: str) -> Site | None:
        raw = await self._sites.find_one({"_id": site_id})
        return None if raw is None else Site.from_mongo(raw)

    async def get(self, site_id: str) -> Site:
        """Raises: NotFoundError."""
        site = await self.find(site_id)
        if site is None:
            raise NotFoundError(f"no site {site_id!r}")
        return site

    async def by_name(self, name: str) -> Site | None:
        raw = await self._sites.find_one({"name": name})
        return None if raw is None else Site.from_mongo(raw)

    async def with_published_deploy(
        self, name: str
    ) -> tuple[Site, Deploy | InvalidDeploy | None] | None:
        """A site by name and the deploy it shows, in one round trip: the origin's question."""
        cursor = await self._sites.aggregate(
            [
                {"$match": {"name": name}},
                {
                    "$lookup": {
                        "from": "deploys",
                        "localField": "published_deploy_id",
                        "foreignField": "_id",
                        "as": "published",
                    }
                },
            ]
        )
        async for raw in cursor:
            published = raw.pop("published")
            return Site.from_mongo(raw), parse_deploy(published[0]) if published else None
        return None

    async def page(self, skip: int, limit: int) -> list[Site]:
        """Sites in name order."""
        cursor = self._sites.find().sort("name", ASCENDING).skip(skip).limit(limit)
        return [Site.from_mongo(raw) async for raw in cursor]

    async def all(self) -> list[Site]:
        """Every site in name order."""
        return [Site.from_mongo(raw) async for raw in self._sites.find().sort("name", ASCENDING)]

    async def named(self, name: str) -> list[Site]:
        """The site of that name, or none."""
        site = await self.by_name(name)
        return [] if site is None else [site]

    async def publish(self, seen: Site, deploy_id: str, number: int) -> bool:
        """Make a deploy the site's current one, if the site is as `seen` and not locked."""
        result = await self._sites.update_one(
            {
                "_id": seen.id,
                "published_deploy_id": seen.published_deploy_id,
                # A site from before the mark was kept has none, which reads as 0.
                "newest_published": seen.newest_published or {"$in": [0, None]},
                "locked": False,
            },
            {
                "$set": {
                    "published_deploy_id": deploy_id,
                    "newest_published": max(number, seen.newest_published),
                }
            },
        )
        return result.matched_count == 1

    async def show_again(self, site_id: str, deploy_id: str, *, instead_of: str) -> bool:
        """Take a revert back: show what the site showed before, if it still shows `instead_of`."""
        result = await self._sites.update_one(
            {"_id": site_id, "published_deploy_id": instead_of, "locked": False},
            {"$set": {"published_deploy_id": deploy_id}},
        )
        return result.matched_count == 1

    async def lock(self, site_id: str, deploy_id: str) -> bool:
        """Keep a site at the deploy it shows; False when it shows another one."""
        result = await self._sites.update_one(
            {"_id": site_id, "published_deploy_id": deploy_id}, {"$set": {"locked": True}}
        )
        return result.matched_count == 1

    async def unlock(self, site_id: str) -> None:
        await self._sites.update_one({"_id": site_id}, {"$set": {"locked": False}})

    async def change(self, site_id: str, fields: dict[str, Any]) -> None:
        """Set some of a site's fields. Raises: ConflictError when its new name is taken."""
        try:
            await self._sites.update_one({"_id": site_id}, {"$set": fields})
        except DuplicateKeyError as error:
            raise _taken(fields.get("name")) from error

    async def delete(self, site_id: str) -> None:
        await self._sites.delete_one({"_id": site_id})


def _taken(name: object) -> ConflictError:
    return ConflictError(f"a site called {name!r} exists already", hint="choose another name")
