"""Asking for builds, calling them off, and pushing stuck ones through."""

from __future__ import annotations

from datetime import timedelta

from blackstart.clock import Clock, Event
from blackstart.control.publish import Publisher, Verdict
from blackstart.control.queue import replaces
from blackstart.errors import ConflictError, UsageError
from blackstart.events import Events
from blackstart.model import Build, BuildState, Deploy, DeployState, Site
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore

PRIORITY_STEP = 10
TURN = timedelta(minutes=1)
"""Fairness between sites: a site's next build counts as so much younger for each that waits."""


class BuildService:
    """The queue's front desk; `doorbell` wakes workers in this process at once."""

    def __init__(
        self,
        store: MetadataStore,
        publisher: Publisher,
        *,
        clock: Clock,
        seed: Seed,
        safeguards: Safeguards,
        events: Events,
        doorbell: Event | None = None,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._clock = clock
        self._seed = seed
        self._safeguards = safeguards
        self._events = events
        self._doorbell = doorbell or clock.event()

    async def start(
        self,
        site: Site,
        *,
        commit_ref: str | None = None,
        branch: str | None = None,
        title: str | None = None,
        urgent: bool = False,
        why: str = "",
        build_id: str | None = None,
    ) -> Build:
        """Queue a build of a branch head, or of one commit with `rebuild-by-commit`.

        An `urgent` one goes before the others of its plan. A build of a head
        takes the place of one that still waits for an earlier head. Whoever may
        ask twice gives the `build_id`: the second time nothing more is queued.
        Raises: UsageError when the site has no repository, or a commit was
        named and only heads can be built.
        """
        if site.repo is None:
            raise UsageError(
                f"site {site.name} has no repository to build",
                hint="give the site a repo_url, or deploy files",
            )
        if commit_ref is not None:
            self._need_builds_of_commits()
        if build_id is not None and (known := await self._store.builds.find(build_id)):
            return known
        waiting = await self._store.builds.waiting(site.id)
        now = self._clock.now()
        build = Build(
            id=build_id or self._seed.new_id(),
            site_id=site.id,
            deploy_id=None,
            commit_ref=commit_ref,
            pinned=commit_ref is not None,
            branch=branch or site.repo.branch,
            title=title,
            state=BuildState.QUEUED,
            priority=site.plan.sla_rank * PRIORITY_STEP + (0 if urgent else 1),
            due_at=now + len(waiting) * TURN,
            created_at=now,
        )
        await self._store.builds.insert(build)
        self._events("build.queued", build.id, site=site.id, commit=commit_ref, why=why)
        await self._keep_the_newest(build)
        self._doorbell.set()
        return await self._store.builds.get(build.id)

    async def _keep_the_newest(self, build: Build) -> None:
        """Only now are others seen that were queued at the same time, some of them later."""
        for other in await self._store.builds.waiting(build.site_id):
            if replaces(build, other):
                await self._call_off(other, f"superseded by build {build.id}")
            elif replaces(other, build):
                await self._call_off(build, f"superseded by build {other.id}")

    async def rerun(self, build: Build, *, urgent: bool = False, why: str = "rerun") -> Build:
        """Queue a build of exactly the commit that an earlier build was of.

        Raises: ConflictError when that build never got to know its commit;
        UsageError as `start`.
        """
        self._need_builds_of_commits()
        if build.commit_ref is None:
            raise ConflictError(
                f"build {build.id} has no commit yet: it is {build.state}",
                hint="start a build of the branch head instead",
            )
        site = await self._store.sites.get(build.site_id)
        return await self.start(
            site,
            commit_ref=build.commit_ref,
            branch=build.branch,
            title=f"rerun of build {build.id}",
            urgent=urgent,
            why=why,
        )

    async def cancel(self, build: Build) -> Build:
        """Call a build off; one that has ended stays as it is, and nothing is unpublished.

        Raises: ConflictError when it changed hands at this moment.
        """
        if not build.state.ended or build.state is BuildState.STUCK:
            await self._call_off(build, "cancelled")
        current = await self._store.builds.get(build.id)
        if not current.state.ended:
            raise ConflictError(f"build {build.id} is {current.state}", hint="try again")
        return current

    async def push_stuck(self, build: Build) -> Verdict:
        """Publish the whole deploy of a build that stuck at the publish check.

        Raises: ConflictError when the build is not stuck.
        """
        if build.state is not BuildState.STUCK or build.deploy_id is None:
            raise ConflictError(f"build {build.id} is {build.state}, not stuck")
        verdict = await self._publisher.push(build.deploy_id)
        await self._end(build, BuildState.DONE, "pushed through")
        self._events(
            "build.pushed", build.id, site=build.site_id, deploy=build.deploy_id, verdict=verdict
        )
        return verdict

    async def _call_off(self, build: Build, why: str) -> None:
        """The build ends first: from then on its worker can begin no other deploy for it.

        A deploy that was about to be published is brought to its end instead:
        its worker may be gone, and nobody takes over a build that has ended.
        """
        if not await self._end(build, BuildState.CANCELLED, why):
            return
        await self._store.deploys.give_up_of_build(build, DeployState.CANCELLED, why)
        self._events("build.cancelled", build.id, site=build.site_id, outcome=why)
        # The caller's copy may be older than the deploy.
        current = await self._store.builds.get(build.id)
        if current.deploy_id is not None:
            deploy = await self._store.deploys.find(current.deploy_id)
            if isinstance(deploy, Deploy) and deploy.completed:
                await self._publisher.publish(deploy.id)

    async def _end(self, build: Build, state: BuildState, why: str) -> bool:
        return await self._store.builds.end(build, state, at=self._clock.now(), log=[why])

    def _need_builds_of_commits(self) -> None:
        if "rebuild-by-commit" not in self._safeguards:
            raise UsageError(
                "only the head of a branch can be built",
                hint="switch the safeguard rebuild-by-commit on",
            )
