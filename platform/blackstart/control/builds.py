"""Asking for builds, and pushing stuck ones through."""

from __future__ import annotations

from blackstart.clock import Clock, Event
from blackstart.control.publish import Publisher, Verdict
from blackstart.errors import ConflictError, UsageError
from blackstart.events import Events
from blackstart.model import Build, BuildState, Site
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore

PRIORITY_STEP = 10


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

    async def start(self, site: Site, *, commit_ref: str | None = None, why: str = "") -> Build:
        """Queue a build of the branch head, or of one commit with `rebuild-by-commit`.

        Raises: UsageError when the site has no repository, or a commit was
        named and only heads can be built.
        """
        if site.repo is None:
            raise UsageError(f"site {site.name} has no repository to build")
        if commit_ref is not None and "rebuild-by-commit" not in self._safeguards:
            raise UsageError(
                "only the head of a branch can be built",
                hint="switch the safeguard rebuild-by-commit on",
            )
        build = Build(
            id=self._seed.new_id(),
            site_id=site.id,
            deploy_id=None,
            commit_ref=commit_ref,
            branch=site.repo.branch,
            state=BuildState.QUEUED,
            priority=site.plan.sla_rank * PRIORITY_STEP,
            created_at=self._clock.now(),
        )
        await self._store.builds.insert(build)
        self._events("build.queued", build.id, site=site.id, commit=commit_ref, why=why)
        self._doorbell.set()
        return build

    async def push_stuck(self, build: Build) -> Verdict:
        """Publish the whole deploy of a build that stuck at the publish check.

        Raises: ConflictError when the build is not stuck.
        """
        if build.state is not BuildState.STUCK or build.deploy_id is None:
            raise ConflictError(f"build {build.id} is {build.state}, not stuck")
        verdict = await self._publisher.push(build.deploy_id)
        await self._store.builds.end(build, BuildState.DONE, log=["pushed through"])
        self._events(
            "build.pushed", build.id, site=build.site_id, deploy=build.deploy_id, verdict=verdict
        )
        return verdict
