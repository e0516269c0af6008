"""Tests of builds as documents."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from blackstart.errors import InvalidDocumentError
from blackstart.model import Build, BuildState

NOON = datetime(2017, 2, 2, 12, tzinfo=UTC)
BEFORE = {
    "_id": "b1",
    "site_id": "s1",
    "deploy_id": None,
    "commit_ref": None,
    "branch": "main",
    "state": "queued",
    "priority": 2,
    "created_at": NOON,
    "lease": None,
    "log": [],
    "error": None,
}


def test_a_build_from_before_the_queue_was_fair_is_of_a_head_and_due_since_it_was_made() -> None:
    build = Build.from_mongo(BEFORE)
    assert (build.pinned, build.due_at, build.attempt) == (False, NOON, 0)
    assert Build.from_mongo(build.to_mongo()) == build


def test_a_build_without_its_times_is_invalid() -> None:
    with pytest.raises(InvalidDocumentError):
        Build.from_mongo({key: BEFORE[key] for key in BEFORE if key != "created_at"})


def test_only_queued_and_running_builds_have_not_ended() -> None:
    unfinished = [state for state in BuildState if not state.ended]
    assert unfinished == [BuildState.QUEUED, BuildState.RUNNING]
