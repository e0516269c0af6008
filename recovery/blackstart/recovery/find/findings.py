"""What can be found broken, one small class for each kind, and how it is written as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class BrokenDeploy:
    """A deploy whose metadata does not validate; `shown` when its site shows it."""

    kind: ClassVar[str] = "invalid-deploy"
    deploy_id: str
    site_id: str
    site: str
    plan: str
    number: int
    state: str
    shown: bool
    reason: str


@dataclass(frozen=True)
class MissingFiles:
    """A completed deploy that lists files whose bytes the object store does not hold.

    `tree_unreadable` means that even the list is missing or damaged: any file may be.
    """

    kind: ClassVar[str] = "missing-files"
    site_id: str
    deploy_id: str
    paths: list[str]
    tree_unreadable: bool = False


@dataclass(frozen=True)
class NotJudged:
    """A deploy whose files could not be looked at: nobody knows whether they are there."""

    kind: ClassVar[str] = "not-judged"
    site_id: str
    deploy_id: str
    why: str


@dataclass(frozen=True)
class BrokenBuild:
    """A build document that does not validate."""

    kind: ClassVar[str] = "invalid-build"
    build_id: str
    site_id: str
    reason: str


@dataclass(frozen=True)
class BrokenSite:
    """A site document that does not validate: every list of sites that has it fails."""

    kind: ClassVar[str] = "invalid-site"
    site_id: str
    site: str
    reason: str


@dataclass(frozen=True)
class HitSite:
    """A site with invalid deploys or missing files; `down` when what it shows is invalid.

    `deploy_id` is what it shows.
    """

    kind: ClassVar[str] = "site"
    site_id: str
    site: str
    plan: str
    down: bool
    deploy_id: str | None
    invalid_deploys: int
    deploys_missing_files: int


@dataclass(frozen=True)
class FailingResponse:
    """A request of the API or the web pages that fails, and the document because of which.

    `always`: it fails with the safeguard `tolerant-api` as well. Lists are
    told by the page of the default length that fails.
    """

    kind: ClassVar[str] = "failing-response"
    path: str
    because: str
    always: bool = False


Finding = (
    BrokenDeploy | MissingFiles | NotJudged | BrokenBuild | BrokenSite | HitSite | FailingResponse
)
KINDS = (
    BrokenDeploy,
    MissingFiles,
    NotJudged,
    BrokenBuild,
    BrokenSite,
    HitSite,
    FailingResponse,
)


def as_row(finding: Finding) -> dict[str, Any]:
    """The finding as plain JSON values, its kind first."""
    return {"kind": finding.kind, **asdict(finding)}
