"""The schedule of snapshots as a server, put together from its settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from blackstart.clock import WallClock
from blackstart.errors import StorageError
from blackstart.events import Events, log_events
from blackstart.recovery.settings import RecoverySettings
from blackstart.recovery.snapshots.schedule import Schedule
from blackstart.recovery.snapshots.snapshots import Snapshots
from blackstart.recovery.snapshots.source import Database
from blackstart.seed import Seed
from blackstart.store import ObjectStore
from blackstart.store.metadata import connect
from blackstart.web.metrics import HttpMetrics
from blackstart.web.probes import HEALTHZ, WORKER_HEALTHZ, probe_endpoints
from blackstart.web.requests import RequestLog


@dataclass(frozen=True)
class SnapshotService:
    """`work` ends only by breaking down; `app` answers probes."""

    app: Starlette
    work: asyncio.Task[None]


@asynccontextmanager
async def snapshot_service(settings: RecoverySettings) -> AsyncIterator[SnapshotService]:
    """A schedule at work; at the end the snapshot that is being taken is given up, in order.

    A database that is away is waited for. Raises: UsageError for settings that are missing.
    """
    settings.needed_mongodb_uri()
    snapshots = Snapshots(
        ObjectStore.open(settings.needed_object_store()), sealer=settings.sealer()
    )
    http = HttpMetrics("snapshots")
    events = SnapshotMetrics(http.registry, log_events("snapshots"))
    schedule = schedule_of(settings, snapshots, events)
    work = asyncio.ensure_future(schedule.run())
    try:
        yield SnapshotService(_health_app(settings, schedule, http), work)
    finally:
        work.cancel()
        await asyncio.wait([work])


def schedule_of(settings: RecoverySettings, snapshots: Snapshots, events: Events) -> Schedule:
    """The schedule that the settings tell of, on the system's clock. Raises: UsageError."""
    uri = settings.needed_mongodb_uri()

    @asynccontextmanager
    async def open_database() -> AsyncIterator[Database]:
        async with connect(uri, settings.database) as store:
            yield store.database

    return Schedule(
        snapshots,
        open_database,
        settings.database,
        every=settings.every(),
        keep=settings.keep(),
        clock=WallClock(),
        seed=Seed.from_entropy(),
        events=events,
        lease_s=settings.lease_s,
    )


class SnapshotMetrics:
    """Counts what a schedule tells of, and passes it on."""

    def __init__(self, registry: CollectorRegistry, events: Events) -> None:
        self._events = events
        self._taken = Counter(
            "blackstart_snapshots_taken", "Snapshots taken by schedule.", registry=registry
        )
        self._failed = Counter(
            "blackstart_snapshots_failed", "Tries that failed.", registry=registry
        )
        self._new_bytes = Counter(
            "blackstart_snapshots_new_bytes", "Bytes that snapshots added.", registry=registry
        )
        self._newest = Gauge(
            "blackstart_snapshots_newest_timestamp_seconds",
            "When this process last ended a snapshot.",
            registry=registry,
        )
        self._seconds = Gauge(
            "blackstart_snapshots_last_duration_seconds",
            "How long the last one took.",
            registry=registry,
        )

    def __call__(self, action: str, subject: str, **details: Any) -> None:
        if action == "snapshot.taken":
            self._taken.inc()
            self._new_bytes.inc(details["new_bytes"])
            self._seconds.set(details["seconds"])
            self._newest.set(WallClock().time())
        elif action == "snapshot.failed":
            self._failed.inc()
        self._events(action, subject, **details)


def _health_app(settings: RecoverySettings, schedule: Schedule, metrics: HttpMetrics) -> Starlette:
    async def database() -> None:
        async with connect(settings.needed_mongodb_uri(), settings.database):
            pass

    async def last_try() -> None:
        if schedule.failures:
            raise StorageError(f"no snapshot in {schedule.failures} tries")

    checks = {"database": database, "snapshots": last_try}
    probes = probe_endpoints(metrics.registry, checks)
    probes[WORKER_HEALTHZ] = probes[HEALTHZ]
    return Starlette(
        routes=[Route(path, endpoint) for path, endpoint in probes.items()],
        middleware=[Middleware(RequestLog, metrics=metrics, seed=Seed.from_entropy())],
    )
