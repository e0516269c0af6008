"""Outcomes 1 to 5 on evidence written by hand: the damage, alerts, visitors, API and web UI."""

from __future__ import annotations

import pytest
from tests.drills.story import FAILED, PASSED, UNKNOWN, Story, small, status

from blackstart.drills.checks import Status

# --- 1: the damage ---


def test_exactly_the_share_must_lose_its_metadata() -> None:
    assert status("outcome-01", small()) is PASSED
    twice = small()
    twice.deploy("d2", "well-2", 1, hit=True)
    assert status("outcome-01", twice) is FAILED


def test_no_other_document_may_change_with_the_fault() -> None:
    for collection, key in (("sites", "id-hurt"), ("manifests", "d2"), ("builds", "b1")):
        story = small()
        story.oracle.after.collections[collection][key] = {"_id": key}
        assert status("outcome-01", story) is FAILED


def test_a_damaged_deploy_may_lose_nothing_but_its_metadata() -> None:
    story = small()
    story.oracle.after.deploys["d1"] = {**story.oracle.after.deploys["d1"], "number": 7}
    assert status("outcome-01", story) is FAILED


def test_metadata_that_is_changed_but_valid_is_not_lost() -> None:
    story = small()
    sound = story.oracle.before.deploys["d1"]
    changed = {**sound["metadata"], "file_count": 9}
    story.oracle.after.deploys["d1"] = {**sound, "metadata": changed}
    assert status("outcome-01", story) is FAILED


# --- 2: alerts ---


@pytest.mark.parametrize(
    ("fired_s", "expected"),
    [([], FAILED), ([0.0], PASSED), ([60.0, 300.0], PASSED), ([61.0], FAILED), ([-5, 5.0], FAILED)],
)
def test_an_alert_fires_within_a_minute_of_the_fault_and_none_before(
    fired_s: list[float], expected: Status
) -> None:
    story = Story()
    for offset_s in fired_s:
        story.tell(offset_s, "alert.fired", "fast")
    assert status("outcome-02", story) is expected


# --- 3 and 4: visitors ---


@pytest.mark.parametrize(
    ("safeguards", "miss", "expected"),
    [
        ((), 404, PASSED),
        ((), 503, FAILED),
        ((), 200, FAILED),
        (("honest-origin",), 503, PASSED),
        (("honest-origin",), 404, FAILED),
    ],
)
def test_a_page_of_a_damaged_site_that_no_node_holds_gets_the_missing_pointers_status(
    safeguards: tuple[str, ...], miss: int, expected: Status
) -> None:
    story = small(*safeguards)
    story.visit(10.0, "hurt", blob="blob-d1", cache="hit")
    story.visit(20.0, "hurt", miss, blob="blob-d1" if miss == 200 else None)
    assert status("outcome-03", story) is expected


def test_a_page_that_a_node_holds_is_served_with_the_right_bytes() -> None:
    for blob, cache_status in (("blob-d2", 200), (None, 404)):
        story = small()
        story.visit(10.0, "hurt", 404)
        story.visit(20.0, "hurt", cache_status, blob=blob, cache="hit")
        assert status("outcome-03", story) is FAILED


def test_after_its_repair_a_site_is_healthy_again() -> None:
    story = small(mended=True)
    story.visit(10.0, "hurt", 404)
    assert status("outcome-03", story) is UNKNOWN
    story.visit(20.0, "hurt", blob="blob-d1", cache="hit")
    story.tell(100.0, "deploy.restored", "d1")
    story.visit(200.0, "hurt", blob="blob-d1")
    assert status("outcome-03", story) is PASSED
    assert status("outcome-04", story) is PASSED
    story.visit(300.0, "hurt", 404)
    assert status("outcome-04", story) is FAILED


def test_a_visit_under_way_while_the_damage_came_or_went_is_nobodys_failure() -> None:
    story = small(mended=True)
    story.visit(10.0, "well-2", blob="blob-d2")
    story.tell(100.0, "deploy.restored", "d1")
    story.visit(100.5, "hurt", 404, took_s=1.0)
    assert status("outcome-04", story) is PASSED


def test_a_healthy_site_that_fails_once_is_a_failure() -> None:
    story = small()
    story.visit(10.0, "well-2", blob="blob-d2")
    story.visit(20.0, "hurt", 404)
    assert status("outcome-04", story) is PASSED
    story.visit(30.0, "well-3", 404)
    assert status("outcome-04", story) is FAILED


def test_a_file_that_never_arrived_is_judged_elsewhere() -> None:
    story = small()
    story.new_deploy(10.0, "n1", "well-2", 2)
    story.tell(11.0, "site.published", "id-well-2", deploy="n1")
    story.visit(20.0, "well-2", 404)
    assert status("outcome-04", story) is FAILED
    story.page("n1", "well-2", 404)
    assert status("outcome-04", story) is PASSED


# --- 5: API and web UI ---


@pytest.mark.parametrize(
    ("deploys", "http_status", "expected"),
    [
        (["d1", "d2"], 500, PASSED),
        (["d1", "d2"], 200, FAILED),
        (["d2", "d3"], 200, PASSED),
        (["d2", "d3"], 500, FAILED),
    ],
)
def test_exactly_the_responses_with_a_damaged_deploy_fail(
    deploys: list[str], http_status: int, expected: Status
) -> None:
    for action in ("api.read", "page.read"):
        story = small()
        story.tell(5.0, action, "/sites", status=200, deploys=["d2"])
        story.tell(10.0, action, "/sites", status=http_status, deploys=deploys)
        assert status("outcome-05", story) is expected


def test_once_it_is_fixed_a_part_works_with_damaged_deploys_too() -> None:
    story = small()
    story.tell(100.0, "fix.released", "api", safeguards=["tolerant-api"])
    story.tell(110.0, "api.read", "/sites", status=200, deploys=["d1"])
    assert status("outcome-05", story) is PASSED
    story.tell(120.0, "page.read", "/sites", status=200, deploys=["d1"])
    assert status("outcome-05", story) is FAILED


def test_with_the_safeguard_on_no_response_fails() -> None:
    story = small("tolerant-api")
    story.tell(10.0, "api.read", "/sites", status=200, deploys=["d1"])
    assert status("outcome-05", story) is PASSED
    story.tell(20.0, "api.read", "/sites", status=500, deploys=["d1"])
    assert status("outcome-05", story) is FAILED
