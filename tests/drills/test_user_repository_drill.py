"""A repository of the user's own goes through the whole day, and comes out right and untouched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.drills.conftest import RunDrill, not_passed
from tests.drills.test_repositories import fingerprint

from blackstart.drills.accounting import Fate, fates
from blackstart.drills.drill import Verdict
from blackstart.drills.world.content import git_blob_id
from blackstart.drills.world.repositories import read_user_repository
from blackstart.model import Plan

if TYPE_CHECKING:
    from tests.conftest import Repository

FILES = {
    "index.html": b"<h1>home</h1>\n",
    "about.html": b"about",
    "docs/deep/down/page.html": b"<p>deep</p>",
    "css/site.css": b"body {}\r\n",
    "image.bin": bytes(range(256)) * 40,
    "with space.txt": b"space",
    "gr\u00f6\u00dfe/\u65e5\u672c.html": "\u65e5\u672c".encode(),
    "100% sure? #1.txt": b"odd",
    "empty.txt": b"",
}
LONE_FILES = {"only page.html": b"one"}


@pytest.fixture
def mine(repository: Repository) -> Repository:
    """Three commits, one file that goes and one that comes, and a link."""
    repository.commit({"index.html": b"first", "gone.html": b"gone"})
    (repository.folder / "gone.html").unlink()
    repository.commit({"index.html": b"second"})
    (repository.folder / "latest").symlink_to("docs")
    (repository.folder / "outside").symlink_to("/etc/passwd")
    repository.commit(FILES)
    (repository.folder / "draft.html").write_bytes(b"not committed")
    return repository


@pytest.fixture
def lone(mine: Repository, tmp_path: Path) -> Repository:
    """A single commit, on a branch of another name, with the longer digests."""
    lone = type(mine)(tmp_path / "repositories" / "lone")
    (lone.folder / ".git").rename(tmp_path / "first try")
    lone.git("init", "--quiet", "--initial-branch=trunk", "--object-format=sha256")
    lone.commit(LONE_FILES)
    return lone


async def test_repositories_of_the_users_own_are_damaged_and_right_at_the_end_and_untouched(
    run_small_drill: RunDrill, mine: Repository, lone: Repository
) -> None:
    before = [fingerprint(each.folder) for each in (mine, lone)]
    users = [read_user_repository(each.url) for each in (mine, lone)]
    verdict = await run_small_drill(repositories=users)
    assert not_passed(verdict.checks) == {}
    for site in ("docs-0000u", "lone-0001u"):
        assert verdict.evidence.plans[site] is Plan.ENTERPRISE
        _it_was_hit_and_came_back(verdict, site)
    home = {path: git_blob_id(data) for path, data in FILES.items()}
    assert _blobs_at_the_end(verdict, "docs-0000u") == home
    lone_home = {path: git_blob_id(data, sha256=True) for path, data in LONE_FILES.items()}
    assert _blobs_at_the_end(verdict, "lone-0001u") == lone_home
    assert [fingerprint(each.folder) for each in (mine, lone)] == before


def _it_was_hit_and_came_back(verdict: Verdict, site: str) -> None:
    evidence = verdict.evidence
    site_raw = evidence.oracle.before.sites[evidence.site_ids[site]]
    shown = site_raw["published_deploy_id"]
    assert shown in evidence.hit
    assert fates(evidence)[shown] is not Fate.LOST
    assert any(
        evidence.broken_for(visit) for visit in evidence.visits() if visit.details["site"] == site
    )


def _blobs_at_the_end(verdict: Verdict, site: str) -> dict[str, str | None]:
    """File -> the blob that its page had at the very end; None for an error page."""
    pages = [page for page in verdict.evidence.oracle.site_pages if page.site == site]
    return {page.path.removeprefix("/"): page.blob for page in pages}
