"""The compressors of OP_COMPRESSED, each bounded by what the message announces.

Snappy is not among them: no library for it is installed, so it is neither
offered nor read.
"""

from __future__ import annotations

import zlib
from enum import IntEnum

import zstandard

from blackstart.errors import WireError

_ZLIB_LEVEL = 1
_ZSTD_LEVEL = 3
_WINDOW_BYTES = 1 << 26


class Compressor(IntEnum):
    """By the numbers in the protocol."""

    NOOP = 0
    ZLIB = 2
    ZSTD = 3


COMPRESSORS = {"zlib": Compressor.ZLIB, "zstd": Compressor.ZSTD}
"""By the names in a handshake."""


def agreed_compressors(offered: object) -> list[str]:
    """Of what a client offers in its handshake, what is spoken here; drivers use the first."""
    return [each for each in offered if each in COMPRESSORS] if isinstance(offered, list) else []


def compress(compressor: Compressor, data: bytes) -> bytes:
    if compressor is Compressor.ZLIB:
        return zlib.compress(data, _ZLIB_LEVEL)
    if compressor is Compressor.ZSTD:
        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(data)
    return data


def decompress(compressor: Compressor, data: bytes, size: int) -> bytes:
    """Exactly `size` bytes. Raises: WireError when it is more, less or no compressed data."""
    if compressor is Compressor.NOOP:
        inflated = data
    elif compressor is Compressor.ZLIB:
        inflated = _from_zlib(data, size)
    else:
        inflated = _from_zstd(data, size)
    if len(inflated) != size:
        raise WireError(f"a compressed message announces {size} bytes and is not of that size")
    return inflated


def _from_zlib(data: bytes, size: int) -> bytes:
    engine = zlib.decompressobj()
    try:
        inflated = engine.decompress(data, size + 1)
    except zlib.error as error:
        raise WireError(f"zlib: {error}") from error
    if not engine.eof or engine.unused_data:
        raise WireError("a zlib stream that is not the whole message, or more than it announces")
    return inflated


def _from_zstd(data: bytes, size: int) -> bytes:
    try:
        # The library takes memory by what the frame says of itself, so that is looked at first.
        told = zstandard.frame_content_size(data)
        if told not in (-1, size):
            raise WireError(f"a zstd frame of {told} bytes in a message that announces {size}")
        engine = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
        return engine.decompress(data, max_output_size=max(size, 1), allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise WireError(f"zstd: {error}") from error
