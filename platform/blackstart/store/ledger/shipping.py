"""Closed segments on their way into the object store, and where a writer's chain stands there."""

from __future__ import annotations

from blackstart.errors import ConflictError, ObjectNotFoundError, StorageError
from blackstart.store.ledger.line import START, Position
from blackstart.store.ledger.segment import Ledger, SegmentName, read_segment
from blackstart.store.objects import ObjectStore


async def ship(objects: ObjectStore, name: SegmentName, data: bytes) -> None:
    """Store a closed segment; when this returns it was read back as it is.

    One that is there already is fine, so this may be done again.
    Raises: StorageError; ConflictError when another whole segment lies there.
    """
    stored = await _stored(objects, name)
    if stored == data:
        return
    if stored is not None and _is_whole(name, stored):
        raise ConflictError(
            f"the object store holds another {name}",
            hint="two folders have the same id: give one of them another, by removing its file id",
        )
    await objects.put(name.key, data)
    if await objects.get(name.key) != data:
        raise StorageError(f"{name.key} did not come back as it was stored")


async def stored_segments(
    objects: ObjectStore, ledger: Ledger, writer: str | None = None
) -> list[SegmentName]:
    """Those in the object store, of one writer or all, sorted. Raises: StorageError."""
    keys = await objects.list_keys(f"{ledger.prefix}{writer}/" if writer else ledger.prefix)
    names = (ledger.of_key(key) for key in keys)
    return sorted(name for name in names if name is not None)


async def stored_end(objects: ObjectStore, ledger: Ledger, writer: str) -> tuple[int, Position]:
    """Number of a writer's newest stored segment, and where its chain stands there.

    (0, START) when there is none. Raises: StorageError.
    """
    names = await stored_segments(objects, ledger, writer)
    for name in reversed(names):
        last = read_segment(name, await objects.get(name.key)).last
        if last is not None:
            return names[-1].number, last
    return (names[-1].number if names else 0), START


async def _stored(objects: ObjectStore, name: SegmentName) -> bytes | None:
    try:
        return await objects.get(name.key)
    except ObjectNotFoundError:
        return None


def _is_whole(name: SegmentName, data: bytes) -> bool:
    text = read_segment(name, data)
    return text.sound and text.ended and not text.torn
