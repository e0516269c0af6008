"""The schedule as a real process: ended and killed in the midst of a snapshot, and run again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pymongo import MongoClient
from tests.e2e.conftest import DEADLINE_S, environment, wait_until

from blackstart.recovery.snapshots import Snapshots, State, Verifier
from blackstart.store import ObjectStore

DATABASE = "test-e2e-schedule"
DEPLOYS = 2_000
COMMAND = [sys.executable, "-P", "-m", "blackstart.cli", "snapshot", "schedule", "--every", "1d"]

Process = subprocess.Popen[str]
Start = Callable[..., Any]


class Place:
    """A database that takes a while to read, and a bucket beside it."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.bucket = folder / "bucket"
        self._environment = environment(
            folder,
            BLACKSTART_MONGODB_URI=uri,
            BLACKSTART_DATABASE=DATABASE,
            BLACKSTART_OBJECT_STORE=str(self.bucket),
            BLACKSTART_LEASE_S="1",
        )

    @contextmanager
    def run(self, *arguments: str) -> Iterator[Process]:
        with subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def once(self) -> tuple[int, str, str]:
        with self.run("--once") as process:
            out, err = process.communicate(timeout=DEADLINE_S)
            return process.returncode, out, err

    def keys(self, prefix: str) -> list[str]:
        return asyncio.run(ObjectStore.open(str(self.bucket)).list_keys(f"snapshots/{prefix}"))

    def stop_in_mid_take(self, process: Process) -> None:
        """Have it stand still when it has written some chunks, and not all."""
        wait_until(lambda: self.keys("chunks/"), "the first chunk is stored")
        process.send_signal(signal.SIGSTOP)
        assert len(self.keys("takes/")) == 1, "it is in the midst of it"
        assert self.keys("manifests/") == []

    def only_snapshot_is_whole(self) -> None:
        async def look() -> None:
            snapshots = Snapshots(ObjectStore.open(str(self.bucket)))
            (taken,) = await snapshots.all()
            assert taken.deploy_count == DEPLOYS
            assert (await Verifier(snapshots).verify(taken.id)).state is State.OK

        asyncio.run(look())


@pytest.fixture
def place(mongodb_uri: str, tmp_path: Path) -> Iterator[Place]:
    random = Random(1)
    with MongoClient[dict[str, Any]](mongodb_uri) as client:
        client[DATABASE]["deploys"].insert_many(
            {"_id": f"{number:024x}", "number": number, "title": random.randbytes(9_000)}
            for number in range(DEPLOYS)
        )
        yield Place(mongodb_uri, tmp_path)
        client.drop_database(DATABASE)


def test_ended_in_mid_take_it_gives_up_in_order_and_the_next_run_takes_one(place: Place) -> None:
    with place.run() as process:
        place.stop_in_mid_take(process)
        process.terminate()
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (143, "")
    assert "given up; nothing of it is listed" in err
    assert "Traceback" not in err
    assert place.keys("manifests/") + place.keys("takes/") + place.keys("scheduled/") == []

    code, out, err = place.once()
    assert (code, err) == (0, ""), err
    assert "2000 documents, 17." in out
    assert place.once()[::2] == (0, "nothing is due; no snapshot was taken\n")
    place.only_snapshot_is_whole()


@pytest.mark.slow
def test_killed_in_mid_take_the_next_run_takes_over_and_only_that_one_is_listed(
    place: Place,
) -> None:
    with place.run() as process:
        place.stop_in_mid_take(process)
        process.kill()
    assert len(place.keys("scheduled/")) == 1, "it let go of nothing"

    with place.run() as process:
        assert process.stdout is not None
        assert "2000 documents, 17." in process.stdout.readline()
        process.terminate()
        assert process.wait(DEADLINE_S) == 143
    place.only_snapshot_is_whole()
