"""`blackstart snapshot mount`: its address, what is read there, its end, and what is refused."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo import MongoClient
from tests.cli.snapshot.conftest import DATABASE, Place

PATIENCE_S = 60.0


@contextmanager
def mounting(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process, and the address that it prints when it is ready."""
    command = [sys.executable, "-m", "blackstart.cli", "snapshot", "mount", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            if process.poll() is None:
                process.kill()


def numbers_at(uri: str) -> list[int]:
    with MongoClient[dict[str, Any]](uri) as client:
        found = client[DATABASE]["deploys"].find({"number": {"$gte": 0}})
        return [each["number"] for each in found]


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_serves_the_snapshot_until_it_is_ended(
    place: Place, signum: signal.Signals, code: int
) -> None:
    place.fill(5)
    snapshot_id = place.take()
    place.database(lambda database: database["deploys"].delete_many({}))
    with mounting("newest") as (process, uri):
        assert uri.startswith("mongodb://127.0.0.1:")
        assert f"/{DATABASE}?" in uri
        assert numbers_at(uri) == [0, 1, 2, 3, 4]
        process.send_signal(signum)
        assert process.wait(PATIENCE_S) == code
        assert process.stderr is not None
        said = process.stderr.read()
    assert f"snapshot {snapshot_id} of " in said
    assert "5 documents, read-only" in said
    assert f"mongosh '{uri}'" in said
    assert "Traceback" not in said


def test_a_moment_chooses_the_last_one_before_it(place: Place) -> None:
    place.fill(2)
    first = place.take()
    second = place.take()
    (later,) = [each for each in place.json("list") if each["id"] == second]
    with mounting("newest", "--before", later["taken_at"]) as (process, uri):
        assert numbers_at(uri) == [0, 1]
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
        assert process.stderr is not None
        assert f"snapshot {first} " in process.stderr.read()


def test_it_listens_on_the_port_it_is_told(place: Place) -> None:
    place.fill(1)
    snapshot_id = place.take()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = place.call("snapshot", "mount", snapshot_id, "--port", port)
        assert refused.code == 1
        assert port in refused.err
    with mounting(snapshot_id[:12], "--port", port) as (_, uri):
        assert uri.startswith(f"mongodb://127.0.0.1:{port}/")
        assert numbers_at(uri) == [0]


def test_an_empty_snapshot_is_called_so(place: Place) -> None:
    place.take()
    with mounting("newest") as (process, uri):
        assert numbers_at(uri) == []
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
        assert process.stderr is not None
        assert "EMPTY" in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["newest"], 1, "no snapshot of"),
        (["20170202"], 1, "no snapshot '20170202'"),
        (["newest", "--before", "2017-02-02"], 1, "before 2017-02-02 00:00:00 UTC"),
        (["newest", "--before", "2017-02-02T17:17:00+02:00"], 1, "before 2017-02-02 15:17:00 UTC"),
        (["newest", "--before", "yesterday"], 2, "'yesterday' is no time"),
        (["20170202", "--before", "2017-02-02"], 2, "goes with `newest` only"),
        (["newest", "--port", "70000"], 2, "65535"),
    ],
)
def test_what_cannot_be_mounted_is_refused_in_a_line(
    place: Place, arguments: list[str], code: int, said: str
) -> None:
    refused = place.call("snapshot", "mount", *arguments)
    assert refused.code == code
    assert said in refused.err
    assert refused.out == ""


def test_a_damaged_manifest_is_not_mounted(place: Place) -> None:
    place.fill(1)
    snapshot_id = place.take()
    place.damage_manifest(snapshot_id)
    refused = place.call("snapshot", "mount", snapshot_id)
    assert refused.code == 1
    assert snapshot_id in refused.err
