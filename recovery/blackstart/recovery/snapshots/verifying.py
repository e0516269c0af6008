"""Verifying: every chunk of a snapshot is read again, hashed, counted and looked at in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from bson.errors import BSONError

from blackstart.errors import (
    DigestMismatchError,
    NotFoundError,
    ObjectNotFoundError,
    StorageError,
    UsageError,
)
from blackstart.recovery.snapshots.chunks import Chunks
from blackstart.recovery.snapshots.documents import id_document, id_of, key_of, split
from blackstart.recovery.snapshots.keys import chunk_key, manifest_key
from blackstart.recovery.snapshots.manifest import Chunk, Manifest, SnapshotCollection
from blackstart.recovery.snapshots.snapshots import Snapshots
from blackstart.recovery.snapshots.verdict import Damage, Kind, Verdict
from blackstart.recovery.snapshots.windows import at_once, in_order

GIVE_UP_AFTER = 5
"""So many reads that the store refuses, and the rest of a snapshot is not tried."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class _Facts:
    """What a chunk was found to hold."""

    raw_bytes: int
    count: int
    first_id: bytes
    last_id: bytes
    is_ordered: bool


_Look = _Facts | tuple[Kind, str] | StorageError


class Verifier:
    """Verifies snapshots of one bucket; a chunk that several of them hold is read once.

    Bounded memory: a few chunks, and some hundred bytes for each chunk that was looked at.
    """

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._chunks: Chunks = snapshots.chunks
        self._looked: dict[str, _Facts | tuple[Kind, str]] = {}

    async def verify(self, snapshot_id: str, progress: Progress | None = None) -> Verdict:
        """Verify one snapshot; `progress` is told of chunks looked at.

        What fails on the way is in the verdict. Raises: NotFoundError, UsageError for an id that
        is none.
        """
        try:
            manifest = await self._snapshots.manifest(snapshot_id)
        except DigestMismatchError as error:
            return await self._unreadable(snapshot_id, error)
        except StorageError as error:
            return Verdict(snapshot_id, unread=(error.message,))
        except UsageError as error:
            if not await self._is_listed(snapshot_id):
                raise
            return Verdict(snapshot_id, unread=(str(error),))
        verdict = await self._verify(manifest, progress or (lambda count: None))
        if verdict.damages and not await self._is_there(snapshot_id):
            # Its chunks went with it.
            return Verdict(snapshot_id, unread=("it was removed while it was verified",))
        return verdict

    async def _unreadable(self, snapshot_id: str, error: DigestMismatchError) -> Verdict:
        """A manifest whose checksum holds is whole: then it is the key that does not fit."""
        if await self._is_listed(snapshot_id):
            return Verdict(snapshot_id, unread=("it is sealed with another key",))
        return Verdict(snapshot_id, damages=(Damage("", "", Kind.MANIFEST, error.message),))

    async def _verify(self, manifest: Manifest, progress: Progress) -> Verdict:
        damages, unread = list(_disagreements(manifest)), list[str]()
        chunks = documents = raw_bytes = 0
        parts = [
            (name, chunk)
            for name, each in sorted(manifest.collections.items())
            for chunk in each.chunks
        ]

        async def look(part: tuple[str, Chunk]) -> tuple[str, Chunk, _Look]:
            return *part, await self._look(part[1])

        async for name, chunk, found in in_order(parts, look, at_once(self._chunks.objects)):
            progress(1)
            if isinstance(found, StorageError):
                unread.append(f"collection {name}, chunk {chunk.name}: {found.message}")
                if len(unread) == GIVE_UP_AFTER:
                    unread.append("the rest was not tried")
                    break
            elif wrong := _judge(chunk, found):
                damages.append(Damage(name, chunk.name, *wrong, base=chunk.base or ""))
            else:
                chunks, documents = chunks + 1, documents + chunk.count
                raw_bytes += chunk.raw_bytes
        return Verdict(
            manifest.snapshot.id,
            tuple(damages),
            tuple(unread),
            chunks,
            documents,
            raw_bytes,
            manifest.snapshot.is_empty,
        )

    async def _look(self, chunk: Chunk) -> _Look:
        if (known := self._looked.get(chunk.name)) is not None:
            return known
        try:
            found = _facts(await self._chunks.read(chunk))
        except StorageError as error:
            return error
        except ObjectNotFoundError as error:
            found = (Kind.MISSING, error.message)
        except (DigestMismatchError, ValueError, BSONError) as error:
            found = (await self._kind(chunk), str(error))
        self._looked[chunk.name] = found
        return found

    async def _kind(self, chunk: Chunk) -> Kind:
        """Whether what cannot be read is shorter than it was, or something else."""
        try:
            data = await self._chunks.objects.get(chunk_key(chunk.name))
        except (ObjectNotFoundError, StorageError):
            return Kind.WRONG_BYTES
        return Kind.TRUNCATED if len(data) < chunk.stored_bytes else Kind.WRONG_BYTES

    async def _is_listed(self, snapshot_id: str) -> bool:
        listing = await self._snapshots.listing()
        return any(each.id == snapshot_id for each in listing.snapshots)

    async def _is_there(self, snapshot_id: str) -> bool:
        try:
            await self._chunks.objects.get(manifest_key(snapshot_id))
        except NotFoundError:
            return False
        except StorageError:
            return True
        return True


def _facts(raw: bytes) -> _Facts | tuple[Kind, str]:
    first = last = b""
    before = None
    count, is_ordered = 0, True
    for document in split(raw):
        key = key_of(document)
        if before is not None and not _follows(key, before):
            is_ordered = False
        first, last = first if count else id_of(document), id_of(document)
        before, count = key, count + 1
    return _Facts(len(raw), count, first, last, is_ordered)


def _follows(key: tuple[object, ...], before: tuple[object, ...]) -> bool:
    """Only documents without an `_id` may be equal to each other in order."""
    return key > before or key == before == ()


def _judge(chunk: Chunk, found: _Facts | tuple[Kind, str]) -> tuple[Kind, str] | None:
    """What a chunk lacks of what its manifest says."""
    if isinstance(found, tuple):
        return found
    if (found.count, found.raw_bytes) != (chunk.count, chunk.raw_bytes):
        told = f"{chunk.count} documents of {chunk.raw_bytes} bytes"
        return Kind.WRONG_COUNT, f"{found.count} of {found.raw_bytes} bytes instead of {told}"
    if (found.first_id, found.last_id) != (chunk.first_id, chunk.last_id):
        return Kind.WRONG_IDS, "its first or last _id is not what the manifest says"
    if not found.is_ordered:
        return Kind.WRONG_ORDER, "its documents are not in the order of their _ids"
    return None


def _disagreements(manifest: Manifest) -> Iterator[Damage]:
    """Where a manifest contradicts itself."""
    snapshot = manifest.snapshot
    counts = {name: each.count for name, each in manifest.collections.items()}
    for name in sorted(counts.keys() | snapshot.counts.keys()):
        told, listed = snapshot.counts.get(name), counts.get(name)
        if told != listed:
            reason = f"it tells of {told} documents and lists chunks with {listed}"
            yield Damage(name, "", Kind.MANIFEST, reason)
    for name, each in sorted(manifest.collections.items()):
        yield from _overlaps(name, each)


def _overlaps(name: str, collection: SnapshotCollection) -> Iterator[Damage]:
    for before, after in pairwise(collection.chunks):
        last, first = (key_of(id_document(each)) for each in (before.last_id, after.first_id))
        if not _follows(first, last):
            reason = f"it begins before the end of chunk {before.name}"
            yield Damage(name, after.name, Kind.WRONG_ORDER, reason)
