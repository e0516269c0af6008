"""Files on their way from API clients: which deploy they belong to, and when the last is there."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeGuard

from blackstart.control.deploys import DeployService, valid
from blackstart.control.publish import Publisher
from blackstart.errors import ConflictError, NotFoundError, PublishCheckError
from blackstart.model import Deploy, DeployState, InvalidDeploy, ManifestFile
from blackstart.store import MetadataStore

PATHS_KEPT = 200_000
"""How many paths of announced deploys are kept in memory, some 100 bytes each."""


@dataclass
class _Open:
    """A deploy that is being uploaded: its digests by path, and those not seen to be stored."""

    digests: dict[str, str]
    missing: set[str]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Incoming:
    """Takes files and moves a deploy on as soon as nothing is missing.

    What it remembers only saves questions: after a restart, or beside another
    control plane, the object store is asked what has arrived.
    """

    def __init__(self, store: MetadataStore, deploys: DeployService, publisher: Publisher) -> None:
        self._store = store
        self._deploys = deploys
        self._publisher = publisher
        self._open: OrderedDict[str, _Open] = OrderedDict()

    async def receive(
        self, deploy_id: str, path: str, chunks: AsyncIterable[bytes]
    ) -> ManifestFile:
        """Take the bytes of one announced file; they may come late, and again.

        Raises: NotFoundError for an unknown deploy or path; ConflictError when
        the deploy is over or nothing was announced; DigestMismatchError,
        TooLargeError: nothing is stored then.
        """
        state = await self._store.deploys.state(deploy_id)
        if state in (DeployState.ERROR, DeployState.CANCELLED):
            raise ConflictError(f"deploy {deploy_id} is over: {state}", hint="make a new deploy")
        if state is DeployState.NEW:
            raise ConflictError(
                f"deploy {deploy_id} has no list of files yet", hint="announce its files first"
            )
        deploy = await self._opened(deploy_id)
        sha1 = deploy.digests.get(path)
        if sha1 is None:
            raise NotFoundError(f"deploy {deploy_id} was announced without a file {path!r}")
        size = await self._deploys.upload(sha1, chunks)
        deploy.missing.discard(sha1)
        if not deploy.missing:
            await self.advance(deploy_id)
        return ManifestFile(path=path, sha1=sha1, size=size)

    async def advance(self, deploy_id: str) -> Deploy | InvalidDeploy:
        """Take an API client's deploy as far as it gets by itself, and return it as it is then.

        Builds see to their own deploys. Raises: NotFoundError; StorageError.
        """
        deploy = await self._store.deploys.get(deploy_id)
        if not _is_ours(deploy):
            return deploy
        opened = await self._opened(deploy_id)
        async with opened.lock:
            # Somebody else moved it on, or the publish check holds it: look again later.
            with suppress(ConflictError, PublishCheckError):
                await self._advance(deploy_id, opened)
        return await self._store.deploys.get(deploy_id)

    async def missing(self, deploy: Deploy) -> list[str]:
        """What the client still has to send, sorted."""
        if deploy.state is not DeployState.UPLOADING:
            return []
        opened = await self._opened(deploy.id)
        await self._look(opened)
        return sorted(opened.missing)

    async def _advance(self, deploy_id: str, opened: _Open) -> None:
        deploy = await self._store.deploys.get(deploy_id)
        if not _is_ours(deploy):
            return
        if deploy.metadata.tree is None:
            await self._look(opened)
            if opened.missing:
                return
            await self._deploys.finish(deploy_id)
        await self._publisher.publish(deploy_id)

    async def _look(self, opened: _Open) -> None:
        """Ask the object store about all that was not seen to arrive here."""
        if opened.missing:
            opened.missing -= await self._deploys.stored(opened.missing)

    async def _opened(self, deploy_id: str) -> _Open:
        known = self._open.get(deploy_id)
        if known is None:
            deploy = valid(await self._store.deploys.get(deploy_id))
            manifest = await self._store.deploys.manifest(deploy_id)
            digests = {file.path: file.sha1 for file in manifest.files}
            known = _Open(digests, set(deploy.metadata.pending_uploads))
            known = self._open.setdefault(deploy_id, known)
            self._forget_the_oldest(but=deploy_id)
        self._open.move_to_end(deploy_id)
        return known

    def _forget_the_oldest(self, *, but: str) -> None:
        kept = sum(len(opened.digests) for opened in self._open.values())
        while kept > PATHS_KEPT and next(iter(self._open)) != but:
            _, dropped = self._open.popitem(last=False)
            kept -= len(dropped.digests)


def _is_ours(deploy: Deploy | InvalidDeploy) -> TypeGuard[Deploy]:
    """Whether a client uploads it and there is something left to do."""
    return (
        isinstance(deploy, Deploy)
        and deploy.build_id is None
        and deploy.state in (DeployState.UPLOADING, DeployState.PROCESSING)
    )
