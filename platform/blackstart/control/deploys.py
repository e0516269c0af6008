"""The life of a deploy up to its pointer: announced, uploaded, made into a tree."""

from __future__ import annotations

from collections.abc import Sequence

from blackstart.clock import Clock
from blackstart.control.uploads import required_uploads
from blackstart.errors import ConflictError, InvalidDeployError, UsageError
from blackstart.events import Events
from blackstart.model import (
    Deploy,
    DeployState,
    InvalidDeploy,
    Manifest,
    ManifestFile,
    Metadata,
    Tree,
    TreeEntry,
)
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore

NUMBER_ATTEMPTS = 8


class DeployService:
    """Announce files, take uploads, write the tree, set the pointer."""

    def __init__(
        self,
        store: MetadataStore,
        objects: ObjectStore,
        *,
        clock: Clock,
        seed: Seed,
        safeguards: Safeguards,
        events: Events,
    ) -> None:
        self._store = store
        self._objects = objects
        self._clock = clock
        self._seed = seed
        self._safeguards = safeguards
        self._events = events

    async def announce(
        self,
        site_id: str,
        files: Sequence[ManifestFile],
        *,
        branch: str,
        commit_ref: str | None = None,
        build_id: str | None = None,
    ) -> Deploy:
        """Create a deploy of `files`; its `pending_uploads` are what must be sent.

        Raises: UsageError for a path that leaves the site or stands twice;
        ConflictError when other deploys of the site keep taking the number.
        """
        _check_paths(files)
        deploy_id = self._seed.new_id()
        required = await required_uploads(
            files,
            site_id=site_id,
            deploy_id=deploy_id,
            store=self._store,
            objects=self._objects,
            safeguards=self._safeguards,
        )
        metadata = Metadata(
            tree=None,
            completed_at=None,
            file_count=len(files),
            byte_count=sum(file.size for file in files),
            pending_uploads=required,
        )
        manifest = Manifest(id=deploy_id, files=list(files))
        for attempt in range(NUMBER_ATTEMPTS):
            deploy = Deploy(
                id=deploy_id,
                site_id=site_id,
                number=await self._store.deploys.latest_number(site_id) + 1,
                state=DeployState.UPLOADING,
                branch=branch,
                commit_ref=commit_ref,
                build_id=build_id,
                created_at=self._clock.now(),
                metadata=metadata,
            )
            try:
                await self._store.deploys.insert(deploy, manifest)
                break
            except ConflictError:
                if attempt == NUMBER_ATTEMPTS - 1:
                    raise
        self._events(
            "deploy.announced",
            deploy.id,
            site=site_id,
            number=deploy.number,
            commit=commit_ref,
            files=len(files),
            required=len(required),
        )
        return deploy

    async def upload(self, deploy_id: str, sha1: str, data: bytes) -> None:
        """Take one file's bytes. Raises: DigestMismatchError; nothing is stored then."""
        await self._objects.put_blob(data, sha1)
        await self._store.deploys.upload_arrived(deploy_id, sha1)

    async def finish(self, deploy_id: str) -> Deploy:
        """All is sent: write the tree and set the pointer; the deploy is then processing.

        Raises: NotFoundError; InvalidDeployError when its metadata was
        damaged meanwhile; ConflictError when uploads are still pending or it
        is over already.
        """
        deploy = valid(await self._store.deploys.get(deploy_id))
        if deploy.metadata.pending_uploads:
            raise ConflictError(
                f"deploy {deploy_id} still waits for {len(deploy.metadata.pending_uploads)} files"
            )
        moved = await self._store.deploys.move(
            deploy_id,
            from_states=[DeployState.UPLOADING, DeployState.PROCESSING],
            to=DeployState.PROCESSING,
        )
        if not moved:
            raise ConflictError(f"deploy {deploy_id} is {deploy.state}, not uploading")
        manifest = await self._store.deploys.manifest(deploy_id)
        tree = Tree({file.path: TreeEntry(file.sha1, file.size) for file in manifest.files})
        tree_id = await self._objects.put_tree(tree)
        await self._store.deploys.set_pointer(deploy_id, tree_id)
        self._events("pointer.set", deploy_id, site=deploy.site_id, tree=tree_id)
        return deploy.model_copy(
            update={
                "state": DeployState.PROCESSING,
                "metadata": deploy.metadata.model_copy(update={"tree": tree_id}),
            }
        )


def valid(deploy: Deploy | InvalidDeploy) -> Deploy:
    """The deploy itself. Raises: InvalidDeployError when its metadata does not validate."""
    if isinstance(deploy, InvalidDeploy):
        raise InvalidDeployError(deploy.id, deploy.reason)
    return deploy


def _check_paths(files: Sequence[ManifestFile]) -> None:
    seen: set[str] = set()
    for file in files:
        parts = file.path.split("/")
        if not file.path or "\0" in file.path or any(part in ("", ".", "..") for part in parts):
            raise UsageError(f"not a path inside a site: {file.path!r}")
        if file.path in seen:
            raise UsageError(f"path {file.path!r} is listed twice")
        seen.add(file.path)
