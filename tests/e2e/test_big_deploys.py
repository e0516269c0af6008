"""Big deploys over HTTP to a real control server: many files, many bytes, little memory."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

MIB = 1024 * 1024
MB = 1_000_000
NEEDED_BYTES = 6_000_000_000
SAMPLE_S = 0.01

_numbers = itertools.count()
_BLOCK = hashlib.shake_128(b"a block").digest(MIB - 8)

Start = Callable[..., Any]


class Generated:
    """A file whose bytes are made as they are sent; no two files share a block."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._number = next(_numbers)

    def __iter__(self) -> Iterator[bytes]:
        for block, start in enumerate(range(0, self.size, MIB)):
            data = self._number.to_bytes(4) + block.to_bytes(4) + _BLOCK
            yield data[: self.size - start]

    def sha1(self) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for chunk in self:
            digest.update(chunk)
        return digest.hexdigest()


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A folder for a platform that stores much; what is in it is removed afterwards."""
    if shutil.disk_usage(tmp_path).free < NEEDED_BYTES:
        pytest.skip(f"less than {NEEDED_BYTES / 1e9:.0f} GB of the disk are free")
    return tmp_path / "room"


def deploy(up: Any, files: Mapping[str, Generated], *, at_once: int) -> dict[str, Any]:
    """Announce the files on a new site, upload them all, and return the deploy as it is then."""
    site = up.api("POST", "/sites", {"name": f"big-{next(_numbers)}"})
    digests = {path: file.sha1() for path, file in files.items()}
    announced = up.api("POST", f"/sites/{site['name']}/deploys", {"files": digests})
    assert sorted(announced["required"]) == sorted(digests.values())
    with httpx2.Client(
        base_url=f"{up.control}/api/v1/deploys/{announced['id']}/files/",
        headers=up.bearer,
        trust_env=False,
        timeout=60,
    ) as client:

        def put(path: str) -> None:
            size = {"Content-Length": str(files[path].size)}
            response = client.put(path, content=iter(files[path]), headers=size)
            assert response.status_code == 200, response.text

        with ThreadPoolExecutor(at_once) as pool:
            for _ in pool.map(put, files):
                pass
    found: dict[str, Any] = up.api("GET", f"/deploys/{announced['id']}")
    return found


def control_process(up: Any) -> psutil.Process:
    serve = ["blackstart.cli", "serve", "control"]
    [found] = [each for each in up.family if each.cmdline()[3:6] == serve]
    assert isinstance(found, psutil.Process)
    return found


class Memory:
    """The resident set of a process in bytes: before, and at its highest."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.before = self.peak = self.now()

    def now(self) -> int:
        return int(self._process.memory_info().rss)

    def sample(self) -> None:
        self.peak = max(self.peak, self.now())


@contextmanager
def watched(up: Any) -> Iterator[Memory]:
    """Samples the control server's memory all the while."""
    memory, ended = Memory(control_process(up)), threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_S):
            memory.sample()

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield memory
    finally:
        ended.set()
        sampler.join()
        memory.sample()


def numbered(count: int, size: int) -> dict[str, Generated]:
    return {f"{number % 50}/{number}.bin": Generated(size) for number in range(count)}


def test_hundreds_of_small_files_go_over_http_in_one_go(up: Any) -> None:
    files = {"index.html": Generated(2_048), **numbered(299, 2_048)}
    done = deploy(up, files, at_once=5)
    assert (done["state"], done["file_count"]) == ("ready", 300)
    host = up.api("GET", f"/sites/{done['site_id']}")["name"]
    assert up.get(host, "/").content == b"".join(files["index.html"])
    assert up.get(host, "/48/298.bin").content == b"".join(files["48/298.bin"])


def test_an_upload_is_not_gathered_in_memory(up: Any) -> None:
    with watched(up) as memory:
        done = deploy(up, {"big.bin": Generated(64 * MIB)}, at_once=1)
        assert (done["state"], done["byte_count"]) == ("ready", 64 * MIB)
    assert memory.peak - memory.before < 60 * MB


@pytest.mark.slow
def test_ten_thousand_files_go_over_http_in_one_go(start: Start, room: Path) -> None:
    with start(room, "--workers", "0", "--nodes", "1") as up:
        done = deploy(up, numbered(10_000, 2_048), at_once=5)
        assert (done["state"], done["file_count"]) == ("ready", 10_000)
        stored = Path(up.addresses["object_store"])
        assert sum(1 for _ in stored.glob("blobs/*/*")) == 10_000
    assert not stored.exists(), "what was stored is gone with the platform"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "size", "at_once"),
    [(1, 2_048 * MIB, 1), (128, 4 * MIB, 20)],
    ids=["one file of 2 GiB", "128 files of 4 MiB"],
)
def test_the_control_server_stays_small_under_big_uploads(
    start: Start, room: Path, count: int, size: int, at_once: int
) -> None:
    with start(room, "--workers", "0", "--nodes", "1") as up, watched(up) as memory:
        done = deploy(up, numbered(count, size), at_once=at_once)
        assert (done["state"], done["byte_count"]) == ("ready", count * size)
    assert memory.peak < 200 * MB
