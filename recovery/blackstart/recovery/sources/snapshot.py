"""Snapshots as sources: each is one, so that what is damaged in the newest comes from an older."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Protocol

import bson
from bson.raw_bson import RawBSONDocument

from blackstart.errors import BlackstartError
from blackstart.model import Deploy, DeployState, InvalidDeploy, parse_deploy
from blackstart.recovery.exact import TOLERANT
from blackstart.recovery.sources.source import Broken, Offer, Refusal, Route

DEPLOYS = "deploys"
# Once a deploy is in one of these states, its metadata stays as it is until it leaves it.
_STEADY = frozenset(DeployState) - {DeployState.PROCESSING}
_OF_THE_TREE = ("tree", "file_count", "byte_count", "pending_uploads")


class Reader(Protocol):
    """As much of an opened snapshot as is needed here."""

    def count(self, collection: str) -> int: ...

    async def get(self, collection: str, _id: Any) -> RawBSONDocument | None: ...


class Opening(Protocol):
    """Opens the snapshot. Raises: BlackstartError."""

    async def __call__(self) -> Reader: ...


class SnapshotSource:
    """One snapshot, taken at `taken_at`; it is opened when it is asked."""

    route = Route.SNAPSHOT

    def __init__(self, snapshot_id: str, taken_at: datetime, opening: Opening) -> None:
        self.name = f"snapshot {snapshot_id}"
        self.problems: list[str] = []
        self._taken_at = taken_at
        self._opening = opening

    async def offers(self, broken: Broken) -> AsyncIterator[Offer | Refusal]:
        """One answer for each deploy, in `_id` order: each chunk is read once."""
        reader = await self._open()
        if reader is None:
            return
        for deploy_id in sorted(broken):
            yield await self._look(reader, broken[deploy_id])

    async def _open(self) -> Reader | None:
        try:
            reader = await self._opening()
            if reader.count(DEPLOYS) == 0:
                self._problem("it holds no deploys")
                return None
        except BlackstartError as error:
            self._problem(error.message)
            return None
        return reader

    async def _look(self, reader: Reader, broken: InvalidDeploy) -> Offer | Refusal:
        if self._is_older_than(broken.raw):
            return Refusal(broken.id, f"{self.name}: taken before the deploy was made")
        try:
            found = await reader.get(DEPLOYS, broken.raw["_id"])
        except BlackstartError as error:
            self._problem(error.message)
            return Refusal(broken.id, f"{self.name}: {error.message}")
        if found is None:
            return Refusal(broken.id, f"{self.name}: it does not hold the deploy")
        return self._judge(broken, bson.decode(found.raw, TOLERANT))

    def _is_older_than(self, raw: Mapping[str, Any]) -> bool:
        created_at = raw.get("created_at")
        return isinstance(created_at, datetime) and created_at > self._taken_at

    def _judge(self, broken: InvalidDeploy, backup: dict[str, Any]) -> Offer | Refusal:
        if backup.get("site_id") != broken.raw.get("site_id"):
            return Refusal(broken.id, f"{self.name}: its document is of another site")
        known = parse_deploy(backup)
        if isinstance(known, InvalidDeploy):
            return Refusal(broken.id, f"{self.name}: the deploy is damaged in it as well")
        evidence = f"as it was at {self._taken_at:%Y-%m-%d %H:%M:%S} UTC"
        metadata = backup["metadata"]
        if known.state == broken.state and known.state in _STEADY:
            return Offer(broken.id, metadata, evidence)
        return self._from_before(broken, known, metadata, evidence)

    def _from_before(
        self, broken: InvalidDeploy, known: Deploy, metadata: dict[str, Any], evidence: str
    ) -> Offer | Refusal:
        """The deploy went on since, so that only what can no longer change is certain."""
        evidence += f", when it was {known.state}"
        if known.metadata.tree is not None:
            certain = {name: metadata[name] for name in _OF_THE_TREE}
            return Offer(broken.id, certain, evidence)
        return Refusal(broken.id, f"{self.name}: it was still {known.state} then, without a tree")

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)
