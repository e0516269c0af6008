"""Hops at a distance: the real thing behind modelled latency, so that slowness and races exist."""

from __future__ import annotations

from collections.abc import AsyncIterable
from pathlib import Path
from random import Random

import httpx2

from blackstart.builder.git import Checkout, Source
from blackstart.clock import Clock
from blackstart.model import Repo
from blackstart.store import ObjectStore


class DistantSource:
    """A git host that takes its time: `Source` over another one."""

    def __init__(self, source: Source, clock: Clock, random: Random) -> None:
        self._source = source
        self._clock = clock
        self._random = random

    async def head(self, repo: Repo) -> str:
        await self._clock.sleep(self._random.uniform(0.2, 1.0))
        return await self._source.head(repo)

    async def checkout(self, repo: Repo, commit: str, folder: Path) -> Checkout:
        """Clone, then install and run the site's generator, as one stretch of time."""
        await self._clock.sleep(self._random.uniform(20.0, 75.0))
        return await self._source.checkout(repo, commit, folder)


class DistantObjects(ObjectStore):
    """An object store across a network: each upload takes a moment."""

    def __init__(self, objects: ObjectStore, clock: Clock, random: Random) -> None:
        super().__init__(objects.backend)
        self._clock = clock
        self._random = random

    async def put_blob_stream(
        self, chunks: AsyncIterable[bytes], sha1: str, *, max_bytes: int
    ) -> int:
        await self._clock.sleep(self._random.uniform(0.02, 0.2))
        return await super().put_blob_stream(chunks, sha1, max_bytes=max_bytes)


class DistantTransport(httpx2.AsyncBaseTransport):
    """A network in front of an in-process application."""

    def __init__(self, app: httpx2.AsyncBaseTransport, clock: Clock, random: Random) -> None:
        self._app = app
        self._clock = clock
        self._random = random

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await self._clock.sleep(self._random.uniform(0.02, 0.1))
        return await self._app.handle_async_request(request)
