"""A worker: claims builds one at a time and runs them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from pymongo.errors import PyMongoError

from blackstart.builder.build import Builder
from blackstart.clock import Clock, Event
from blackstart.errors import BlackstartError, PublishCheckError
from blackstart.events import Events
from blackstart.model import Build, BuildState, DeployState, Lease
from blackstart.store import MetadataStore

LEASE = timedelta(minutes=15)


class Worker:
    """Takes the queue's next build whenever the doorbell rings or the poll time is over."""

    def __init__(
        self,
        name: str,
        store: MetadataStore,
        builder: Builder,
        *,
        clock: Clock,
        events: Events,
        doorbell: Event,
        poll_s: float | None,
    ) -> None:
        self.name = name
        self._store = store
        self._builder = builder
        self._clock = clock
        self._events = events
        self._doorbell = doorbell
        self._poll_s = poll_s

    async def run_forever(self) -> None:
        """Work until cancelled; a database that is away is waited for."""
        while not _cancelled():
            self._doorbell.clear()
            try:
                while await self.run_one() and not _cancelled():
                    pass
            except PyMongoError as error:
                self._events("worker.database_away", self.name, error=type(error).__name__)
            if not _cancelled():
                await self._doorbell.wait(self._poll_s)

    async def run_one(self) -> bool:
        """Claim and run one build; False when there is none."""
        while True:
            build = await self._store.builds.next_claimable(self._clock.now())
            if build is None:
                return False
            lease = Lease(worker=self.name, until=self._clock.now() + LEASE)
            if await self._store.builds.claim(build, lease):
                build = build.model_copy(update={"state": BuildState.RUNNING, "lease": lease})
                break
        self._events("build.started", build.id, site=build.site_id, worker=self.name)
        await self._run(build)
        return True

    async def _run(self, build: Build) -> None:
        log: list[str] = []
        try:
            verdict = await self._builder.run(build, log)
        except PublishCheckError as error:
            await self._end(build, BuildState.STUCK, log, error.message)
        except (BlackstartError, OSError, ValueError) as error:
            await self._fail_deploy(build)
            await self._end(build, BuildState.ERROR, log, str(error))
        else:
            await self._end(build, BuildState.DONE, log, None, outcome=verdict)

    async def _end(
        self,
        build: Build,
        state: BuildState,
        log: list[str],
        error: str | None,
        *,
        outcome: str | None = None,
    ) -> None:
        lines = log if error is None else [*log, error]
        if not await self._store.builds.end(build, state, log=lines, error=error):
            self._events("build.taken_over", build.id, site=build.site_id, worker=self.name)
            return
        ended = await self._store.builds.get(build.id)
        self._events(
            f"build.{state}",
            build.id,
            site=build.site_id,
            deploy=ended.deploy_id,
            commit=ended.commit_ref,
            outcome=outcome or error,
        )

    async def _fail_deploy(self, build: Build) -> None:
        current = await self._store.builds.get(build.id)
        if current.deploy_id is not None and current.lease == build.lease:
            await self._store.deploys.move(
                current.deploy_id,
                from_states=[DeployState.NEW, DeployState.UPLOADING, DeployState.PROCESSING],
                to=DeployState.ERROR,
            )


def _cancelled() -> bool:
    """Whether this task was asked to end, even if the request was lost on its way.

    The driver waits with `asyncio.wait_for`, and in Python 3.11 that drops a
    cancellation which arrives together with its result.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
