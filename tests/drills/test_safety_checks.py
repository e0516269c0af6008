"""The rules of safety on evidence written by hand."""

from __future__ import annotations

import pytest
from tests.drills.story import FAILED, PASSED, Story, small, status

from blackstart.drills.checks import Status

# --- Safety ---


@pytest.mark.parametrize(
    ("modified", "expected"), [(1, PASSED), (0, FAILED), (2, FAILED), (None, FAILED)]
)
def test_the_fault_changed_as_many_documents_as_are_damaged(
    modified: int | None, expected: Status
) -> None:
    story = small()
    if modified is not None:
        story.tell(0.0, "fault.injected", "deploys.metadata", modified=modified)
    assert status("fault-took-effect", story) is expected


def test_a_fault_that_changed_nothing_did_not_take_effect() -> None:
    story = Story()
    story.tell(0.0, "fault.injected", "deploys.metadata", modified=0)
    assert status("fault-took-effect", story) is FAILED


@pytest.mark.parametrize("offset_s", [-60.0, 60.0])
def test_a_wrong_byte_is_never_right_not_even_before_the_fault(offset_s: float) -> None:
    story = small()
    story.visit(offset_s, "well-2", blob="blob-d2")
    assert status("right-bytes", story) is PASSED
    story.visit(offset_s, "well-2", blob="blob-d3")
    assert status("right-bytes", story) is FAILED


def test_the_page_of_before_is_right_while_the_purge_is_under_way_and_wrong_later() -> None:
    story = small()
    story.new_deploy(9.0, "n1", "well-2", 2)
    story.tell(10.0, "site.published", "id-well-2", deploy="n1")
    story.visit(11.0, "well-2", blob="blob-d2", cache="hit")
    story.visit(12.0, "well-2", blob="blob-n1")
    assert status("right-bytes", story) is PASSED
    story.visit(60.0, "well-2", blob="blob-d2", cache="hit")
    assert status("right-bytes", story) is FAILED


def test_every_page_is_right_at_the_end_or_known_to_be_missing() -> None:
    story = small()
    story.page("d2", "well-2", blob="blob-d2")
    story.page("d3", "well-3", 404)
    assert status("right-bytes", story) is PASSED
    story.page("d2", "well-2", blob="blob-d3")
    assert status("right-bytes", story) is FAILED


def test_a_page_of_a_site_that_fails_at_the_end_is_wrong() -> None:
    story = small()
    story.page("d2", "well-2", 404)
    story.oracle.site_pages, story.oracle.deploy_pages = story.oracle.deploy_pages, []
    assert status("right-bytes", story) is FAILED


def published(story: Story, deploy: str, *, action: str = "site.published") -> Story:
    story.tell(100.0, action, "id-hurt", deploy=deploy)
    story.site("hurt", shows="d1", at_the_end=deploy)
    return story


def three_versions() -> Story:
    """A site with an older deploy than the damaged one that it shows."""
    story = small()
    story.deploy("d0", "hurt", 1)
    story.deploy("d1", "hurt", 2, hit=True)
    return story


def test_a_newer_deploy_over_an_older_one_is_in_order() -> None:
    story = three_versions()
    story.new_deploy(90.0, "n1", "hurt", 3)
    assert status("publish-order", published(story, "n1")) is PASSED


def test_an_older_deploy_is_only_shown_by_a_revert_past_a_damaged_one() -> None:
    assert status("publish-order", published(three_versions(), "d0")) is FAILED
    reverted = published(three_versions(), "d0", action="site.reverted")
    assert status("publish-order", reverted) is PASSED
    mended = three_versions()
    mended.tell(50.0, "deploy.restored", "d1")
    assert status("publish-order", published(mended, "d0", action="site.reverted")) is FAILED


def test_what_a_site_shows_may_not_change_without_a_publish() -> None:
    story = three_versions()
    story.site("hurt", shows="d1", at_the_end="d0")
    assert status("publish-order", story) is FAILED
