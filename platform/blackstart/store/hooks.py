"""Every question the platform asks of the `build_hooks` collection."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection

from blackstart.errors import NotFoundError
from blackstart.model import BuildHook


class BuildHooks:
    """Build hooks by id and by site."""

    def __init__(self, collection: AsyncCollection[dict[str, Any]]) -> None:
        self._hooks = collection

    async def create_indexes(self) -> None:
        await self._hooks.create_index([("site_id", ASCENDING), ("_id", ASCENDING)])

    async def insert(self, hook: BuildHook) -> None:
        await self._hooks.insert_one(hook.to_mongo())

    async def get(self, hook_id: str) -> BuildHook:
        """Raises: NotFoundError."""
        raw = await self._hooks.find_one({"_id": hook_id})
        if raw is None:
            raise NotFoundError(f"no build hook {hook_id!r}")
        return BuildHook.from_mongo(raw)

    async def of_site(self, site_id: str) -> list[BuildHook]:
        """A site's hooks, oldest first."""
        cursor = self._hooks.find({"site_id": site_id}).sort("_id", ASCENDING)
        found = [BuildHook.from_mongo(raw) async for raw in cursor]
        return sorted(found, key=lambda hook: hook.created_at)

    async def change(self, hook_id: str, fields: dict[str, Any]) -> None:
        await self._hooks.update_one({"_id": hook_id}, {"$set": fields})

    async def delete(self, hook_id: str) -> None:
        await self._hooks.delete_one({"_id": hook_id})

    async def delete_of_site(self, site_id: str) -> None:
        await self._hooks.delete_many({"site_id": site_id})
