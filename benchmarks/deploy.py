"""What the steps of a deploy cost, beside what the machine can do at all.

    .venv/bin/python benchmarks/deploy.py [--files 10000] [--bytes 2048]

Many small files are digested, asked for, uploaded five at a time as the
Netlify command line does, and made into a tree, through the classes the
servers use. The limits are measured in the same run on the same bytes. The
last column says how many times longer a step takes than its limit.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from blackstart.builder.files import digest_files
from blackstart.model import ManifestFile, Tree, TreeEntry
from blackstart.store import ObjectStore

UPLOADS_AT_ONCE = 5
MAX_BYTES = 2**30

Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the steps of a deploy.")
    parser.add_argument("--files", type=int, default=10_000, help="how many")
    parser.add_argument("--bytes", type=int, default=2_048, help="of each file")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        _run(Path(name), _contents(arguments.files, arguments.bytes))


def _contents(count: int, size: int) -> dict[str, bytes]:
    return {
        f"{number % 100:02}/{number}.html": hashlib.shake_128(b"%d" % number).digest(size)
        for number in range(count)
    }


def _run(folder: Path, contents: dict[str, bytes]) -> None:
    steps = _Steps(len(contents), sum(map(len, contents.values())))
    hashing_s = steps.limit("hash bytes in memory", lambda: _hash(contents.values()))
    plain_s = steps.limit("write files", lambda: _write(folder / "plain", contents))
    durable_s = steps.limit(
        "write and fsync", lambda: _write(folder / "durable", contents, durable=True)
    )
    files = steps.step("digest", lambda: digest_files(folder / "plain", list(contents)), hashing_s)
    memory = ObjectStore.open("memory://")
    steps.step("upload, memory", lambda: asyncio.run(_upload(memory, files, contents)), hashing_s)
    store = ObjectStore.open(str(folder / "objects"))
    steps.step("upload, folder", lambda: asyncio.run(_upload(store, files, contents)), durable_s)
    sha1s = [file.sha1 for file in files]
    steps.step("ask what is stored", lambda: asyncio.run(store.stat_blobs(sha1s)), plain_s)
    tree = Tree({file.path: TreeEntry(file.sha1, file.size) for file in files})
    steps.step("tree", lambda: asyncio.run(store.put_tree(tree)), plain_s)


class _Steps:
    """Times calls and prints a line for each."""

    def __init__(self, files: int, size: int) -> None:
        self._files = files
        self._mb = size / 1e6
        print(f"{files:,} files, {self._mb:.1f} MB")
        print(f"{'':<26} {'s':>7} {'us/file':>8} {'MB/s':>7} {'times its limit':>16}")

    def limit(self, name: str, call: Callable[[], object]) -> float:
        """Seconds it took."""
        return self._timed(f"limit: {name}", call, None)[1]

    def step(self, name: str, call: Callable[[], Result], limit_s: float) -> Result:
        """What it returned."""
        return self._timed(name, call, limit_s)[0]

    def _timed(
        self, name: str, call: Callable[[], Result], limit_s: float | None
    ) -> tuple[Result, float]:
        # What an earlier step left in the page cache is not for this one to write.
        os.sync()
        start = time.perf_counter()
        result = call()
        wall_s = time.perf_counter() - start
        ratio = f"{wall_s / limit_s:.1f}" if limit_s else ""
        print(
            f"{name:<26} {wall_s:>7.2f} {wall_s / self._files * 1e6:>8.0f} "
            f"{self._mb / wall_s:>7.1f} {ratio:>16}"
        )
        return result, wall_s


def _hash(contents: Iterable[bytes]) -> None:
    for data in contents:
        hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _write(folder: Path, contents: dict[str, bytes], *, durable: bool = False) -> None:
    for path, data in contents.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb", buffering=0) as file:
            file.write(data)
            if durable:
                os.fsync(file.fileno())


async def _upload(
    store: ObjectStore, files: list[ManifestFile], contents: dict[str, bytes]
) -> None:
    waiting = iter(files)

    async def client() -> None:
        for file in waiting:
            chunks = _one_chunk(contents[file.path])
            await store.put_blob_stream(chunks, file.sha1, max_bytes=MAX_BYTES)

    async with asyncio.TaskGroup() as group:
        for _ in range(UPLOADS_AT_ONCE):
            group.create_task(client())


async def _one_chunk(data: bytes) -> AsyncIterator[bytes]:
    yield data


if __name__ == "__main__":
    main()
