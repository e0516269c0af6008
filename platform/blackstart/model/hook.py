"""A build hook: an address that starts a build of a site when it is called."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from blackstart.model.document import Document


class BuildHook(Document):
    """One hook; its id is hard to guess. With a `secret` each call must be signed with it."""

    site_id: str
    title: str
    branch: str
    secret: str | None = Field(default=None, repr=False)
    created_at: datetime
