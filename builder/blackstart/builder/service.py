"""The worker as a server, put together from its settings."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pymongo.errors import PyMongoError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from blackstart.builder.build import Builder
from blackstart.builder.command import Limits
from blackstart.builder.git import Git
from blackstart.builder.worker import Worker
from blackstart.clock import WallClock
from blackstart.control.deploys import DeployService
from blackstart.control.publish import Publisher
from blackstart.control.purge import NodePurge
from blackstart.control.queue import BuildQueue
from blackstart.control.service import node_purge, pointer_log
from blackstart.events import log_events
from blackstart.seed import Seed
from blackstart.settings import Settings
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.metadata import connect
from blackstart.web.metrics import HttpMetrics
from blackstart.web.probes import HEALTHZ, WORKER_HEALTHZ, probe_endpoints
from blackstart.web.requests import RequestLog

POLL_S = 1.0
BEAT_S = 0.5
BUILD_GRACE_S = 5.0
"""How long a build under way may take to end once the worker was asked to stop."""
IDLE_GRACE_S = 1.0
"""The same for what lies between two builds: a look at the queue, the note of how one ended."""


@dataclass(frozen=True)
class WorkerService:
    """`work` ends only by breaking down; `app` answers probes."""

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
    settings.needed_purge_token()
    clock = WallClock()
    async with (
        connect(uri, settings.database) as store,
        node_purge(settings, store, clock) as purge,
        pointer_log(settings, "worker", objects, clock=clock, events=events) as pointers,
    ):
        deploys = DeployService(
            store,
            objects,
            clock=clock,
            seed=Seed.from_entropy(),
            safeguards=safeguards,
            events=events,
            pointers=pointers,
        )
        publisher = Publisher(store, purge, clock=clock, safeguards=safeguards, events=events)
        queue = BuildQueue(store, clock=clock, events=events, lease_s=settings.lease_s)
        git = Git(settings.git_cache, settings.repository_policy())
        commands = Limits.from_settings(settings)
        worker = Worker(
            f"{socket.gethostname()}-{os.getpid()}",
            store,
            queue,
            Builder(store, deploys, publisher, git, commands=commands),
            clock=clock,
            events=events,
            doorbell=clock.event(),
            poll_s=POLL_S,
            beat_s=BEAT_S,
        )
        work = asyncio.ensure_future(worker.run_forever())
        try:
            yield WorkerService(_health_app(store, purge), work)
        finally:
            await _stop(worker, work)


async def _stop(worker: Worker, work: asyncio.Task[None]) -> None:
    """Let the build in hand end; when it takes too long, leave it to another worker."""
    worker.stop()
    await asyncio.wait([work], timeout=IDLE_GRACE_S if worker.job is None else BUILD_GRACE_S)
    work.cancel()
    await asyncio.wait([work])
    with contextlib.suppress(PyMongoError, TimeoutError):
        await asyncio.wait_for(worker.give_back(), IDLE_GRACE_S)


def _health_app(store: MetadataStore, purge: NodePurge) -> Starlette:
    metrics = HttpMetrics("worker")
    metrics.registry.register(purge.silent)
    probes = probe_endpoints(metrics.registry, {"database": store.ping})
    probes[WORKER_HEALTHZ] = probes[HEALTHZ]
    return Starlette(
        routes=[Route(path, endpoint) for path, endpoint in probes.items()],
        middleware=[Middleware(RequestLog, metrics=metrics, seed=Seed.from_entropy())],
    )
