"""Outcomes 6 to 8 on evidence written by hand: builds that stick and get through."""

from __future__ import annotations

import pytest
from tests.drills.story import FAILED, PASSED, Story, small, status

from blackstart.drills.checks import Status
from blackstart.drills.incidents.feb2 import FIX_S, SCRIPT_PUSH_S

# --- 6, 7 and 8: builds ---


def checked(story: Story, offset_s: float, deploy: str, site: str, outcome: str) -> None:
    story.tell(offset_s, "publish.checked", deploy, site=f"id-{site}", outcome=outcome)


@pytest.mark.parametrize(
    ("site", "outcome", "expected"),
    [
        ("hurt", "failed", PASSED),
        ("hurt", "passed", FAILED),
        ("well-2", "failed", FAILED),
    ],
)
def test_a_build_sticks_exactly_when_the_latest_completed_deploy_is_damaged(
    site: str, outcome: str, expected: Status
) -> None:
    story = small()
    story.new_deploy(10.0, "n1", site, 2)
    checked(story, 9.0, "n1", site, outcome)
    assert status("outcome-06", story) is expected


def test_a_build_that_follows_a_sound_one_must_not_stick() -> None:
    story = small()
    checked(story, 9.0, "n1", "hurt", "failed")
    story.new_deploy(10.0, "n1", "hurt", 2)
    checked(story, 20.0, "n2", "hurt", "passed")
    assert status("outcome-06", story) is PASSED
    checked(story, 30.0, "n3", "hurt", "failed")
    assert status("outcome-06", story) is FAILED


def test_a_day_on_which_nothing_sticks_is_not_that_day() -> None:
    story = small()
    checked(story, 9.0, "n1", "well-2", "passed")
    assert status("outcome-06", story) is FAILED


def test_with_the_tolerant_check_no_build_sticks() -> None:
    for outcome, expected in (("passed", PASSED), ("failed", FAILED)):
        story = small("tolerant-publish")
        checked(story, 9.0, "n1", "hurt", outcome)
        assert status("outcome-06", story) is expected


@pytest.mark.parametrize(
    ("stuck_s", "pushed_s", "expected"),
    [
        (60.0, 300.0, PASSED),
        (60.0, SCRIPT_PUSH_S + 120.0, PASSED),
        (60.0, SCRIPT_PUSH_S + 121.0, FAILED),
        (SCRIPT_PUSH_S + 600.0, SCRIPT_PUSH_S + 720.0, PASSED),
        (SCRIPT_PUSH_S + 600.0, SCRIPT_PUSH_S + 721.0, FAILED),
        (60.0, None, FAILED),
    ],
)
def test_a_stuck_build_is_pushed_by_hand_or_soon_after_the_script_is_there(
    stuck_s: float, pushed_s: float | None, expected: Status
) -> None:
    story = small()
    story.new_deploy(50.0, "n1", "hurt", 2)
    story.tell(stuck_s, "build.stuck", "b1", site="id-hurt")
    if pushed_s is not None:
        story.tell(pushed_s, "site.published", "id-hurt", deploy="n1")
        story.tell(pushed_s, "build.pushed", "b1", site="id-hurt", deploy="n1")
    assert status("outcome-07", story) is expected


def test_a_push_that_does_not_reach_the_visitors_is_none() -> None:
    story = small()
    story.new_deploy(50.0, "n1", "hurt", 2)
    story.tell(60.0, "build.stuck", "b1", site="id-hurt")
    story.tell(70.0, "build.pushed", "b1", site="id-hurt", deploy="n1")
    assert status("outcome-07", story) is FAILED


@pytest.mark.parametrize(("outcome", "expected"), [("passed", PASSED), ("failed", FAILED)])
def test_after_the_fix_no_build_sticks(outcome: str, expected: Status) -> None:
    story = small()
    checked(story, 60.0, "n1", "hurt", "failed")
    checked(story, FIX_S, "n2", "hurt", outcome)
    assert status("outcome-08", story) is expected
