"""February 2 as a whole: all outcomes emerge, and each broken promise is seen by its own check."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.drills.conftest import MINUTE, RunDrill, meddling, not_passed

from blackstart.drills.accounting import outcomes
from blackstart.drills.checks import RULES, Status
from blackstart.drills.faults.overwrite_metadata import OverwriteMetadata
from blackstart.drills.incidents.feb2 import FEB2, RESTORE_SCRIPT_S, SNAPSHOT_READABLE_S
from blackstart.drills.responders import Responders
from blackstart.drills.world.world import World
from blackstart.model import Deploy, DeployState, InvalidDeploy, Site
from blackstart.recovery.sources import Broken, Offer, Refusal, Route, Source
from blackstart.safeguards import CATALOGUE
from blackstart.store.objects import blob_key

SWEEP = range(1, 1 + int(os.environ.get("BLACKSTART_SWEEP", "20")))
BUILT = [safeguard.name for safeguard in CATALOGUE if safeguard.built]


async def test_all_twelve_outcomes_emerge(run_small_drill: RunDrill) -> None:
    verdict = await run_small_drill()
    assert not_passed(verdict.checks) == {}
    assert [check.id for check in verdict.checks[:12]] == [f"outcome-{n:02}" for n in range(1, 13)]
    hit = len(verdict.evidence.hit)
    assert hit == round(0.052 * len(verdict.evidence.oracle.before.deploys))
    assert sum(outcomes(verdict.evidence).values()) == hit


ALONE = [pytest.param(name, marks=pytest.mark.slow) for name in BUILT]
# With sign-off there is no outage in which the others could keep their promises.
TOGETHER = ",".join(name for name in BUILT if name != "peer-signoff")


@pytest.mark.parametrize("safeguard", [*ALONE, pytest.param(TOGETHER, id="all but sign-off")])
async def test_what_each_safeguard_promises_holds(
    run_small_drill: RunDrill, safeguard: str
) -> None:
    verdict = await run_small_drill(safeguards=safeguard)
    assert not_passed(verdict.checks) == {}


@pytest.mark.slow
@pytest.mark.parametrize("sites", [50, 400])
@pytest.mark.parametrize("seed", SWEEP)
async def test_every_seed_passes(run_small_drill: RunDrill, sites: int, seed: int) -> None:
    verdict = await run_small_drill(sites=sites, seed=seed)
    repeat = f"./blackstart drill feb2 --sites {sites} --seed {seed}"
    assert not_passed(verdict.checks) == {}, f"repeat with: {repeat}"


@pytest.mark.slow
async def test_a_large_fleet_passes(run_small_drill: RunDrill) -> None:
    verdict = await run_small_drill(sites=2_000)
    assert not_passed(verdict.checks) == {}


# --- Broken on purpose: exactly the right check fails ---


@pytest.mark.slow
async def test_a_fault_of_another_size_is_noticed(run_small_drill: RunDrill) -> None:
    smaller = replace(FEB2, fault=OverwriteMetadata(share=0.050))
    verdict = await run_small_drill(smaller, sites=50)
    assert not_passed(verdict.checks) == {"outcome-01": Status.FAILED}


async def test_a_fault_that_does_not_take_effect_fails_the_drill(
    run_small_drill: RunDrill,
) -> None:
    verdict = await run_small_drill(replace(FEB2, fault=OverwriteMetadata(share=0.0)))
    unknown = {rule.id: Status.UNKNOWN for rule in RULES}
    assert not_passed(verdict.checks) == {**unknown, "fault-took-effect": Status.FAILED}


@pytest.mark.slow
async def test_a_fault_that_changes_more_than_metadata_is_noticed(
    run_small_drill: RunDrill,
) -> None:
    class Greedy(OverwriteMetadata):
        async def inject(self, world: World) -> int:
            await world.services.store.database["manifests"].update_one(
                {}, {"$set": {"files.0.size": 1}}
            )
            return await super().inject(world)

    verdict = await run_small_drill(replace(FEB2, fault=Greedy()))
    failed = {"outcome-01": Status.FAILED, "outcome-12": Status.FAILED}
    assert not_passed(verdict.checks) == failed


async def test_one_restore_that_was_skipped_is_noticed(run_small_drill: RunDrill) -> None:
    class Forgetful:
        """A snapshot that has never heard of one deploy."""

        route, problems = Route.SNAPSHOT, list[str]()

        def __init__(self, source: Source, forgotten: str) -> None:
            self.name, self._source, self._forgotten = source.name, source, forgotten

        async def offers(self, broken: Broken) -> AsyncIterator[Offer | Refusal]:
            async for each in self._source.offers(broken):
                if each.deploy_id != self._forgotten:
                    yield each

    async def skip_one(team: Responders) -> None:
        (source,) = team.tools.sources
        planned = await team.tools.plan([Route.SNAPSHOT])
        held = [each.deploy_id for each in planned.entries if each.route is Route.SNAPSHOT]
        team.tools.sources = [Forgetful(source, min(held))]

    verdict = await run_small_drill(meddling(SNAPSHOT_READABLE_S + 0.5, skip_one))
    assert not_passed(verdict.checks) == {"outcome-12": Status.FAILED}


@pytest.mark.slow
async def test_a_healthy_deploy_that_was_changed_is_noticed(run_small_drill: RunDrill) -> None:
    async def change(team: Responders) -> None:
        healthy = await _old_deploys(team)
        await team.world.services.store.database["deploys"].update_one(
            {"_id": healthy[0].id}, {"$inc": {"metadata.file_count": 1}}
        )

    verdict = await run_small_drill(meddling(200 * MINUTE, change))
    assert not_passed(verdict.checks) == {"outcome-12": Status.FAILED}


@pytest.mark.slow
async def test_one_wrong_byte_is_noticed(run_small_drill: RunDrill) -> None:
    async def flip(team: Responders) -> None:
        services = team.world.services
        deploy = await _shown(team, await _quiet_site(team))
        tree = await services.objects.get_tree(deploy.metadata.tree or "")
        entry = tree.files["index.html"]
        data = await services.objects.get_blob(entry.sha1)
        await services.objects.put(blob_key(entry.sha1), bytes([data[0] ^ 1]) + data[1:])
        for node in services.nodes:
            await node.purge_all()

    verdict = await run_small_drill(meddling(200 * MINUTE, flip))
    assert not_passed(verdict.checks) == {"right-bytes": Status.FAILED}


@pytest.mark.slow
async def test_an_older_deploy_over_a_newer_one_is_noticed(run_small_drill: RunDrill) -> None:
    async def go_back(team: Responders) -> None:
        site = await _quiet_site(team)
        older = [
            deploy
            for deploy in await team.world.services.store.deploys.of_site(site.id)
            if isinstance(deploy, Deploy) and deploy.state is DeployState.READY
        ]
        await team.world.services.publisher.revert(site.id, older[-1].id)

    verdict = await run_small_drill(meddling(200 * MINUTE, go_back))
    assert not_passed(verdict.checks) == {"publish-order": Status.FAILED}


@pytest.mark.slow
async def test_a_site_left_broken_is_noticed(run_small_drill: RunDrill) -> None:
    async def break_again(team: Responders) -> None:
        site = await _quiet_site(team)
        await team.world.services.store.database["deploys"].update_many(
            {"site_id": site.id}, {"$set": {"metadata": {"schema": 3}}}
        )

    verdict = await run_small_drill(meddling(388 * MINUTE, break_again))
    assert "outcome-12" in not_passed(verdict.checks)


@pytest.mark.slow
async def test_stuck_deploys_that_nobody_pushes_are_noticed(run_small_drill: RunDrill) -> None:
    idle = replace(
        FEB2,
        runbook=lambda safeguards: tuple(
            step for step in FEB2.runbook(safeguards) if "push" not in step.what
        ),
    )
    verdict = await run_small_drill(idle)
    assert "outcome-07" in not_passed(verdict.checks)


@pytest.mark.slow
async def test_missing_files_that_nobody_lists_leave_the_check_unknown(
    run_small_drill: RunDrill,
) -> None:
    careless = replace(FEB2, runbook=lambda safeguards: FEB2.runbook(safeguards)[:-1])
    verdict = await run_small_drill(careless)
    assert not_passed(verdict.checks) == {"outcome-11": Status.UNKNOWN}


@pytest.mark.slow
async def test_restoring_a_second_time_changes_nothing(run_small_drill: RunDrill) -> None:
    verdict = await run_small_drill(
        meddling(RESTORE_SCRIPT_S + 30 * MINUTE, lambda team: team.restore_by_script())
    )
    assert not_passed(verdict.checks) == {}


async def _old_deploys(team: Responders) -> list[Deploy]:
    """Healthy deploys from before the fault that their sites do not show."""
    shown = {site.published_deploy_id for site in await team.world.services.store.sites.all()}
    return [
        deploy
        async for deploy in team.world.services.store.deploys.scan()
        if isinstance(deploy, Deploy)
        and deploy.state is DeployState.READY
        and deploy.id not in shown
        and deploy.created_at < team.world.fault_time
        and deploy.id not in {broken.deploy_id for broken in team.broken}
    ]


async def _quiet_site(team: Responders) -> Site:
    """A site that nothing else happens to: no damaged deploy, no push to come."""
    busy = {
        site.name
        for site in team.world.fleet.sites
        if site.push_during_incident or site.interrupted or site.deployed < 3
    }
    damaged = {deploy.site_id for deploy in team.broken}
    for site in await team.world.services.store.sites.all():
        if site.name not in busy and site.id not in damaged:
            return site
    raise AssertionError("the fleet has no quiet site")


async def _shown(team: Responders, site: Site) -> Deploy:
    deploy = await team.world.services.store.deploys.get(site.published_deploy_id or "")
    assert not isinstance(deploy, InvalidDeploy)
    return deploy
