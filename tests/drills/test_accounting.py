"""How damaged deploys came back, how much was answered, and how long sites were down."""

from __future__ import annotations

import pytest
from tests.drills.story import DAMAGE, Story

from blackstart.drills.accounting import (
    Fate,
    affected_sites,
    availability,
    downtime_by_plan,
    downtime_s,
    fates,
    outcomes,
)
from blackstart.model import Plan


@pytest.fixture
def story() -> Story:
    """One site that shows a damaged deploy, and one that is well."""
    story = Story()
    story.deploy("d1", "hurt", 1, hit=True)
    story.deploy("d2", "well", 1)
    story.site("hurt", shows="d1")
    story.site("well", Plan.PRO, shows="d2")
    return story


# --- Fates ---


def test_a_deploy_whose_metadata_is_as_it_was_was_restored(story: Story) -> None:
    story.deploy("d1", "hurt", 1, hit=True, mended=True)
    assert fates(story.evidence) == {"d1": Fate.RESTORED}


def test_metadata_that_is_only_nearly_as_it_was_is_no_restoration(story: Story) -> None:
    story.deploy("d1", "hurt", 1, hit=True, mended=True)
    final = story.oracle.final.deploys["d1"]
    metadata = {**final["metadata"], "byte_count": 2}
    story.oracle.final.deploys["d1"] = {**final, "metadata": metadata}
    assert fates(story.evidence) == {"d1": Fate.REBUILT}


def test_a_site_that_shows_a_newer_deploy_was_rebuilt(story: Story) -> None:
    story.new_deploy(60.0, "n1", "hurt", 2)
    story.site("hurt", shows="d1", at_the_end="n1")
    assert fates(story.evidence) == {"d1": Fate.REBUILT}


def test_a_newer_deploy_that_had_stuck_was_pushed_through(story: Story) -> None:
    story.new_deploy(60.0, "n1", "hurt", 2)
    story.tell(70.0, "build.pushed", "b1", site="id-hurt", deploy="n1")
    story.site("hurt", shows="d1", at_the_end="n1")
    assert fates(story.evidence) == {"d1": Fate.PUSHED_THROUGH}


def test_a_site_that_shows_an_older_deploy_was_reverted(story: Story) -> None:
    story.deploy("d0", "hurt", 1)
    story.deploy("d1", "hurt", 2, hit=True)
    story.site("hurt", shows="d1", at_the_end="d0")
    assert fates(story.evidence) == {"d1": Fate.REVERTED}


@pytest.mark.parametrize("end", ["still shown", "its document is gone", "another damaged one"])
def test_a_site_that_shows_no_sound_deploy_is_lost(story: Story, end: str) -> None:
    if end == "its document is gone":
        del story.oracle.final.deploys["d1"]
    if end == "another damaged one":
        story.deploy("d3", "hurt", 3, hit=True)
        story.site("hurt", shows="d1", at_the_end="d3")
    assert fates(story.evidence)["d1"] is Fate.LOST


def test_outcomes_name_every_fate_and_add_up_to_all_damaged_deploys(story: Story) -> None:
    story.deploy("d3", "well", 2, hit=True, mended=True)
    assert outcomes(story.evidence) == {
        "restored": 1,
        "pushed_through": 0,
        "rebuilt": 0,
        "reverted": 0,
        "lost": 1,
    }


def test_sites_are_affected_that_showed_a_damaged_deploy_at_the_fault(story: Story) -> None:
    story.deploy("d0", "well", 2, hit=True)
    assert affected_sites(story.evidence) == {"hurt"}


def test_a_deploy_that_was_damaged_before_already_was_not_hit_by_the_fault(story: Story) -> None:
    for state in (story.oracle.before, story.oracle.after):
        state.deploys["d2"] = {**state.deploys["d2"], "metadata": DAMAGE}
    assert set(fates(story.evidence)) == {"d1"}


# --- Downtime ---


