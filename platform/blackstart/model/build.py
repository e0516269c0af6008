"""A build: one run of the builder for one commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field, ValidationError, model_validator

from blackstart.model.document import Document, Part, first_problem


class BuildState(StrEnum):
    """Where a build is.

    `stuck` means its deploy is whole but the publish check failed; `cancelled`
    that somebody called it off, or that a newer build took its place.
    """

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    STUCK = "stuck"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to the build by itself."""
        return self not in (BuildState.QUEUED, BuildState.RUNNING)


class Lease(Part):
    """Which worker holds the build, and until when."""

    worker: str
    until: datetime


class Build(Document):
    """One run of the builder; a lower `priority` is built first, then an earlier `due_at`.

    `pinned` says that the commit was named and nothing else will do. Otherwise
    the head of `branch` is built, and `commit_ref` is None until it is known.
    `attempt` counts the workers that took the build; it fences off those that
    lost it.
    """

    site_id: str
    deploy_id: str | None
    commit_ref: str | None
    pinned: bool = False
    branch: str
    title: str | None = None
    state: BuildState
    priority: int
    due_at: datetime
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempt: int = 0
    lease: Lease | None = None
    log: list[str] = Field(default_factory=list)
    error: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _due_when_created(cls, raw: Any) -> Any:
        """A build from before the queue was fair is due since it was asked for."""
        if isinstance(raw, dict) and "due_at" not in raw:
            return {**raw, "due_at": raw.get("created_at")}
        return raw


@dataclass(frozen=True)
class InvalidBuild:
    """A build document that does not validate: nobody works on it, and it can still be listed."""

    id: str
    site_id: str
    reason: str


def parse_build(raw: dict[str, Any]) -> Build | InvalidBuild:
    """Read a build document as stored; what does not validate comes back as `InvalidBuild`."""
    try:
        return Build.model_validate(raw)
    except ValidationError as error:
        return InvalidBuild(
            id=str(raw.get("_id", "")),
            site_id=str(raw.get("site_id", "")),
            reason=first_problem(error),
        )
