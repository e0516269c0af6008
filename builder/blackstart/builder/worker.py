"""A worker: claims builds one at a time and runs them."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext

import structlog
from pymongo.errors import PyMongoError

from blackstart.builder.build import Builder
from blackstart.builder.job import Job
from blackstart.clock import Clock, Event
from blackstart.control.queue import BuildQueue
from blackstart.errors import BlackstartError, PublishCheckError
from blackstart.events import Events
from blackstart.model import Build, BuildState, DeployState
from blackstart.store import MetadataStore


class Worker:
    """Takes the queue's next build whenever the doorbell rings or the poll time is over.

    `beat_s` is how often a running build's lease and log are seen to; None where no build
    can outlive its lease.
    """

    def __init__(
        self,
        name: str,
        store: MetadataStore,
        queue: BuildQueue,
        builder: Builder,
        *,
        clock: Clock,
        events: Events,
        doorbell: Event,
        poll_s: float | None,
        beat_s: float | None,
    ) -> None:
        self.name = name
        self.job: Job | None = None
        self._store = store
        self._queue = queue
        self._builder = builder
        self._clock = clock
        self._events = events
        self._doorbell = doorbell
        self._poll_s = poll_s
        self._beat_s = beat_s
        self._stopping = False

    async def run_forever(self) -> None:
        """Work until cancelled or asked to `stop`; a database that is away is waited for."""
        while not self._ending():
            self._doorbell.clear()
            try:
                while await self.run_one() and not self._ending():
                    pass
            except PyMongoError as error:
                self._events("worker.database_away", self.name, error=type(error).__name__)
            if not self._ending():
                await self._doorbell.wait(self._poll_s)

    def stop(self) -> None:
        """Take no more builds; `run_forever` returns when the one in hand is done."""
        self._stopping = True
        self._doorbell.set()

    async def run_one(self) -> bool:
        """Claim and run one build; False when there is none."""
        build = await self._queue.take(self.name)
        if build is None:
            return False
        self.job = Job(build, self._store, self._queue, self._clock)
        with structlog.contextvars.bound_contextvars(build_id=build.id, site_id=build.site_id):
            async with self._heartbeat(self.job):
                await self._run(self.job)
        self.job = None
        return True

    async def give_back(self) -> None:
        """After a cancelled build: let another worker go on with it at once."""
        if self.job is not None:
            await self._queue.give_back(self.job.build)

    def _heartbeat(self, job: Job) -> AbstractAsyncContextManager[None]:
        if self._beat_s is None:
            return nullcontext()
        return self._clock.beside(f"{self.name}-heartbeat", job.heartbeat(self._beat_s))

    async def _run(self, job: Job) -> None:
        try:
            verdict = await self._builder.run(job)
        except PublishCheckError as error:
            await self._end(job, BuildState.STUCK, error.message)
        except (BlackstartError, OSError, ValueError) as error:
            await self._fail_deploy(job.build, str(error))
            await self._end(job, BuildState.ERROR, str(error))
        else:
            await self._end(job, BuildState.DONE, None, outcome=verdict)

    async def _end(
        self, job: Job, state: BuildState, error: str | None, *, outcome: str | None = None
    ) -> None:
        build = job.build
        if error is not None:
            job.log(error)
        ended = await self._store.builds.end(
            build, state, at=self._clock.now(), log=job.unsaved(), error=error
        )
        if not ended:
            self._events("build.taken_over", build.id, site=build.site_id, worker=self.name)
            return
        current = await self._store.builds.find(build.id) or build
        self._events(
            f"build.{state}",
            build.id,
            site=build.site_id,
            deploy=current.deploy_id,
            commit=current.commit_ref,
            outcome=outcome or error,
        )

    async def _fail_deploy(self, build: Build, why: str) -> None:
        """Give up what the build made, unless another worker goes on with it or will.

        A lease renewed right before keeps that from changing meanwhile.
        """
        held = await self._queue.renew(build)
        current = await self._store.builds.find(build.id)
        if current is not None and (held or current.state is BuildState.CANCELLED):
            await self._store.deploys.give_up_of_build(build, DeployState.ERROR, why)

    def _ending(self) -> bool:
        return self._stopping or _cancelled()


def _cancelled() -> bool:
    """Whether this task was asked to end, even if the request was lost on its way.

    The driver waits with `asyncio.wait_for`, and in Python 3.11 that drops a
    cancellation which arrives together with its result.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
