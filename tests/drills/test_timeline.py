"""The day in a few lines: drawn from the journal, in order, without what was before."""

from __future__ import annotations

import pytest
from tests.drills.story import Story

from blackstart.drills.timeline import Moment, offset_text, timeline


def moments(story: Story, word: str) -> list[float]:
    """When something with that word in it was told."""
    return [moment.offset_s for moment in timeline(story.journal) if word in moment.event]


def test_an_empty_journal_has_nothing_to_tell() -> None:
    assert timeline(Story().journal) == []


def test_what_was_before_the_fault_is_not_told() -> None:
    story = Story()
    story.tell(-600.0, "alert.fired", "early")
    story.tell(-60.0, "build.stuck", "b0")
    assert timeline(story.journal) == []


def test_moments_are_in_order_of_time() -> None:
    story = Story()
    story.tell(0.0, "fault.injected", "deploys.metadata", modified=8)
    story.tell(10.0, "alert.fired", "origin-failures-fast")
    story.tell(60.0, "build.stuck", "b1")
    story.tell(90.0, "fix.released", "api", safeguards=["tolerant-api"])
    story.tell(120.0, "deploy.restored", "d1", by="backup")
    story.tell(200.0, "site.reverted", "s1")
    told = timeline(story.journal)
    assert told[0].event.startswith("fault: ") and "8 deploys" in told[0].event
    assert told[1] == Moment(10.0, "alert origin-failures-fast fires")
    offsets = [moment.offset_s for moment in told]
    assert offsets == sorted(offsets)
    assert set(offsets) == {0.0, 10.0, 60.0, 90.0, 120.0, 200.0}


def test_of_many_alerts_the_first_is_told() -> None:
    story = Story()
    for offset_s in (10.0, 20.0, 30.0):
        story.tell(offset_s, "alert.fired", f"rule-{offset_s:.0f}")
    assert [moment.event for moment in timeline(story.journal)] == ["alert rule-10 fires"]


def test_the_first_and_the_last_stuck_build_are_told() -> None:
    story = Story()
    for offset_s in (10.0, 20.0, 30.0):
        story.tell(offset_s, "build.stuck", "b")
    assert moments(story, "first build sticks") == [10.0]
    assert moments(story, "last build sticks") == [30.0]


def test_what_the_push_script_did_is_told_apart_from_hand_work() -> None:
    story = Story()
    story.tell(300.0, "build.pushed", "b1", by="lead")
    story.tell(4_000.0, "build.pushed", "b2", by="push-script")
    story.tell(4_001.0, "build.pushed", "b3", by="push-script")
    assert moments(story, "by hand") == [300.0]
    assert moments(story, "emergency script") == [4_000.0]


def test_what_the_restore_script_did_is_told_apart_from_hand_work() -> None:
    story = Story()
    story.tell(300.0, "deploy.restored", "d1", by="backup")
    story.tell(4_000.0, "deploy.restored", "d2", by="restore-script")
    story.tell(4_001.0, "deploy.restored", "d3", by="restore-script")
    assert moments(story, "by hand") == [300.0]
    assert moments(story, "restore script starts") == [4_000.0]
    assert moments(story, "last deploy restored") == [4_001.0]


def test_every_released_fix_is_told_by_name() -> None:
    story = Story()
    story.tell(60.0, "fix.released", "api", safeguards=["tolerant-api"])
    story.tell(90.0, "fix.released", "background", safeguards=["tolerant-publish", "verified"])
    assert [moment.event for moment in timeline(story.journal)] == [
        "fix live: api (tolerant-api)",
        "fix live: background (tolerant-publish, verified)",
    ]


@pytest.mark.parametrize(
    ("offset_s", "text"),
    [
        (0.0, "T+0 s"),
        (20.0, "T+20 s"),
        (119.0, "T+119 s"),
        (120.0, "T+2 min"),
        (63 * 60.0, "T+63 min"),
        (-30.0, "T-30 s"),
        (-90 * 60.0, "T-90 min"),
    ],
)
def test_offsets_are_written_as_people_say_them(offset_s: float, text: str) -> None:
    assert offset_text(offset_s) == text
