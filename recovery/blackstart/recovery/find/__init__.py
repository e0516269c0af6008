"""Finding what is broken: deploys, sites, files that never arrived, and requests that fail."""

from blackstart.recovery.find.files import FileCheck, TreeState, listing_of
from blackstart.recovery.find.findings import (
    KINDS,
    BrokenBuild,
    BrokenDeploy,
    BrokenSite,
    FailingResponse,
    Finding,
    HitSite,
    MissingFiles,
    NotJudged,
    as_row,
)
from blackstart.recovery.find.quick import broken_deploys, missing_files, sites_down
from blackstart.recovery.find.search import Look, Progress, find, nobody_watches
from blackstart.recovery.find.sites import SiteNotes, sla_order, sla_rank

__all__ = [
    "KINDS",
    "BrokenBuild",
    "BrokenDeploy",
    "BrokenSite",
    "FailingResponse",
    "FileCheck",
    "Finding",
    "HitSite",
    "Look",
    "MissingFiles",
    "NotJudged",
    "Progress",
    "SiteNotes",
    "TreeState",
    "as_row",
    "broken_deploys",
    "find",
    "listing_of",
    "missing_files",
    "nobody_watches",
    "sites_down",
    "sla_order",
    "sla_rank",
]
