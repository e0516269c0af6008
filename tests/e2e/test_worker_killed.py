"""A worker killed with SIGKILL in the middle of a build: another one goes on with what it began."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pymongo import MongoClient

LEASE_S = "2"
TOKEN = "a token"
LISTEN = ("--listen", "127.0.0.1:0")
FILES = {"index.html": b"home", **{f"{n % 50}/{n}.txt": b"file %d" % n for n in range(2_500)}}

Start = Callable[..., Any]
Until = Callable[[Callable[[], Any], str], Any]


class Outside:
    """A worker beside an `up`, which does not depend on its life."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def happened(self, event: str) -> list[dict[str, Any]]:
        """What it logged about an event."""
        entries = [json.loads(line) for line in self._log.read_text().splitlines() if "{" in line]
        return [entry for entry in entries if entry.get("event") == event]


@pytest.fixture
def worker(tmp_path: Path) -> Callable[[Any, str], Any]:
    @contextmanager
    def run(up: Any, name: str) -> Iterator[Outside]:
        log = tmp_path / f"{name}.log"
        settings = {
            "MONGODB_URI": up.addresses["mongodb_uri"],
            "OBJECT_STORE": up.addresses["object_store"],
            "GIT_CACHE": str(tmp_path / "git"),
            "POINTER_LOG": str(tmp_path / "pointer-log"),
            "NODE_URLS": ",".join(up.nodes),
            "PURGE_TOKEN": TOKEN,
            "LEASE_S": LEASE_S,
            "LOG_FORMAT": "json",
        }
        with (
            log.open("wb") as out,
            subprocess.Popen(
                [sys.executable, "-P", "-m", "blackstart.cli", "serve", "worker", *LISTEN],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=up.environment(
                    BLACKSTART_REPO_FOLDERS="/",
                    **{f"BLACKSTART_{key}": settings[key] for key in settings},
                ),
            ) as process,
        ):
            try:
                yield Outside(process, log)
            finally:
                process.kill()

    return run


@pytest.mark.slow
def test_what_a_killed_worker_began_is_taken_over_after_its_lease_and_published_once(
    start: Start,
    worker: Callable[[Any, str], Any],
    until: Until,
    commit: Callable[[dict[str, bytes]], Path],
    tmp_path: Path,
) -> None:
    with (
        start(
            tmp_path / "tmp",
            *("--workers", "0", "--nodes", "1"),
            BLACKSTART_PURGE_TOKEN=TOKEN,
        ) as up,
        MongoClient(up.addresses["mongodb_uri"], tz_aware=True) as client,
    ):
        database = client["blackstart"]
        up.create_site("docs", commit(FILES))
        build_id = up.api("POST", "/sites/docs/builds")["id"]

        def build() -> dict[str, Any]:
            found = database["builds"].find_one({"_id": build_id})
            assert found is not None
            return found

        def stored() -> list[Path]:
            found = Path(up.addresses["object_store"]).glob("blobs/*/*")
            return [path for path in found if "#" not in path.name]  # half a write is no blob

        with worker(up, "first") as first:
            until(lambda: build()["deploy_id"], "the first worker makes the deploy")
            until(stored, "the first files arrive")
            first.process.send_signal(signal.SIGSTOP)
            begun = build()
            arrived = len(stored())
            assert begun["state"] == "running"
            assert 0 < arrived < len(FILES), "it is in the middle of its uploads"
            first.process.kill()
            assert first.process.wait() == -signal.SIGKILL

        with worker(up, "second") as second:
            until(lambda: build()["state"] not in ("queued", "running"), "the build ends")
        ended = build()
        assert (ended["state"], ended["error"]) == ("done", None)
        assert (ended["attempt"], ended["deploy_id"]) == (2, begun["deploy_id"])
        assert ended["commit_ref"] == begun["commit_ref"]
        assert f"going on with deploy {begun['deploy_id']}" in ended["log"]
        assert [each.happened("site.published") for each in (first, second)].count([]) == 1
        assert len(second.happened("site.published")) == 1

        deploys = list(database["deploys"].find())
        assert [(deploy["number"], deploy["state"]) for deploy in deploys] == [(1, "ready")]
        site = database["sites"].find_one({"name": "docs"})
        assert site is not None
        assert site["published_deploy_id"] == begun["deploy_id"]
        assert len(stored()) == len(FILES)
        for path in ("index.html", "0/0.txt", "49/2499.txt"):
            response: httpx2.Response = up.get("docs", f"/{path}")
            assert response.content == FILES[path]
