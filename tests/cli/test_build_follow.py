"""Following a build's log: to its end, over broken connections, and until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from blackstart.cli import build_follow

if TYPE_CHECKING:
    from tests.cli.conftest import FakeApi

Call = Callable[..., Any]
ID = "0123456789abcdef01234567"
STREAM = f"GET /builds/{ID}/log/stream"
EVENTS = {"content_type": "text/event-stream"}


def lines(first: int, *texts: str, end: str = "") -> bytes:
    events = [f"event: line\nid: {n}\ndata: {text}\n\n" for n, text in enumerate(texts, first)]
    events += [f"event: end\nid: 9\ndata: {end}\n\n"] if end else [": still here\n\n"]
    return "".join(events).encode()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_follow, "PAUSE_S", 0)


def test_a_log_ends_with_0_when_the_build_is_done(call: Call, fake_api: FakeApi) -> None:
    fake_api.answer(STREAM, lines(1, "one", "", "\x1b[31mthree", end="done"), **EVENTS)
    done = call("build", "log", ID, "--follow")
    assert (done.code, done.out, done.err) == (0, "one\n\n\ufffd[31mthree\n", "")


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        ("error", "no such commit", f"error: build {ID} ended: no such commit\n"),
        ("cancelled", None, f"error: build {ID} ended: cancelled\n"),
        ("deleted", None, f"error: build {ID} was deleted with its site\n"),
    ],
)
def test_a_log_ends_with_1_when_the_build_did_not_end_well(
    call: Call, fake_api: FakeApi, state: str, error: str | None, said: str
) -> None:
    fake_api.answer(STREAM, lines(1, "one", end=state), **EVENTS)
    fake_api.answer(f"GET /builds/{ID}", {"error": error})
    done = call("build", "log", ID, "--follow")
    assert (done.code, done.out, done.err) == (1, "one\n", said)


def test_a_log_that_breaks_off_is_taken_up_where_it_was(call: Call, fake_api: FakeApi) -> None:
    fake_api.answer(STREAM, lines(1, "one", "two"), **EVENTS)
    fake_api.answer(STREAM, b"", **EVENTS)
    fake_api.answer(STREAM, lines(3, "three", end="done"), **EVENTS)
    done = call("build", "log", ID, "--follow")
    assert (done.code, done.out) == (0, "one\ntwo\nthree\n")
    assert [each["last-event-id"] for each in fake_api.fields] == ["0", "2", "2"]


def test_a_log_that_only_breaks_off_is_given_up(call: Call, fake_api: FakeApi) -> None:
    fake_api.answer(STREAM, b"", **EVENTS)
    done = call("build", "log", ID, "--follow")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert f"`blackstart build log {ID} --follow` takes it up again" in done.err
    assert len(fake_api.asked) == build_follow.TRIES


def test_a_log_of_no_build_is_refused_at_once(call: Call, fake_api: FakeApi) -> None:
    fake_api.refuse(STREAM, 404, "not_found", "no build", "look")
    done = call("build", "log", ID, "--follow")
    assert (done.code, done.out, done.err) == (1, "", "error: no build (look)\n")
    assert len(fake_api.asked) == 1


@pytest.mark.usefixtures("fake_api")
def test_where_nobody_answers_no_log_is_followed(call: Call) -> None:
    done = call("build", "log", ID, "--follow", "--api", "http://127.0.0.1:1")
    assert done.code == 1
    assert done.err.startswith("error: nothing answers at http://127.0.0.1:1")


@pytest.mark.parametrize("path", ["POST /sites/docs/builds", f"POST /builds/{ID}/rerun"])
def test_starting_and_repeating_follow_as_well(call: Call, fake_api: FakeApi, path: str) -> None:
    fake_api.answer(path, {"id": ID, "commit_ref": "a" * 40, "state": "queued"})
    fake_api.answer(STREAM, lines(1, "one", end="done"), **EVENTS)
    command = ["start", "docs"] if "sites" in path else ["rerun", ID]
    done = call("build", *command, "--follow")
    assert (done.code, done.out) == (0, "one\n")
    assert done.err == f"build {ID} of commit aaaaaaa is queued\n"


def test_ctrl_c_ends_the_watching_and_not_the_build(fake_api: FakeApi) -> None:
    fake_api.answer("POST /sites/docs/builds", {"id": ID, "commit_ref": None, "state": "queued"})
    fake_api.answer(STREAM, lines(1, "one"), **EVENTS)
    fake_api.silent = STREAM
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "blackstart.cli", "build", "start", "docs", "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=40)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines() == [
        f"build {ID} is queued",
        f"build {ID} is not called off; see `blackstart build cancel`",
    ]
    assert not any("cancel" in each for each in fake_api.asked)
