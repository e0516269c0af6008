"""What all checks have in common: when one passes, when it fails, when it cannot tell."""

from __future__ import annotations

import pytest
from tests.drills.story import BY_ID, FAILED, PASSED, UNKNOWN, Story, small, status

from blackstart.drills.checks import RULES, Rule, Status
from blackstart.drills.checks.check import Finding, some
from blackstart.drills.evidence import Evidence, file_of

# --- All of them ---


def test_there_are_twelve_outcomes_three_rules_of_safety_and_the_cause() -> None:
    assert list(BY_ID) == [
        *(f"outcome-{number:02}" for number in range(1, 13)),
        "fault-took-effect",
        "right-bytes",
        "publish-order",
        "cause",
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
