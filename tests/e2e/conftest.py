"""The whole platform as real processes: `blackstart up`, started, driven and ended by tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from blackstart.safeguards import GUARD, Safeguards

DEADLINE_S = 40.0
GIT = [
    "git",
    "-c",
    "user.name=Test",
    "-c",
    "user.email=test@example.com",
    "-c",
    "init.defaultBranch=main",
]


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until the condition holds and return it; fails when it never does."""
    deadline = time.monotonic() + DEADLINE_S
    while not (held := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.05)
    return held


def environment(temporary: Path, **more: str) -> dict[str, str]:
    """Ours without its own settings; temporary folders go below `temporary`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BLACKSTART_")}
    return {**kept, "TMPDIR": str(temporary), **more}


class Up:
    """One running `blackstart up`."""

    def __init__(self, process: subprocess.Popen[str], temporary: Path) -> None:
        self.process = process
        self.temporary = temporary
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"`up` ended early: {process.stderr and process.stderr.read()}"
        self.addresses: dict[str, Any] = json.loads(line)
        self.control = str(self.addresses["control"])
        self.nodes: list[str] = self.addresses["nodes"]
        self.family = psutil.Process(process.pid).children(recursive=True)
        self.bearer = {"Authorization": f"Bearer {self.addresses['token']}"}
        self.client = httpx2.Client(trust_env=False, timeout=20)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        response = self.client.request(
            method, f"{self.control}/api/v1{path}", json=body, headers=self.bearer
        )
        assert response.is_success, response.text
        return response.json()

    def create_site(self, name: str, repository: Path) -> dict[str, Any]:
        body = {"name": name, "repo_url": str(repository)}
        site: dict[str, Any] = self.api("POST", "/sites", body)
        return site

    def build(self, name: str) -> dict[str, Any]:
        """Build a site and wait until it is done."""
        started = self.api("POST", f"/sites/{name}/builds")

        def ended() -> dict[str, Any] | None:
            build: dict[str, Any] = self.api("GET", f"/builds/{started['id']}")
            return build if build["state"] not in ("queued", "running") else None

        build: dict[str, Any] = wait_until(ended, "the build ends")
        assert build["state"] == "done", build
        return build

    def environment(self, **more: str) -> dict[str, str]:
        """For a process beside this platform."""
        return environment(self.temporary, **more)

    def get(self, host: str, path: str, node: int = 0) -> httpx2.Response:
        return self.client.get(f"{self.nodes[node]}{path}", headers={"Host": f"{host}.localhost"})

    def end(self, signum: signal.Signals) -> int:
        """Send a signal, wait for the end, return the exit code."""
        self.process.send_signal(signum)
        return self.process.wait(DEADLINE_S)

    def is_all_gone(self) -> bool:
        return not any(
            process.is_running() and process.status() != psutil.STATUS_ZOMBIE
            for process in self.family
        )


Starter = Callable[..., Any]


UNGUARDED = ",".join(name for name in Safeguards.all_built() if name not in GUARD)


@contextmanager
def start_up(temporary: Path, *arguments: str, **settings: str) -> Iterator[Up]:
    """`blackstart up --json`; ended in any case.

    No guard stands before the database unless the settings say so: tests look into it.
    """
    settings = {"BLACKSTART_SAFEGUARDS": UNGUARDED, **settings}
    command = [sys.executable, "-P", "-m", "blackstart.cli", "up", "--json", *arguments]
    temporary.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(temporary, **settings),
    ) as process:
        try:
            up = Up(process, temporary)
            with up.client:
                yield up
        finally:
            if process.poll() is None:
                process.terminate()


@pytest.fixture
def start() -> Starter:
    """Starts an `up` of the test's own."""
    return start_up


@pytest.fixture
def run_up() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs an `up` that is expected to end by itself."""

    def run(temporary: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "blackstart.cli", "up", *arguments],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            env=environment(temporary, **settings),
        )

    return run


@pytest.fixture
def until() -> Callable[[Callable[[], Any], str], Any]:
    """Waits for a condition."""
    return wait_until


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One platform for all tests that only use it."""
    temporary = tmp_path_factory.mktemp("up")
    with start_up(
        temporary, BLACKSTART_PURGE_TOKEN="a token", BLACKSTART_BUILD_COMMANDS="true"
    ) as up:
        yield up


@pytest.fixture
def commit(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Commits exactly these files to the test's repository and returns its folder."""
    folder = tmp_path / "repository"
    subprocess.run([*GIT, "init", "--quiet", str(folder)], check=True)

    def commit(files: dict[str, bytes]) -> Path:
        git = [*GIT, "-C", str(folder)]
        subprocess.run([*git, "rm", "-rq", "--ignore-unmatch", "."], check=True)
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        subprocess.run([*git, "add", "--all"], check=True)
        subprocess.run([*git, "commit", "--quiet", "--message", "A change"], check=True)
        return folder

    return commit
