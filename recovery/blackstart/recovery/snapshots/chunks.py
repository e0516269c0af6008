"""Chunks in the object store: compressed, perhaps sealed, named by the digest of what they hold.

A chunk whose range another snapshot holds as well can be kept as a patch:
compressed with the other one's documents as the dictionary, it costs little
more than what changed. A patch is never made of a patch, so that reading
takes two objects at most.
"""

from __future__ import annotations

import zstandard

from blackstart.errors import DigestMismatchError, ObjectNotFoundError
from blackstart.recovery.snapshots.keys import chunk_key
from blackstart.recovery.snapshots.manifest import Chunk
from blackstart.recovery.snapshots.sealing import Sealer, digest
from blackstart.store import ObjectStore

LEVEL = 1
PATCH_LEVEL = 3
"""Lower levels look too little into the dictionary: a patch comes out thirty times as large."""
MAX_PATCH_SHARE = 0.5
"""A patch that is larger than this part of its base's size saves too little: it stands alone."""

MAX_RAW_BYTES = 64 * 1024 * 1024
"""Far above a full chunk and the largest document together."""


class Chunks:
    """Reads and writes chunks. Compressing and hashing block; the rest awaits the object store."""

    def __init__(self, objects: ObjectStore, sealer: Sealer | None = None) -> None:
        self.objects = objects
        self.sealer = sealer

    def digest(self, raw: bytes) -> str:
        """What a chunk of these bytes is called."""
        return digest(raw, self.sealer)

    def pack(self, raw: bytes, name: str) -> bytes:
        """The bytes of an object that holds `raw` by itself."""
        return self._sealed(zstandard.ZstdCompressor(level=LEVEL).compress(raw), name)

    def pack_patch(self, raw: bytes, base: bytes, name: str) -> bytes:
        """The bytes of an object that holds `raw` for whoever has `base`."""
        parameters = zstandard.ZstdCompressionParameters.from_level(
            PATCH_LEVEL, source_size=len(raw), dict_size=len(base)
        )
        compressor = zstandard.ZstdCompressor(
            dict_data=_dictionary(base), compression_params=parameters
        )
        return self._sealed(compressor.compress(raw), name)

    async def put(self, name: str, data: bytes) -> None:
        """Raises: StorageError."""
        await self.objects.put(chunk_key(name), data)

    async def read(self, chunk: Chunk) -> bytes:
        """A chunk's documents as one run of BSON, checked.

        Raises: ObjectNotFoundError when it or its base is missing, DigestMismatchError when the
        bytes are not what was stored, StorageError.
        """
        base = None if chunk.base is None else (await self.read_base(chunk.base))[0]
        raw, _ = await self._raw(chunk.name, chunk.digest, base)
        return raw

    async def read_base(self, name: str) -> tuple[bytes, int]:
        """A chunk that stands alone, and its size in the store. Raises: as `read`."""
        return await self._raw(name, name.partition(".")[0], None)

    async def _raw(self, name: str, wanted: str, base: bytes | None) -> tuple[bytes, int]:
        try:
            data = await self.objects.get(chunk_key(name))
        except ObjectNotFoundError as error:
            raise ObjectNotFoundError(f"chunk {name} is missing") from error
        raw = self._unpack(data, name, base)
        if self.digest(raw) != wanted:
            raise DigestMismatchError(f"chunk {name} is damaged: it holds other bytes")
        return raw, len(data)

    def _unpack(self, data: bytes, name: str, base: bytes | None) -> bytes:
        if self.sealer:
            data = self.sealer.open(data, name)
        dictionary = None if base is None else _dictionary(base)
        try:
            # The library takes memory by what the frame says of itself.
            if not 0 <= zstandard.frame_content_size(data) <= MAX_RAW_BYTES:
                raise DigestMismatchError(f"chunk {name} is damaged: its size makes no sense")
            return zstandard.ZstdDecompressor(dict_data=dictionary).decompress(data)
        except zstandard.ZstdError as error:
            raise DigestMismatchError(f"chunk {name} is damaged: {error}") from error

    def _sealed(self, data: bytes, name: str) -> bytes:
        return self.sealer.seal(data, name) if self.sealer else data


def _dictionary(base: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
