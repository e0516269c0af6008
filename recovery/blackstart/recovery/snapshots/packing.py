"""A chunk's bytes as they are stored: compressed, alone or as a patch against a base."""

from __future__ import annotations

import hashlib

import zstandard

LEVEL = 1
PATCH_LEVEL = 3


class PackingError(ValueError):
    """What was stored cannot be unpacked, in a word or two."""


def digest_of(raw: bytes) -> str:
    """What a chunk is named by."""
    return hashlib.sha256(raw).hexdigest()


def pack(raw: bytes) -> bytes:
    """Compressed on its own."""
    return zstandard.ZstdCompressor(level=LEVEL).compress(raw)


def pack_patch(raw: bytes, base: bytes) -> bytes:
    """Compressed with `base` as a dictionary: what both hold takes next to nothing."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        PATCH_LEVEL, source_size=len(raw), dict_size=len(base)
    )
    compressor = zstandard.ZstdCompressor(
        compression_params=parameters, dict_data=_dictionary(base)
    )
    return compressor.compress(raw)


def unpack(packed: bytes, raw_bytes: int | None, base: bytes | None = None) -> bytes:
    """What was packed; `raw_bytes` is what must come of it. Raises: PackingError."""
    try:
        dictionary = None if base is None else _dictionary(base)
        parameters = zstandard.get_frame_parameters(packed)
        if raw_bytes is not None and parameters.content_size != raw_bytes:
            raise PackingError("truncated or of another size")
        return zstandard.ZstdDecompressor(dict_data=dictionary).decompress(packed)
    except zstandard.ZstdError as error:
        raise PackingError("it cannot be decompressed") from error


def _dictionary(base: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
