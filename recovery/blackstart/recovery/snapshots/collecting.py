"""Removing snapshots that nobody keeps, and the chunks that nobody needs any more.

Chunks are never counted: what a manifest names is in use, all else is
garbage. The question is what happens beside it, and the answer must not rest
on clocks, since any process may stand still at any point for any time.

1. No object is written twice: the name of a chunk tells which take wrote it
   as its which. So garbage stays garbage, however late it is deleted.
2. A take claims `takes/ID` before it reads or writes anything else, and gives
   it back after its manifest. The manifest is written by a conditional put.
3. The collector removes manifests first, then lists all chunks, *then* looks
   for takes. One that goes on means: no chunk is deleted this time. One that
   died has an abandoned manifest put in its manifest's place, by a conditional put
   as well: if the take was only asleep, its own manifest can no longer come.
4. Only then are the manifests read, and at last the takes and manifests
   listed again: when one came, everything is left to the next time.

A chunk is deleted when it was listed in 3 and no manifest named it in 4. The
take that wrote it claimed its id before the listing; in 3 it had ended or was
ended. What ended well has a manifest, which is read in 4. A later take can
only build on a chunk that it finds in a manifest M. If M is read in 4, the
chunk is in use. M was read by nobody in 4 if it was removed before, which only
another collector does, one that stood still since before this one began: a
lock keeps them apart. The take saw M before that, so it had claimed its id
before 4, and the second look at takes or manifests finds one of its two. And
if M came after 4, its chunks are younger than the listing or from such an M.

This asks of the object store what S3 and a folder give: a listing shows what
was written before it, and of two conditional puts one succeeds.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from blackstart.clock import Clock
from blackstart.errors import (
    BlackstartError,
    ConflictError,
    NotFoundError,
    ObjectNotFoundError,
    StorageError,
)
from blackstart.recovery.snapshots.keys import CHUNKS, COLLECTING, MANIFESTS, TAKES, manifest_key
from blackstart.recovery.snapshots.leases import Lock, is_live
from blackstart.recovery.snapshots.manifest import ABANDONED, Snapshot
from blackstart.recovery.snapshots.retention import Keep, why_kept
from blackstart.recovery.snapshots.snapshots import Snapshots, time_of_id
from blackstart.recovery.snapshots.windows import at_once, in_order
from blackstart.seed import Seed
from blackstart.store import ObjectStore

FORGET_ABANDONED = timedelta(days=30)
BATCH = 100


@dataclass
class Pruning:
    """What was removed, or would be.

    `kept` has the reasons for each snapshot that stays. `why_not` says why
    chunks that nobody needs were left where they are; None when none were. `unreadable` says
    that this is so until somebody does something about a manifest.
    """

    kept: dict[str, list[str]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    chunks: int = 0
    chunk_bytes: int = 0
    why_not: str | None = None
    unreadable: bool = False

    def stopped_by(self, error: _CannotTellError) -> None:
        self.why_not, self.unreadable = str(error), isinstance(error, _UnreadableError)


class Collector:
    """Applies a rule for what is kept to the snapshots of one bucket.

    The rule holds for the snapshots of one database, or of all when `database` is None; without
    a rule all stay. `remove` names snapshots that go whatever the rule says, damaged ones too.
    Raises (all methods): StorageError; NotFoundError for one that is not there.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        clock: Clock,
        keep: Keep | None,
        remove: Collection[str] = (),
        *,
        database: str | None = None,
    ) -> None:
        self._snapshots = snapshots
        self._objects: ObjectStore = snapshots.chunks.objects
        self._clock = clock
        self._keep = keep
        self._remove = remove
        self._database = database

    async def look(self) -> Pruning:
        """What `apply` would do. Changes nothing."""
        pruning = await self._decide()
        sizes = await self._objects.list_sizes(CHUNKS)
        if takes := [each for each in await self._takes() if await self._is_live(each)]:
            pruning.why_not = _going_on(takes)
            return pruning
        try:
            ids = set(await self._manifest_ids()) - set(pruning.removed)
            self._count(pruning, sizes, await self._needed(ids))
        except _CannotTellError as error:
            pruning.stopped_by(error)
        return pruning

    async def apply(self, seed: Seed) -> Pruning:
        """Remove what is not kept, then the chunks that nobody needs.

        It may end at any point and be begun again. Raises: ConflictError when another one is at it.
        """
        lock = await self._lock(seed)
        try:
            pruning = await self._decide()
            await self._objects.delete(manifest_key(each) for each in pruning.removed)
            try:
                await self._collect(pruning, lock)
            except _CannotTellError as error:
                pruning.stopped_by(error)
            return pruning
        finally:
            await lock.release()

    async def _decide(self) -> Pruning:
        listing = await self._snapshots.listing()
        there = {each.id for each in listing.snapshots} | {each.id for each in listing.damaged}
        for wanted in self._remove:
            if wanted not in there:
                raise NotFoundError(f"no snapshot {wanted}", hint="`snapshot list` shows them")
        staying = [each for each in listing.snapshots if each.id not in self._remove]
        kept = self._why_kept(staying)
        removed = [each.id for each in listing.snapshots if each.id not in kept]
        damaged = [each.id for each in listing.damaged]
        removed += [each for each in damaged if each in self._remove]
        return Pruning(kept, removed, [each for each in damaged if each not in removed])

    def _why_kept(self, snapshots: list[Snapshot]) -> dict[str, list[str]]:
        if self._keep is None:
            return {each.id: ["no rule"] for each in snapshots}
        ours = [each for each in snapshots if self._database in (None, each.database)]
        others = {
            each.id: [f"of {each.database}"]
            for each in snapshots
            if self._database not in (None, each.database)
        }
        return others | why_kept(ours, self._keep)

    async def _collect(self, pruning: Pruning, lock: Lock) -> None:
        """Delete what nobody needs: points 3 and 4 above. Raises: _CannotTellError."""
        sizes = await self._objects.list_sizes(CHUNKS)
        await self._end_dead_takes()
        ids = await self._manifest_ids()
        needed = await self._needed(ids)
        if takes := await self._takes():
            raise _CannotTellError(_going_on(takes))
        if await self._manifest_ids() != ids:
            raise _CannotTellError("a snapshot came or went meanwhile")
        if not await lock.is_mine():
            raise _CannotTellError("this stood still for so long that another one took over")
        garbage = [key for key in sizes if key not in needed]
        batches = [garbage[start : start + BATCH] for start in range(0, len(garbage), BATCH)]
        async for _ in in_order(batches, self._objects.delete, at_once(self._objects)):
            continue
        self._count(pruning, sizes, needed)
        await self._forget_abandoned(ids)

    async def _end_dead_takes(self) -> None:
        for snapshot_id in await self._takes():
            if await self._is_live(snapshot_id):
                raise _CannotTellError(_going_on([snapshot_id]))
            await self._objects.put_new(manifest_key(snapshot_id), ABANDONED)
            await self._objects.delete([f"{TAKES}{snapshot_id}"])

    async def _needed(self, snapshot_ids: Collection[str]) -> set[str]:
        """The keys of all chunks that these name.

        Raises: _CannotTellError when one cannot be read.
        """
        needed: set[str] = set()
        for snapshot_id in snapshot_ids:
            try:
                needed |= (await self._snapshots.manifest(snapshot_id)).keys()
            except NotFoundError:
                # Abandoned, or removed just now.
                continue
            except StorageError:
                raise
            except BlackstartError as error:
                raise _UnreadableError(f"{error}, so what it needs is not known") from error
        return needed

    async def _forget_abandoned(self, snapshot_ids: Collection[str]) -> None:
        """A take that slept for a month will not wake any more."""
        for snapshot_id in snapshot_ids:
            taken_at = time_of_id(snapshot_id)
            if taken_at is not None and self._clock.now() - taken_at >= FORGET_ABANDONED:
                key = manifest_key(snapshot_id)
                with suppress(ObjectNotFoundError):
                    if await self._objects.get(key) == ABANDONED:
                        await self._objects.delete([key])

    async def _manifest_ids(self) -> list[str]:
        return [key.removeprefix(MANIFESTS) for key in await self._objects.list_keys(MANIFESTS)]

    async def _takes(self) -> list[str]:
        return [key.removeprefix(TAKES) for key in await self._objects.list_keys(TAKES)]

    async def _is_live(self, snapshot_id: str) -> bool:
        return await is_live(self._objects, self._clock, f"{TAKES}{snapshot_id}")

    def _count(self, pruning: Pruning, sizes: dict[str, int], needed: set[str]) -> None:
        garbage = [size for key, size in sizes.items() if key not in needed]
        pruning.chunks, pruning.chunk_bytes = len(garbage), sum(garbage)

    async def _lock(self, seed: Seed) -> Lock:
        lock = Lock(self._objects, self._clock, COLLECTING, seed.new_bytes(8).hex())
        if not await lock.take():
            raise ConflictError("snapshots are being pruned already", hint="wait until that ends")
        return lock


class _CannotTellError(Exception):
    """Why it is not known what is garbage."""


class _UnreadableError(_CannotTellError):
    """A manifest cannot be read, and may need any chunk."""


def _going_on(takes: Collection[str]) -> str:
    return f"snapshot {min(takes)} is being taken"