def test_a_site_nobody_met_an_error_on_was_never_down(story: Story) -> None:
    story.visit(10.0, "well")
    assert downtime_s(story.evidence) == {"hurt": 0.0, "well": 0.0}


def test_a_site_is_down_from_the_first_error_until_the_same_page_is_answered(
    story: Story,
) -> None:
    story.visit(10.0, "hurt", 404)
    story.visit(70.0, "hurt", 404)
    story.visit(130.0, "hurt", 200)
    story.visit(900.0, "hurt", 200)
    assert downtime_s(story.evidence) == {"hurt": 120.0, "well": 0.0}


@pytest.mark.parametrize("other", [{"node": "sin"}, {"path": "/about"}])
def test_another_page_or_node_that_answers_does_not_end_it(
    story: Story, other: dict[str, str]
) -> None:
    story.visit(10.0, "hurt", 404)
    story.visit(20.0, "hurt", 200, **other)
    story.visit(110.0, "hurt", 200)
    assert downtime_s(story.evidence)["hurt"] == 100.0


def test_a_crawler_that_fails_does_not_make_a_site_down(story: Story) -> None:
    story.visit(10.0, "hurt", 404, person=False)
    story.visit(50.0, "hurt", 200)
    assert downtime_s(story.evidence)["hurt"] == 0.0


def test_a_reload_ends_the_downtime_whoever_makes_it(story: Story) -> None:
    story.visit(10.0, "hurt", 503)
    story.visit(70.0, "hurt", 503, by="reload-hurt")
    story.visit(130.0, "hurt", 200, by="reload-hurt")
    assert downtime_s(story.evidence)["hurt"] == 120.0


def test_two_outages_of_a_site_add_up(story: Story) -> None:
    for began_s, ended_s in ((10.0, 20.0), (100.0, 130.0)):
        story.visit(began_s, "hurt", 404)
        story.visit(ended_s, "hurt", 200)
    assert downtime_s(story.evidence)["hurt"] == 40.0


def test_a_site_that_never_comes_back_is_down_until_the_last_visit(story: Story) -> None:
    story.visit(10.0, "hurt", 404)
    story.visit(500.0, "well", 200)
    assert downtime_s(story.evidence) == {"hurt": 490.0, "well": 0.0}


def test_errors_from_before_the_fault_do_not_count(story: Story) -> None:
    story.visit(-100.0, "well", 404)
    story.visit(50.0, "well", 200)
    assert downtime_s(story.evidence)["well"] == 0.0


def test_downtime_by_plan_is_of_affected_sites_in_minutes(story: Story) -> None:
    story.deploy("d3", "worse", 1, hit=True)
    story.site("worse", shows="d3")
    story.visit(0.0, "hurt", 404)
    story.visit(0.0, "worse", 404)
    story.visit(0.0, "well", 404)
    story.visit(60.0, "hurt", 200)
    story.visit(180.0, "worse", 200)
    assert downtime_by_plan(story.evidence) == {"free": {"median": 2.0, "max": 3.0}}


# --- Availability ---


def test_availability_is_the_answered_share_of_visits_by_plan(story: Story) -> None:
    for offset_s, status in ((1.0, 404), (2.0, 200), (3.0, 304), (4.0, 503)):
        story.visit(offset_s, "hurt", status)
    story.visit(5.0, "well", 200)
    assert availability(story.evidence) == {"free": 0.5, "pro": 1.0}


def test_reloads_monitors_and_visits_before_the_fault_do_not_count(story: Story) -> None:
    story.visit(-1.0, "hurt", 200)
    story.visit(1.0, "hurt", 404)
    story.visit(2.0, "hurt", 200, by="reload-hurt")
    story.visit(3.0, "hurt", 200, by="monitor-hurt")
    assert availability(story.evidence) == {"free": 0.0}


def test_a_visit_belongs_to_the_moment_it_was_asked(story: Story) -> None:
    story.visit(0.5, "hurt", 200, took_s=1.0)
    assert availability(story.evidence) == {}
