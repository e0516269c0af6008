"""Outcomes 9 to 12 on evidence written by hand: backup, downtime, missing files, the account."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.drills.story import FAILED, PAGE, PASSED, UNKNOWN, Story, copy_of, small, status

from blackstart.drills.checks import Status
from blackstart.drills.incidents.feb2 import ALL_RESTORED_S, FIX_S
from blackstart.model import Plan

# --- 9 to 12: recovery ---


@pytest.mark.parametrize(
    ("backups_s", "mended", "expected"),
    [
        ([-500.0], True, FAILED),
        ([-500.0, -50.0], True, PASSED),
        ([-500.0, 50.0], True, FAILED),
        ([], True, FAILED),
        ([-50.0], False, PASSED),
    ],
)
def test_a_deploy_newer_than_the_backup_cannot_come_from_it(
    backups_s: list[float], mended: bool, expected: Status
) -> None:
    story = small(mended=mended)
    story.new_deploy(-100.0, "x", "elsewhere", 9)
    story.tell(-100.0, "deploy.announced", "d1", number=1, commit="commit-d1")
    for offset_s in backups_s:
        story.tell(offset_s, "snapshot.taken", "s")
    assert status("outcome-09", story) is expected


def test_a_deploy_newer_than_the_backup_must_come_back_in_another_way() -> None:
    for at_the_end, expected in (("n1", PASSED), ("d1", FAILED)):
        story = small()
        story.tell(-100.0, "snapshot.taken", "s")
        story.tell(-50.0, "deploy.announced", "d1", number=1, commit="commit-d1")
        story.new_deploy(60.0, "n1", "hurt", 2)
        story.site("hurt", shows="d1", at_the_end=at_the_end)
        assert status("outcome-09", story) is expected


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        ([0, 0, 0], PASSED),
        ([0, 0, 10], PASSED),
        ([0, 0, 10.1], FAILED),
        ([0, 1], FAILED),
        ([0, 1, 1], FAILED),
    ],
)
def test_most_enterprise_sites_have_no_downtime_and_none_has_much(
    minutes: list[float], expected: Status
) -> None:
    story = small()
    story.visit(0.0, "hurt", 404)
    story.visit(40_000.0, "hurt", 200)
    for number, down_min in enumerate(minutes):
        story.deploy(f"e{number}", f"big-{number}", 1)
        story.site(f"big-{number}", Plan.ENTERPRISE, shows=f"e{number}")
        if down_min:
            story.visit(0.0, f"big-{number}", 404)
            story.visit(60.0 * down_min, f"big-{number}", 200)
    assert status("outcome-10", story) is expected


def listed(story: Story, *missing: tuple[str, list[str]]) -> Story:
    lines = [["id-well-2", deploy, paths] for deploy, paths in missing]
    story.tell(FIX_S * 3, "responders.listed_missing_files", "deploys", missing=lines)
    return story


def lacking(*safeguards: str, made_s: float = 60.0) -> Story:
    """A deploy one of whose files never arrived."""
    story = small(*safeguards)
    story.new_deploy(made_s, "n1", "well-2", 2)
    story.page("n1", "well-2", 404)
    return story


def test_the_list_of_missing_files_must_be_exact() -> None:
    assert status("outcome-11", listed(lacking(), ("n1", [PAGE]))) is PASSED
    assert status("outcome-11", listed(lacking())) is FAILED
    assert status("outcome-11", listed(lacking(), ("n1", [PAGE, "more.html"]))) is FAILED
    assert status("outcome-11", listed(lacking(), ("n1", [PAGE]), ("n2", [PAGE]))) is FAILED
    assert status("outcome-11", lacking()) is UNKNOWN


@pytest.mark.parametrize("made_s", [-60.0, FIX_S])
def test_files_go_missing_only_between_the_fault_and_the_fix(made_s: float) -> None:
    assert status("outcome-11", listed(lacking(made_s=made_s), ("n1", [PAGE]))) is FAILED


def test_with_verified_uploads_no_file_goes_missing() -> None:
    assert status("outcome-11", listed(small("verified-uploads"))) is PASSED
    assert status("outcome-11", listed(small())) is FAILED
    story = listed(lacking("verified-uploads"), ("n1", [PAGE]))
    assert status("outcome-11", story) is FAILED


def accounted() -> Story:
    """A day at whose end everything is as it should be."""
    story = small(mended=True)
    story.tell(-100.0, "snapshot.taken", "s")
    story.tell(ALL_RESTORED_S, "deploy.restored", "d1")
    story.oracle.final = copy_of(story.oracle.final)
    return story


def lose(story: Story) -> None:
    story.oracle.final.deploys["d1"] = story.oracle.after.deploys["d1"]


def change_a_healthy_deploy(story: Story) -> None:
    story.oracle.final.deploys["d2"] = {**story.oracle.final.deploys["d2"], "branch": "x"}


def remove_a_healthy_deploy(story: Story) -> None:
    del story.oracle.final.deploys["d2"]


def change_a_manifest(story: Story) -> None:
    story.oracle.before.collections["manifests"]["d2"] = {"sha256": b"1"}
    story.oracle.final.collections["manifests"]["d2"] = {"sha256": b"2"}


@pytest.mark.parametrize(
    "spoil", [lose, change_a_healthy_deploy, remove_a_healthy_deploy, change_a_manifest]
)
def test_every_damaged_deploy_is_accounted_for_and_nothing_healthy_changes(
    spoil: Callable[[Story], None],
) -> None:
    story = accounted()
    assert status("outcome-12", story) is PASSED
    spoil(story)
    assert status("outcome-12", story) is FAILED


def test_what_the_backup_holds_is_restored_in_time() -> None:
    story = accounted()
    story.tell(ALL_RESTORED_S + 1, "deploy.restored", "d1")
    assert status("outcome-12", story) is FAILED


def test_new_deploys_and_work_that_was_under_way_may_change() -> None:
    story = accounted()
    story.new_deploy(60.0, "n1", "well-2", 2)
    for state, name in ((story.oracle.before, "uploading"), (story.oracle.final, "ready")):
        state.deploys["d3"] = {**state.deploys["d3"], "state": name}
    site = story.oracle.final.sites["id-well-2"]
    story.oracle.final.sites["id-well-2"] = {**site, "published_deploy_id": "n1"}
    assert status("outcome-12", story) is PASSED
    story.oracle.final.sites["id-well-2"] = {**site, "plan": "free", "locked": True}
    assert status("outcome-12", story) is FAILED
    del story.oracle.final.sites["id-well-2"]
    assert status("outcome-12", story) is FAILED


def test_a_damaged_deploy_may_get_its_metadata_back_and_nothing_else() -> None:
    story = accounted()
    story.oracle.final.deploys["d1"] = {**story.oracle.final.deploys["d1"], "branch": "evil"}
    assert status("outcome-12", story) is FAILED
