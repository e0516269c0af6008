"""What is done to deploys: read many, and compare-and-set many in one unordered write."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from blackstart.recovery.apply.change import Swap
from blackstart.recovery.exact import collection
from blackstart.store import MetadataStore

IDS_AT_ONCE = 100
"""Of a longer list the embedded MongoDB finds a thousand a second instead of five thousand."""

METADATA = "metadata"
STATE = "state"


class Deeds:
    """The deploys of one database. Raises (all methods): PyMongoError."""

    def __init__(self, store: MetadataStore) -> None:
        self._deploys = collection(store, "deploys")

    async def read(self, deploy_ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """State and metadata of those that exist, by id; a field that is missing stays out."""
        wanted = list(deploy_ids)
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(wanted), IDS_AT_ONCE):
            query = {"_id": {"$in": wanted[start : start + IDS_AT_ONCE]}}
            async for raw in self._deploys.find(query, {STATE: 1, METADATA: 1}):
                found[raw.pop("_id")] = raw
        return found

    async def swap(self, swaps: Sequence[Swap]) -> tuple[int, dict[str, str]]:
        """Compare-and-set; returns how many matched, and those that the database refused."""
        updates = [update_of(each) for each in swaps]
        try:
            result = await self._deploys.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            refused = {
                swaps[each["index"]].deploy_id: str(each.get("errmsg", "")).splitlines()[0]
                for each in error.details.get("writeErrors", [])
            }
            if not refused:
                raise  # A write concern that was not met: nobody knows what lasts.
            return int(error.details["nMatched"]), refused
        return result.matched_count, {}


def update_of(swap: Swap) -> UpdateOne:
    """One compare-and-set, as it is sent."""
    return UpdateOne(_filter(swap), _update(swap))


def _filter(swap: Swap) -> dict[str, Any]:
    """Matches the deploy while it has the fields of `expect`, and no metadata if that has none."""
    fields = {name: _equals(swap.expect[name]) for name in (STATE, METADATA) if name in swap.expect}
    if METADATA not in swap.expect:
        fields[METADATA] = {"$exists": False}
    return {"_id": swap.deploy_id, **fields}


def _equals(value: Any) -> dict[str, Any]:
    """Equal to a value alone: MongoDB takes a missing field for null, and looks into arrays."""
    if value is None:
        return {"$type": "null"}
    if isinstance(value, dict | list):
        return {"$eq": value}
    return {"$eq": value, "$not": {"$type": "array"}}


def _update(swap: Swap) -> dict[str, Any]:
    if METADATA in swap.put:
        return {"$set": {METADATA: swap.put[METADATA]}}
    return {"$unset": {METADATA: ""}}
