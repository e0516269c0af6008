"""The build queue as workers see it: take a build, hold on to it, or find it gone."""

from __future__ import annotations

from datetime import timedelta

from blackstart.clock import Clock
from blackstart.events import Events
from blackstart.model import Build, BuildState, Deploy, DeployState, Lease
from blackstart.store import MetadataStore

MAX_ATTEMPTS = 3


class BuildQueue:
    """Hands out builds under a lease of `lease_s` seconds, which their worker renews.

    The order is priority, then age; a site has one running build at most.
    """

    def __init__(
        self, store: MetadataStore, *, clock: Clock, events: Events, lease_s: float
    ) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self.lease_s = lease_s

    async def take(self, worker: str) -> Build | None:
        """Claim the next build for a worker; None when there is none to be had."""
        await self._free_expired()
        builds = self._store.builds
        busy: list[str] = await builds.busy_sites()
        while (build := await builds.next_queued(busy=busy)) is not None:
            now = self._clock.now()
            lease = Lease(worker=worker, until=now + timedelta(seconds=self.lease_s))
            claimed = await builds.claim(build, lease, now)
            if claimed is not None:
                self._events("build.started", build.id, site=build.site_id, worker=worker)
                return claimed
            # Somebody else took it, or a build of its site: look further.
            busy.append(build.site_id)
        return None

    async def renew(self, build: Build) -> bool:
        """Hold on to a build for another lease; False when it is the worker's no more."""
        until = self._clock.now() + timedelta(seconds=self.lease_s)
        return await self._store.builds.renew(build, until)

    async def give_back(self, build: Build) -> bool:
        """Return a build that was not finished, for another worker to go on with at once."""
        given = await self._store.builds.requeue(build)
        if given:
            self._events("build.requeued", build.id, site=build.site_id, attempt=build.attempt)
        return given

    async def _free_expired(self) -> None:
        """Builds of workers that died go back into the queue, or end when that did not help."""
        for build in await self._store.builds.expired(self._clock.now()):
            newer = await self._newer(build)
            if newer is not None:
                await self._close(build, DeployState.CANCELLED, f"superseded by build {newer.id}")
            elif build.attempt >= MAX_ATTEMPTS:
                await self._close(
                    build, DeployState.ERROR, f"given up: {build.attempt} workers died"
                )
            else:
                await self.give_back(build)

    async def _newer(self, build: Build) -> Build | None:
        """A waiting build of a later head, which makes this one needless."""
        if build.pinned:
            return None
        for other in await self._store.builds.waiting(build.site_id):
            if replaces(other, build):
                return other
        return None

    async def _close(self, build: Build, state: DeployState, why: str) -> None:
        """End the build and what it made; a deploy that visitors may see is gone on with."""
        await self._store.deploys.give_up_of_build(build, state, why)
        if await self._is_completed(build):
            await self.give_back(build)
            return
        ended = BuildState(state)
        closed = await self._store.builds.end(
            build, ended, at=self._clock.now(), log=[why], error=why
        )
        if closed:
            self._events(f"build.{ended}", build.id, site=build.site_id, outcome=why)

    async def _is_completed(self, build: Build) -> bool:
        if build.deploy_id is None:
            return False
        deploy = await self._store.deploys.find(build.deploy_id)
        return isinstance(deploy, Deploy) and deploy.completed


def replaces(newer: Build, older: Build) -> bool:
    """Whether the head that `newer` builds makes a build of the head before needless."""
    return (
        not newer.pinned
        and not older.pinned
        and newer.branch == older.branch
        and (newer.created_at, newer.id) > (older.created_at, older.id)
    )
