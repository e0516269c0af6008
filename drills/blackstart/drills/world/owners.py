"""Site owners: they push commits, and some begin a deploy from a laptop that is cut off."""

from __future__ import annotations

import hashlib
from random import Random

from blackstart.builder.git import read_blobs
from blackstart.drills.journal import Journal
from blackstart.drills.world.clock import VirtualClock
from blackstart.drills.world.fleet import FleetSite
from blackstart.drills.world.repositories import BRANCH, move_branch
from blackstart.drills.world.services import Services
from blackstart.model import ManifestFile
from blackstart.store.objects import one_chunk


class Owner:
    """The person behind one site."""

    def __init__(
        self, site: FleetSite, services: Services, clock: VirtualClock, journal: Journal
    ) -> None:
        self._site = site
        self._services = services
        self._clock = clock
        self._journal = journal
        self._next = site.deployed

    async def push_at(self, time: float) -> None:
        """Push the next commit; the platform builds what is pushed."""
        await self._clock.sleep(time - self._clock.time())
        commit = self._site.commit(self._next)
        self._next += 1
        move_branch(self._site.repository, commit.id)
        site = await self._services.store.sites.by_name(self._site.name)
        assert site is not None
        self._journal("git.push", self._site.name, commit=commit.id)
        await self._services.builds.start(site, why="push")

    async def deploy_cut_off_at(self, time: float, random: Random) -> None:
        """Deploy the next commit from a working copy; the line drops half-way through."""
        await self._clock.sleep(time - self._clock.time())
        site = await self._services.store.sites.by_name(self._site.name)
        assert site is not None
        wanted = self._site.commit(self._next).files
        contents = dict(
            zip(wanted, read_blobs(self._site.repository, list(wanted.values())), strict=True)
        )
        digests = {path: _sha1(data) for path, data in contents.items()}
        files = [
            ManifestFile(path=path, sha1=digests[path], size=len(data))
            for path, data in sorted(contents.items())
        ]
        deploy = await self._services.deploys.create(site.id, files, branch=BRANCH)
        required = deploy.metadata.pending_uploads
        by_digest = {digests[path]: data for path, data in contents.items()}
        arrived = random.randint(0, len(required) - 1)
        for sha1 in required[:arrived]:
            await self._services.deploys.upload(sha1, one_chunk(by_digest[sha1]))
        self._journal(
            "upload.cut_off", deploy.id, site=site.id, required=len(required), arrived=arrived
        )


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
