"""The worker as a server, put together from its settings."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from blackstart.builder.build import Builder
from blackstart.builder.command import Limits
from blackstart.builder.git import Git
from blackstart.builder.worker import Worker
from blackstart.clock import Event, WallClock
from blackstart.control.deploys import DeployService
from blackstart.control.publish import Publisher, Verdict
from blackstart.control.service import node_purge
from blackstart.events import Events, log_events
from blackstart.model import Build
from blackstart.seed import Seed
from blackstart.settings import Settings
from blackstart.store import ObjectStore
from blackstart.store.metadata import connect

POLL_S = 1.0
BUILD_GRACE_S = 5.0
"""How long a build under way may take to end once the worker was asked to stop."""
IDLE_GRACE_S = 1.0
"""The same for what lies between two builds: a look at the queue, the note of how one ended."""


@dataclass(frozen=True)
class WorkerService:
    """`work` ends only by breaking down; `app` answers health checks."""

    app: Starlette
    work: asyncio.Task[None]


@asynccontextmanager
async def worker_service(settings: Settings) -> AsyncIterator[WorkerService]:
    """A worker at work; at the end it takes no more builds and finishes the one it has.

    Raises: UsageError for settings that are missing; DatabaseError.
    """
    safeguards = settings.switches()
    uri = settings.needed_mongodb_uri()
    objects = ObjectStore.open(settings.needed_object_store())
    events = log_events("worker")
    clock = WallClock()
    async with node_purge(settings) as purge, connect(uri, settings.database) as store:
        deploys = DeployService(
            store,
            objects,
            clock=clock,
            seed=Seed.from_entropy(),
            safeguards=safeguards,
            events=events,
        )
        publisher = Publisher(store, purge, clock=clock, safeguards=safeguards, events=events)
        doorbell = clock.event()
        git = Git(settings.git_cache, settings.repository_policy())
        commands = Limits.from_settings(settings)
        builder = _BusyBuilder(store, deploys, publisher, git, commands=commands)
        worker = Worker(
            f"{socket.gethostname()}-{os.getpid()}",
            store,
            builder,
            clock=clock,
            events=events,
            doorbell=doorbell,
            poll_s=POLL_S,
        )
        stopping = clock.event()
        work = asyncio.ensure_future(_work(worker, doorbell, stopping, events))
        try:
            yield WorkerService(_health_app(), work)
        finally:
            stopping.set()
            doorbell.set()
            await asyncio.wait([work], timeout=BUILD_GRACE_S if builder.busy else IDLE_GRACE_S)
            work.cancel()
            await asyncio.wait([work])


class _BusyBuilder(Builder):
    """A builder that can be asked whether it has a build in hand."""

    busy = False

    async def run(self, build: Build, log: list[str]) -> Verdict:
        self.busy = True
        try:
            return await super().run(build, log)
        finally:
            self.busy = False


async def _work(worker: Worker, doorbell: Event, stopping: Event, events: Events) -> None:
    """As `Worker.run_forever`, with a place to stop between two builds."""
    while not stopping.is_set():
        try:
            busy = await worker.run_one()
        except PyMongoError as error:
            events("worker.database_away", "worker", error=type(error).__name__)
            busy = False
        if not busy:
            await doorbell.wait(POLL_S)


def _health_app() -> Starlette:
    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(routes=[Route("/.blackstart/healthz", healthz)])
