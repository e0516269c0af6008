"""Health, readiness and metrics of the origin, for hosts that are no site's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prometheus_client import generate_latest

from blackstart.errors import DatabaseError, StorageError
from blackstart.origin.answer import Answer, problem
from blackstart.origin.metrics import OriginMetrics, Reason
from blackstart.store import MetadataStore, ObjectStore

_PREFIX = "/.blackstart"


class Operations:
    """Pages at `/healthz`, `/readyz` and `/metrics`, and at the same below `/.blackstart`."""

    def __init__(self, store: MetadataStore, objects: ObjectStore, metrics: OriginMetrics) -> None:
        self._store = store
        self._objects = objects
        self._metrics = metrics
        self._pages: dict[str, Callable[[], Awaitable[Answer]]] = {
            "/healthz": self._alive,
            "/readyz": self._ready,
            "/metrics": self._numbers,
        }

    def has(self, path: str) -> bool:
        """Whether a path is the operators'; a mistaken one below the prefix is too."""
        return path in self._pages or path.startswith(f"{_PREFIX}/")

    async def answer(self, path: str) -> Answer:
        """The page; 404 for one that does not exist."""
        page = self._pages.get(path.removeprefix(_PREFIX))
        return problem(404, Reason.NO_SUCH_PATH, "Not found.") if page is None else await page()

    async def _alive(self) -> Answer:
        return _plain("ok\n")

    async def _ready(self) -> Answer:
        """One line for each store that does not answer."""
        failed = []
        for name, ping in (("database", self._store.ping), ("object store", self._objects.ping)):
            try:
                await ping()
            except (DatabaseError, StorageError):
                # The reason holds addresses, and whoever asks may be a stranger.
                failed.append(f"{name} does not answer")
        if failed:
            return problem(503, Reason.UNAVAILABLE, "\n".join(failed))
        return _plain("ok\n")

    async def _numbers(self) -> Answer:
        body = generate_latest(self._metrics.registry)
        fields = {"content-type": "text/plain; version=0.0.4", "cache-control": "no-store"}
        return Answer(200, Reason.SERVED, fields, body)


def _plain(text: str) -> Answer:
    fields = {"content-type": "text/plain", "cache-control": "no-store"}
    return Answer(200, Reason.SERVED, fields, text.encode())
