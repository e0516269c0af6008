"""A body as a file: its bytes, then a checksum for each block, bound to the entry it belongs to.

CRC-32 by zlib, from a start value made of key and number: another entry's block
is as wrong as one with a bit turned. It is the fastest of
those in the standard library that see every burst of 32 bits.
"""

from __future__ import annotations

import os
import struct
import zlib

from blackstart.errors import StorageError

BLOCK_BYTES = 64 * 1024
_SUM = struct.Struct("<I")
_END = struct.Struct("<QQI")


class Seal:
    """The checksums of one body, block by block."""

    __slots__ = ("_salt", "key", "number", "sums")

    def __init__(self, key: str, number: int, sums: bytes = b"") -> None:
        self.key = key
        self.number = number
        self.sums = bytearray(sums)
        self._salt = zlib.crc32(b"%d " % number + key.encode("utf-8", "surrogatepass"))

    def add(self, block: bytes | bytearray | memoryview) -> None:
        """Note the next block; all but the last have `BLOCK_BYTES`."""
        self.sums += _SUM.pack(self._sum(block))

    def check(self, data: bytes, first_block: int) -> None:
        """Compare whole blocks. Raises: StorageError when one is not what was written."""
        view = memoryview(data)
        for offset in range(0, len(data), BLOCK_BYTES):
            index = first_block + offset // BLOCK_BYTES
            (wanted,) = _SUM.unpack_from(self.sums, index * _SUM.size)
            if self._sum(view[offset : offset + BLOCK_BYTES]) != wanted:
                raise StorageError(f"block {index} of a cached body is damaged")

    def trailer(self, size: int) -> bytes:
        """What follows the body in its file."""
        return bytes(self.sums) + _END.pack(self.number, size, self._end_sum(size))

    @classmethod
    def read(cls, trailer: bytes, key: str, number: int, size: int) -> Seal:
        """The seal of a body from its trailer. Raises: StorageError when it is not this body's."""
        if len(trailer) == trailer_bytes(size):
            seal = cls(key, number, trailer[: -_END.size])
            if _END.unpack(trailer[-_END.size :]) == (number, size, seal._end_sum(size)):
                return seal
        raise StorageError("a cached body is torn, or another's")

    def _sum(self, block: bytes | bytearray | memoryview) -> int:
        return zlib.crc32(block, self._salt)

    def _end_sum(self, size: int) -> int:
        return zlib.crc32(self.sums, zlib.crc32(b"%d" % size, self._salt))


def blocks_of(size: int) -> int:
    """How many blocks a body of this size has."""
    return -(-size // BLOCK_BYTES)


def trailer_bytes(size: int) -> int:
    """How long the trailer of a body of this size is."""
    return blocks_of(size) * _SUM.size + _END.size


def seal_body(key: str, number: int, body: bytes) -> bytes:
    """The trailer of a whole body."""
    seal = Seal(key, number)
    view = memoryview(body)
    for offset in range(0, len(body), BLOCK_BYTES):
        seal.add(view[offset : offset + BLOCK_BYTES])
    return seal.trailer(len(body))


def open_body(descriptor: int, key: str, number: int, size: int) -> Seal:
    """The seal of the body in a file. Raises: OSError; StorageError when torn or another's."""
    if os.fstat(descriptor).st_size != size + trailer_bytes(size):
        raise StorageError("a cached body is torn")
    return Seal.read(os.pread(descriptor, trailer_bytes(size), size), key, number, size)


def read_blocks(descriptor: int, seal: Seal, size: int, first: int, end: int) -> bytes:
    """Bytes from `first` up to before `end`, checked. Raises: OSError; StorageError if damaged."""
    if first >= end:
        return b""
    first_block = first // BLOCK_BYTES
    start, stop = first_block * BLOCK_BYTES, min(blocks_of(end) * BLOCK_BYTES, size)
    data = os.pread(descriptor, stop - start, start)
    if len(data) != stop - start:
        raise StorageError("a cached body is torn")
    seal.check(data, first_block)
    return data if (start, stop) == (first, end) else data[first - start : end - start]
