"""A build: one run of the builder for one commit."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from blackstart.model.document import Document, Part


class BuildState(StrEnum):
    """Where a build is: `stuck` means its deploy is whole but the publish check failed."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    STUCK = "stuck"
    ERROR = "error"


class Lease(Part):
    """Which worker holds the build, and until when."""

    worker: str
    until: datetime


class Build(Document):
    """One run of the builder; a lower `priority` is built first.

    `commit_ref` None means the branch head, looked up when the build starts.
    """

    site_id: str
    deploy_id: str | None
    commit_ref: str | None
    branch: str
    state: BuildState
    priority: int
    created_at: datetime
    lease: Lease | None = None
    log: list[str] = Field(default_factory=list)
    error: str | None = None
