"""The life of a deploy up to its pointer: announced, uploaded, made into a tree."""

from __future__ import annotations

from collections.abc import AsyncIterable, Collection, Sequence

from blackstart.clock import Clock
from blackstart.control.uploads import plan_uploads
from blackstart.errors import ConflictError, InvalidDeployError, UsageError
from blackstart.events import Events
from blackstart.model import (
    Context,
    Deploy,
    DeployState,
    InvalidDeploy,
    Manifest,
    ManifestFile,
    Metadata,
    Tree,
    TreeEntry,
    TreeOf,
    check_site_path,
)
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.pointers import PointerLog, PointerRecord

NUMBER_ATTEMPTS = 100
"""Each refusal means that another deploy got a number, so a crowd of so many is served."""

MAX_FILE_BYTES = 4 * 1024**3


class DeployService:
    """Announce files, take uploads, write the tree, set the pointer.

    `pointers` may be None only where the safeguard `pointer-log` is never on.
    """

    def __init__(
        self,
        store: MetadataStore,
        objects: ObjectStore,
        *,
        clock: Clock,
        seed: Seed,
        safeguards: Safeguards,
        events: Events,
        pointers: PointerLog | None = None,
    ) -> None:
        self._store = store
        self._objects = objects
        self._clock = clock
        self._seed = seed
        self._safeguards = safeguards
        self._events = events
        self._pointers = pointers

    async def create(
        self,
        site_id: str,
        files: Sequence[ManifestFile] | None = None,
        *,
        branch: str,
        context: Context = Context.PRODUCTION,
        title: str | None = None,
        commit_ref: str | None = None,
        build_id: str | None = None,
    ) -> Deploy:
        """Make a deploy; with `files` they are announced at once, else by `announce`.

        Its `pending_uploads` are what must be sent. Raises: as `announce`, and
        ConflictError when other deploys of the site keep taking the number.
        """
        deploy = Deploy(
            id=self._seed.new_id(),
            site_id=site_id,
            number=1,
            state=DeployState.NEW,
            branch=branch,
            context=context,
            title=title,
            commit_ref=commit_ref,
            build_id=build_id,
            created_at=self._clock.now(),
            metadata=Metadata(
                tree=None, completed_at=None, file_count=0, byte_count=0, pending_uploads=[]
            ),
        )
        if files is None:
            return await self._insert(deploy)
        metadata = await self._plan(deploy, files)
        deploy = deploy.model_copy(update={"state": DeployState.UPLOADING, "metadata": metadata})
        try:
            deploy = await self._insert(deploy)
        except ConflictError:
            await self._store.deploys.delete_manifest(deploy.id)
            raise
        self._announced(deploy)
        return deploy

    async def announce(self, deploy_id: str, files: Sequence[ManifestFile]) -> Deploy:
        """Say which files a new deploy consists of; saying the same again changes nothing.

        Raises: UsageError for a path that leaves the site or stands twice, or
        no file at all; NotFoundError; InvalidDeployError; ConflictError when
        the deploy has other files already or is over.
        """
        deploy = valid(await self._store.deploys.get(deploy_id))
        if deploy.state is not DeployState.NEW:
            return await self._announced_before(deploy, files)
        metadata = await self._plan(deploy, files)
        moved = await self._store.deploys.move(
            deploy_id, from_states=[DeployState.NEW], to=DeployState.UPLOADING, metadata=metadata
        )
        current = valid(await self._store.deploys.get(deploy_id))
        if not moved:
            return await self._announced_before(current, files)
        self._announced(current)
        return current

    async def upload(self, sha1: str, chunks: AsyncIterable[bytes]) -> int:
        """Take one file's bytes; returns how many.

        Raises: DigestMismatchError, TooLargeError; nothing is stored then.
        """
        return await self._objects.put_blob_stream(chunks, sha1, max_bytes=MAX_FILE_BYTES)

    async def stored(self, sha1s: Collection[str]) -> set[str]:
        """Those of the digests whose bytes are in the object store."""
        return set(await self._objects.stat_blobs(sorted(sha1s)))

    async def missing(self, deploy: Deploy) -> list[str]:
        """The digests that the client was asked for and that are not stored yet, sorted."""
        stored = await self.stored(deploy.metadata.pending_uploads)
        return [sha1 for sha1 in deploy.metadata.pending_uploads if sha1 not in stored]

    async def finish(self, deploy_id: str) -> Deploy:
        """All is sent: write the tree and set the pointer; the deploy is then processing.

        One that somebody else has brought to its end already is returned as it is.
        Raises: NotFoundError; InvalidDeployError when its metadata was
        damaged meanwhile; ConflictError when uploads are still pending or it
        was given up; StorageError when the object store or the pointer log
        failed: the pointer is not set then, and this may be called again.
        """
        deploy = valid(await self._store.deploys.get(deploy_id))
        if missing := await self.missing(deploy):
            raise ConflictError(f"deploy {deploy_id} still waits for {len(missing)} files")
        moved = await self._store.deploys.move(
            deploy_id,
            from_states=[DeployState.UPLOADING, DeployState.PROCESSING],
            to=DeployState.PROCESSING,
        )
        if not moved:
            return await self._finished_before(deploy_id)
        tree = await self._tree(deploy, await self._store.deploys.manifest(deploy_id))
        tree_id = await self._objects.put_tree(tree)
        byte_count = sum(entry.size for entry in tree.files.values())
        await self._log_pointer(deploy, tree_id, len(tree.files), byte_count)
        if not await self._store.deploys.set_pointer(deploy_id, tree_id, byte_count):
            return await self._finished_before(deploy_id)
        self._events("pointer.set", deploy_id, site=deploy.site_id, tree=tree_id)
        found = {"tree": tree_id, "byte_count": byte_count, "pending_uploads": []}
        return deploy.model_copy(
            update={
                "state": DeployState.PROCESSING,
                "metadata": deploy.metadata.model_copy(update=found),
            }
        )

    async def cancel(self, deploy_id: str) -> Deploy | InvalidDeploy:
        """Call a deploy off; a published one, or nearly so, stays. Raises: NotFoundError."""
        if await self._store.deploys.give_up(deploy_id, DeployState.CANCELLED, "cancelled"):
            self._events("deploy.cancelled", deploy_id)
        return await self._store.deploys.get(deploy_id)

    async def _insert(self, deploy: Deploy) -> Deploy:
        """Give the deploy the site's next number, and keep it."""
        for attempt in range(NUMBER_ATTEMPTS):
            number = await self._store.deploys.latest_number(deploy.site_id) + 1
            deploy = deploy.model_copy(update={"number": number})
            try:
                await self._store.deploys.insert(deploy)
                break
            except ConflictError:
                if attempt == NUMBER_ATTEMPTS - 1:
                    raise
        return deploy

    async def _plan(self, deploy: Deploy, files: Sequence[ManifestFile]) -> Metadata:
        """Keep the list of files and find out which of them are needed."""
        _check_files(files)
        plan = await plan_uploads(
            files,
            site_id=deploy.site_id,
            deploy_id=deploy.id,
            store=self._store,
            objects=self._objects,
            safeguards=self._safeguards,
        )
        if not await self._store.deploys.insert_manifest(Manifest(id=deploy.id, files=list(files))):
            await self._need_same_files(deploy, files)
        sizes = plan.sizes
        return Metadata(
            tree=None,
            completed_at=None,
            file_count=len(files),
            byte_count=sum(
                sizes.get(file.sha1, 0) if file.size is None else file.size for file in files
            ),
            pending_uploads=plan.required,
        )

    async def _announced_before(self, deploy: Deploy, files: Sequence[ManifestFile]) -> Deploy:
        if deploy.state in (DeployState.ERROR, DeployState.CANCELLED):
            raise ConflictError(
                f"deploy {deploy.id} is over: {deploy.state}", hint="make a new one"
            )
        await self._need_same_files(deploy, files)
        return deploy

    async def _finished_before(self, deploy_id: str) -> Deploy:
        deploy = valid(await self._store.deploys.get(deploy_id))
        if deploy.state is not DeployState.READY:
            raise ConflictError(f"deploy {deploy_id} is {deploy.state}, not uploading")
        return deploy

    async def _need_same_files(self, deploy: Deploy, files: Sequence[ManifestFile]) -> None:
        before = await self._store.deploys.manifest(deploy.id)
        if _digests(before.files) != _digests(files):
            raise ConflictError(
                f"deploy {deploy.id} was announced with other files", hint="make a new deploy"
            )

    async def _log_pointer(
        self, deploy: Deploy, tree_id: str, file_count: int, byte_count: int
    ) -> None:
        """Put the pointer on record before it is set, if that is switched on."""
        if "pointer-log" not in self._safeguards:
            return
        assert self._pointers is not None, "pointer-log is on, and there is no log"
        previous = await self._store.deploys.previous_pointer(deploy.site_id, deploy.number)
        await self._pointers.record(
            PointerRecord(
                at=self._clock.now(),
                site_id=deploy.site_id,
                deploy_id=deploy.id,
                number=deploy.number,
                commit_ref=deploy.commit_ref,
                tree=tree_id,
                previous=previous,
                file_count=file_count,
                byte_count=byte_count,
            )
        )

    async def _tree(self, deploy: Deploy, manifest: Manifest) -> Tree:
        """What the deploy shows. A file that was trusted to be there and is not has no size."""
        unknown = {file.sha1 for file in manifest.files if file.size is None}
        sizes = await self._objects.stat_blobs(sorted(unknown)) if unknown else {}
        files = {
            file.path: TreeEntry(
                file.sha1, sizes.get(file.sha1, 0) if file.size is None else file.size
            )
            for file in manifest.files
        }
        if "self-describing-trees" not in self._safeguards:
            return Tree(files)
        return Tree(files, TreeOf(deploy.site_id, deploy.id, deploy.commit_ref))

    def _announced(self, deploy: Deploy) -> None:
        self._events(
            "deploy.announced",
            deploy.id,
            site=deploy.site_id,
            number=deploy.number,
            commit=deploy.commit_ref,
            files=deploy.metadata.file_count,
            required=len(deploy.metadata.pending_uploads),
        )


def valid(deploy: Deploy | InvalidDeploy) -> Deploy:
    """The deploy itself. Raises: InvalidDeployError when its metadata does not validate."""
    if isinstance(deploy, InvalidDeploy):
        raise InvalidDeployError(deploy.id, deploy.reason)
    return deploy


def _digests(files: Sequence[ManifestFile]) -> dict[str, str]:
    return {file.path: file.sha1 for file in files}


def _check_files(files: Sequence[ManifestFile]) -> None:
    if not files:
        raise UsageError("a deploy needs at least one file")
    seen: set[str] = set()
    for file in files:
        check_site_path(file.path)
        if file.path in seen:
            raise UsageError(f"path {file.path!r} is listed twice")
        seen.add(file.path)
