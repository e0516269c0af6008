"""A deploy: one immutable version of a site, and the metadata a bad migration can destroy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from blackstart.model.document import Document, Part, first_problem


class DeployState(StrEnum):
    """Where a deploy is in its life: new, uploading, processing, then ready or over."""

    NEW = "new"
    UPLOADING = "uploading"
    PROCESSING = "processing"
    READY = "ready"
    ERROR = "error"
    CANCELLED = "cancelled"


class Context(StrEnum):
    """What a deploy is for. Only a production deploy is ever published."""

    PRODUCTION = "production"
    BRANCH = "branch-deploy"
    PREVIEW = "deploy-preview"


class Metadata(Part):
    """What the deploy's files are and how far they got.

    `tree` is the pointer: the id of the tree object that lists the files.
    `pending_uploads` are the SHA-1 digests that the client was asked for, until all are there.
    `byte_count` is the sum of file sizes in bytes, as far as they are known.
    """

    tree: str | None
    completed_at: datetime | None
    file_count: int = Field(ge=0)
    byte_count: int = Field(ge=0)
    pending_uploads: list[str]


class Deploy(Document):
    """One version of a site; `number` counts up per site and orders versions."""

    site_id: str
    number: int = Field(ge=1)
    state: DeployState
    branch: str
    context: Context = Context.PRODUCTION
    title: str | None = None
    error: str | None = None
    commit_ref: str | None
    build_id: str | None
    created_at: datetime
    metadata: Metadata

    @property
    def completed(self) -> bool:
        """Whether it is past the point of no return: it is published, or about to be."""
        return self.metadata.completed_at is not None

    @model_validator(mode="after")
    def _ready_means_complete(self) -> Self:
        if self.state is DeployState.READY and (
            self.metadata.tree is None
            or self.metadata.completed_at is None
            or self.metadata.pending_uploads
        ):
            raise ValueError("a ready deploy needs tree, completed_at and no pending uploads")
        return self


@dataclass(frozen=True)
class InvalidDeploy:
    """A deploy document that does not validate: a value to carry, not a crash.

    Everything outside `metadata` that could still be read is here; `raw` is
    the document as found.
    """

    id: str
    site_id: str
    number: int
    state: str
    reason: str
    raw: dict[str, Any]


def parse_deploy(raw: dict[str, Any]) -> Deploy | InvalidDeploy:
    """Read a deploy document as stored; what does not validate comes back as `InvalidDeploy`."""
    try:
        return Deploy.model_validate(raw)
    except ValidationError as error:
        return InvalidDeploy(
            id=str(raw.get("_id", "")),
            site_id=str(raw.get("site_id", "")),
            number=_readable_number(raw.get("number")),
            state=str(raw.get("state", "")),
            reason=first_problem(error),
            raw=raw,
        )


def _readable_number(value: Any) -> int:
    """0, below every real number, when the damage reached the number as well."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return 0
