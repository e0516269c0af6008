"""A site: a name, a plan, a repository, and the deploy it shows."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from blackstart.model.document import Document, Part


class Plan(StrEnum):
    """What a customer pays for; decides cache space and the place in every queue."""

    FREE = "free"
    PRO = "pro"
    GLOBAL = "global"
    ENTERPRISE = "enterprise"

    @property
    def sla_rank(self) -> int:
        """0 is helped first: Enterprise, then Global, then the rest (the review's order)."""
        return _SLA_ORDER.index(self)


_SLA_ORDER = (Plan.ENTERPRISE, Plan.GLOBAL, Plan.PRO, Plan.FREE)


class Repo(Part):
    """Where a site's source lives: a git URL or folder, and the branch that deploys."""

    url: str
    branch: str


class Site(Document):
    """One site; `published_deploy_id` is what visitors get.

    `newest_published` is the highest deploy number that was ever published:
    publishing by itself only goes up, whatever was reverted meanwhile.
    A locked site keeps the deploy it shows.
    """

    name: str
    plan: Plan
    repo: Repo | None
    published_deploy_id: str | None = None
    newest_published: int = 0
    locked: bool = False
    created_at: datetime
    updated_at: datetime | None = None
