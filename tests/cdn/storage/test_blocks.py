"""Tests of a body's file: no byte of a damaged block is given."""

import os

import pytest

from blackstart.cdn.storage.blocks import BLOCK_BYTES, open_body, read_blocks, seal_body
from blackstart.errors import StorageError
from blackstart.seed import Seed

SIZE = 2 * BLOCK_BYTES + 100
BODY = Seed(1).random.randbytes(SIZE)


@pytest.fixture
def descriptor(tmp_path):
    path = tmp_path / "body"
    path.write_bytes(BODY + seal_body("a /", 7, BODY))
    opened = os.open(path, os.O_RDWR)
    yield opened
    os.close(opened)


@pytest.mark.parametrize(
    ("first", "end"), [(0, SIZE), (5, 9), (BLOCK_BYTES - 1, BLOCK_BYTES + 1), (SIZE - 1, SIZE)]
)
def test_any_bytes_can_be_read(descriptor, first, end) -> None:
    seal = open_body(descriptor, "a /", 7, SIZE)
    assert read_blocks(descriptor, seal, SIZE, first, end) == BODY[first:end]


@pytest.mark.parametrize("offset", [0, BLOCK_BYTES, SIZE - 1])
def test_a_damaged_block_is_not_given_and_the_others_are(descriptor, offset) -> None:
    os.pwrite(descriptor, bytes([BODY[offset] ^ 1]), offset)
    seal = open_body(descriptor, "a /", 7, SIZE)
    for block in range(3):
        first, end = block * BLOCK_BYTES, min((block + 1) * BLOCK_BYTES, SIZE)
        if first <= offset < end:
            with pytest.raises(StorageError, match=f"block {block}"):
                read_blocks(descriptor, seal, SIZE, first, end)
        else:
            assert read_blocks(descriptor, seal, SIZE, first, end) == BODY[first:end]


def test_blocks_in_another_order_are_damage(descriptor) -> None:
    os.pwrite(descriptor, BODY[BLOCK_BYTES : 2 * BLOCK_BYTES] + BODY[:BLOCK_BYTES], 0)
    seal = open_body(descriptor, "a /", 7, SIZE)
    with pytest.raises(StorageError):
        read_blocks(descriptor, seal, SIZE, 0, 1)


@pytest.mark.parametrize(
    ("key", "number", "size"), [("b /", 7, SIZE), ("a /", 8, SIZE), ("a /", 7, SIZE - 1)]
)
def test_another_s_body_is_refused(descriptor, key, number, size) -> None:
    with pytest.raises(StorageError):
        open_body(descriptor, key, number, size)


def test_a_file_cut_short_is_refused(descriptor) -> None:
    os.ftruncate(descriptor, SIZE)
    with pytest.raises(StorageError, match="torn"):
        open_body(descriptor, "a /", 7, SIZE)
