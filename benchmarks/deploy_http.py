"""What big deploys cost over HTTP, and how much memory the control server takes for them.

    .venv/bin/python benchmarks/deploy_http.py [--files 10000] [--bytes 2048] [--megabytes 2048]

`blackstart up` runs as people run it. A folder of many small files is deployed
in one go with several uploads at once; the limits are measured in the same run
on the same bytes, and the last column says how many times longer a step takes
than its limit. Then one big file and many files of the same sum are uploaded,
while the control server's memory is watched.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import psutil

UPLOADS_AT_ONCE = (5, 20)
BLOCK_BYTES = 1024 * 1024
MB = 1e6
MIB = 1024 * 1024
MANY_FILE_BYTES = 4 * MIB
SAMPLE_S = 0.01

Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time big deploys over HTTP.")
    parser.add_argument("--files", type=int, default=10_000, help="how many small ones")
    parser.add_argument("--bytes", type=int, default=2_048, help="of each small file")
    parser.add_argument("--megabytes", type=int, default=2_048, help="MiB to upload, 0 for none")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        _serve_bare()
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name, _up(Path(name)) as server:
        memory = _Memory(server.process)
        print(f"control server at its start: {memory.now_mb():.0f} MB")
        for at_once in UPLOADS_AT_ONCE:
            with memory.watched(f"{arguments.files:,} small files, {at_once} at once"):
                _small_files(Path(name), server, arguments.files, arguments.bytes, at_once)
        if arguments.megabytes:
            _big_files(server, memory, arguments.megabytes * MIB)


def _small_files(folder: Path, server: _Server, count: int, size: int, at_once: int) -> None:
    salt = b"%d " % at_once  # What was stored by an earlier run would not be asked for.
    contents = {
        f"{number % 100:02}/{number}.html": hashlib.shake_128(salt + b"%d" % number).digest(size)
        for number in range(count)
    }
    server.at_once = at_once
    steps = _Steps(count, count * size)
    hashing_s = steps.limit("hash bytes in memory", lambda: list(map(_sha1, contents.values())))
    plain, durable = folder / f"plain-{at_once}", folder / f"durable-{at_once}"
    steps.limit("write files", lambda: _write(plain, contents, at_once))
    durable_s = steps.limit(
        "write and fsync", lambda: _write(durable, contents, at_once, durable=True)
    )
    with _bare() as bare:
        bare.at_once = at_once
        bare_s = steps.limit("PUT to a handler that drops it", lambda: _put(bare, "", contents))
        files = steps.step("digest", lambda: _digests(plain), hashing_s)
        body = json.dumps({"files": files}).encode()
        posted_s = steps.limit("POST of the list, dropped", lambda: bare.ask("POST", "/", body))
    site = server.site()
    announced = steps.step(
        "announce",
        lambda: server.ask("POST", f"/api/v1/sites/{site}/deploys", body),
        posted_s,
    )
    if len(announced["required"]) != count:
        raise SystemExit(f"{len(announced['required'])} files are asked for, not {count}")
    # The last file takes the deploy on by itself, so it is timed apart from the others.
    *most, last = sorted(contents)
    path = f"/api/v1/deploys/{announced['id']}"
    upload_s = steps.timed(
        "upload", lambda: _put(server, f"{path}/files", {each: contents[each] for each in most})
    )
    steps.beside("    bare PUTs", upload_s, bare_s)
    steps.beside("    write and fsync", upload_s, durable_s)
    steps.beside("    both", upload_s, bare_s + durable_s)
    steps.step(
        "last file, tree, publish",
        lambda: _put(server, f"{path}/files", {last: contents[last]}),
        durable_s,
    )
    deploy = server.ask("GET", path)
    if (deploy["state"], deploy["file_count"]) != ("ready", count):
        raise SystemExit(f"the deploy is {deploy['state']} with {deploy['file_count']} files")


def _big_files(server: _Server, memory: _Memory, size: int) -> None:
    server.at_once = 1
    with memory.watched(f"one file of {size / MIB:,.0f} MiB"):
        _upload_generated(server, 1, size)
    for at_once in UPLOADS_AT_ONCE:
        server.at_once = at_once
        count = max(1, size // MANY_FILE_BYTES)
        with memory.watched(f"{count} files of 4 MiB, {at_once} at once"):
            _upload_generated(server, count, MANY_FILE_BYTES)


def _upload_generated(server: _Server, count: int, size: int) -> None:
    sources = {f"{number}.bin": _Generated(size) for number in range(count)}
    start = time.perf_counter()
    files = {path: source.sha1() for path, source in sources.items()}
    hashed_s = time.perf_counter() - start
    body = json.dumps({"files": files}).encode()
    announced = server.ask("POST", f"/api/v1/sites/{server.site()}/deploys", body)
    start = time.perf_counter()
    _put(server, f"/api/v1/deploys/{announced['id']}/files", sources)
    wall_s = time.perf_counter() - start
    print(f"upload {count * size / MB / wall_s:.0f} MB/s, {wall_s / hashed_s:.1f} times hashing it")
    deploy = server.ask("GET", f"/api/v1/deploys/{announced['id']}")
    if (deploy["state"], deploy["byte_count"]) != ("ready", count * size):
        raise SystemExit(f"the deploy is {deploy['state']} with {deploy['byte_count']} bytes")


class _Generated:
    """A file's bytes, made as they are sent, and unlike those of any other."""

    _numbers = itertools.count()
    _block = hashlib.shake_128(b"block").digest(BLOCK_BYTES - 8)

    def __init__(self, size: int) -> None:
        self._size = size
        self._number = next(self._numbers)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        for block in range(-(-self._size // BLOCK_BYTES)):
            data = b"%04d%04d" % (self._number % 10_000, block % 10_000) + self._block
            yield data[: self._size - block * BLOCK_BYTES]

    def sha1(self) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for chunk in self:
            digest.update(chunk)
        return digest.hexdigest()


class _Server:
    """A server and how it is asked: connections are kept, one for each thread."""

    def __init__(self, process: psutil.Process, url: str, token: str = "") -> None:
        self.process = process
        self.at_once = UPLOADS_AT_ONCE[0]
        self._address = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._local = threading.local()
        self._sites = itertools.count()

    def site(self) -> str:
        """A new one."""
        body = json.dumps({"name": f"big-{next(self._sites)}"}).encode()
        return str(self.ask("POST", "/api/v1/sites", body)["name"])

    def ask(self, method: str, path: str, body: Any = None, *, keep: bool = False) -> Any:
        """Send bytes, or what an iterable with a length gives; returns the JSON answered.

        The server closes a connection that is quiet for seconds: `keep` one for what follows soon.
        """
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(self._address)
        headers = {**self._headers, "Content-Type": "application/json"}
        headers["Content-Length"] = str(0 if body is None else len(body))
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        if not keep:
            connection.close()
        if response.status >= 300:
            raise SystemExit(f"{method} {path}: {response.status} {answer[:500]!r}")
        return json.loads(answer)


def _put(server: _Server, prefix: str, contents: Any) -> None:
    _at_once(
        server.at_once,
        lambda path: server.ask("PUT", f"{prefix}/{quote(path)}", contents[path], keep=True),
        contents,
    )


def _at_once(count: int, call: Callable[[str], object], names: Iterable[str]) -> None:
    waiting = iter(list(names))
    lock = threading.Lock()

    def client() -> None:
        while True:
            with lock:
                name = next(waiting, None)
            if name is None:
                return
            call(name)

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(client) for _ in range(count)]:
            done.result()


class _Memory:
    """The resident set of a process, sampled."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._peak_mb = 0.0

    def now_mb(self) -> float:
        return float(self._process.memory_info().rss / MB)

    @contextmanager
    def watched(self, what: str) -> Iterator[None]:
        """Prints the peak, and how much the process has grown at it and afterwards."""
        print(f"\n{what}")
        before_mb = self._peak_mb = self.now_mb()
        ended = threading.Event()

        def sample() -> None:
            while not ended.wait(SAMPLE_S):
                self._peak_mb = max(self._peak_mb, self.now_mb())

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            yield
        finally:
            ended.set()
            sampler.join()
        print(
            f"control server: peak {self._peak_mb:.0f} MB, grown by {self._peak_mb - before_mb:.0f}"
            f" MB, {self.now_mb() - before_mb:.0f} MB of them kept"
        )


class _Steps:
    """Times calls and prints a line for each."""

    def __init__(self, files: int, size: int) -> None:
        self._files = files
        self._mb = size / MB
        print(f"{'':<38} {'s':>7} {'us/file':>8} {'MB/s':>7} {'times its limit':>16}")

    def limit(self, name: str, call: Callable[[], object]) -> float:
        """Seconds it took."""
        return self.timed(f"limit: {name}", call)

    def timed(self, name: str, call: Callable[[], object]) -> float:
        """Seconds it took."""
        return self._timed(name, call, None)[1]

    def step(self, name: str, call: Callable[[], Result], limit_s: float) -> Result:
        """What it returned."""
        return self._timed(name, call, limit_s)[0]

    def beside(self, name: str, wall_s: float, limit_s: float) -> None:
        print(f"{name:<62} {wall_s / limit_s:>17.1f}")

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
            f"{name:<38} {wall_s:>7.2f} {wall_s / self._files * 1e6:>8.0f} "
            f"{self._mb / wall_s:>7.1f} {ratio:>16}"
        )
        return result, wall_s


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _sha1(path.read_bytes()) for path in files}


def _write(
    folder: Path, contents: dict[str, bytes], at_once: int, *, durable: bool = False
) -> None:
    def write(path: str) -> None:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb", buffering=0) as file:
            file.write(contents[path])
            if durable:
                os.fsync(file.fileno())

    _at_once(at_once, write, contents)


@contextmanager
def _up(folder: Path) -> Iterator[_Server]:
    """`blackstart up` on free ports; its objects are kept below `folder`."""
    command = [sys.executable, "-P", "-m", "blackstart.cli", "up", "--json"]
    command += ["--nodes", "1", "--workers", "0"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BLACKSTART_")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**kept, "TMPDIR": str(folder)}
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit("`blackstart up` did not start")
            addresses = json.loads(line)
            control = next(
                child
                for child in psutil.Process(process.pid).children(recursive=True)
                if child.cmdline()[1:6] == ["-P", "-m", "blackstart.cli", "serve", "control"]
            )
            yield _Server(control, addresses["control"], addresses["token"])
        finally:
            process.terminate()


@contextmanager
def _bare() -> Iterator[_Server]:
    """The same server with a handler that reads bodies and drops them."""
    command = [sys.executable, "-P", __file__, "--bare"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            yield _Server(psutil.Process(process.pid), url)
        finally:
            process.terminate()


def _serve_bare() -> None:
    from blackstart.service import bind, run, serve_http

    async def drop(scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    async def serve() -> None:
        with bind("127.0.0.1:0") as sock:
            await serve_http(drop, sock, ready=lambda url: print(url, flush=True))

    run(serve())


if __name__ == "__main__":
    main()
