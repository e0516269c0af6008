"""Each check on evidence written by hand: when it passes, when it fails, when it cannot tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.drills.story import PAGE, Story, copy_of

from blackstart.drills.checks import RULES, Rule, Status
from blackstart.drills.checks.check import Finding, some
from blackstart.drills.evidence import Evidence, file_of
from blackstart.drills.incidents.feb2 import ALL_RESTORED_S, FIX_S, SCRIPT_PUSH_S
from blackstart.model import Plan

BY_ID = {rule.id: rule for rule in RULES}
PASSED, FAILED, UNKNOWN = Status.PASSED, Status.FAILED, Status.UNKNOWN


def status(check: str, story: Story) -> Status:
    return BY_ID[check].run(story.evidence).status


def small(*safeguards: str, mended: bool = False) -> Story:
    """One site that shows a damaged deploy, and eighteen that are well: 5.2 % is one of them."""
    story = Story(*safeguards)
    story.deploy("d1", "hurt", 1, hit=True, mended=mended)
    story.site("hurt", shows="d1")
    for number in range(2, 20):
        story.deploy(f"d{number}", f"well-{number}", 1)
        story.site(f"well-{number}", shows=f"d{number}")
    return story


# --- All of them ---


def test_there_are_twelve_outcomes_and_three_rules_of_safety() -> None:
    assert list(BY_ID) == [
        *(f"outcome-{number:02}" for number in range(1, 13)),
        "fault-took-effect",
        "right-bytes",
        "publish-order",
    ]


@pytest.mark.parametrize("error", [KeyError, IndexError, ValueError, TypeError])
def test_a_judge_that_cannot_read_the_evidence_leaves_the_check_unknown(
    error: type[Exception],
) -> None:
    def judge(_: Evidence) -> Finding:
        raise error("d1")

    check = Rule("x", "X", lambda _: "to be judged", judge).run(Story().evidence)
    assert check.status is UNKNOWN
    assert error.__name__ in check.observed
    assert check.expected == "to be judged"


@pytest.mark.parametrize(
    ("as_expected", "expected"), [(True, PASSED), (False, FAILED), (None, UNKNOWN)]
)
def test_a_finding_that_cannot_tell_is_unknown(as_expected: bool | None, expected: Status) -> None:
    rule = Rule("x", "X", lambda _: "", lambda _: Finding("seen", as_expected))
    check = rule.run(Story().evidence)
    assert (check.status, check.observed) == (expected, "seen")


def test_a_check_that_was_not_run_is_unknown_and_says_why() -> None:
    check = BY_ID["outcome-01"].not_run(Story().evidence, "the world ended")
    assert (check.status, check.observed) == (UNKNOWN, "the world ended")


@pytest.mark.parametrize(
    "check",
    [
        "outcome-03",
        "outcome-04",
        "outcome-05",
        "outcome-06",
        "outcome-08",
        "outcome-10",
        "outcome-11",
        "right-bytes",
    ],
)
def test_a_check_that_finds_nothing_to_judge_is_unknown(check: str) -> None:
    assert status(check, Story()) is UNKNOWN


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_check_says_what_it_expects_in_one_line(rule: Rule) -> None:
    for safeguards in ((), ("tolerant-publish", "tolerant-api", "honest-origin")):
        expected = rule.expected(small(*safeguards).evidence)
        assert expected and "\n" not in expected


@pytest.mark.parametrize(
    ("things", "said"),
    [([], ""), ([1, 2, 3], "1, 2, 3"), (["a", "b", "c", "d", "e"], "a, b, c and 2 more")],
)
def test_of_many_things_some_are_named(things: list[object], said: str) -> None:
    assert some(things) == said


@pytest.mark.parametrize(
    ("url_path", "file"),
    [
        ("/", "index.html"),
        ("/about", "about.html"),
        ("/about.html", "about.html"),
        ("/docs", "docs/index.html"),
        ("/docs/", "docs/index.html"),
        ("/raw", "raw"),
        ("/nothing", None),
        ("/About", None),
    ],
)
def test_the_oracle_knows_which_file_a_url_means(url_path: str, file: str | None) -> None:
    files = {"index.html": "1", "about.html": "2", "docs/index.html": "3", "raw": "4"}
    assert file_of(url_path, files) == file


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
    story.oracle.final.sites["id-well-2"] = {**story.oracle.final.sites["id-well-2"], "x": 1}
    assert status("outcome-12", story) is PASSED


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
