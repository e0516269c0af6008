"""`blackstart console`: a shell through the guard, told and on record from its first moment on."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import pexpect
import pytest
from tests.cli.guard.conftest import PASSWORD, PATIENCE_S, Guard, People

from blackstart.guard.channel import ChannelFile
from blackstart.guard.guardroom import Places

COUNT = "print('there are', 3 * db.client['test-guard-cli'].deploys.count_documents({}))"


def told(guard: Guard) -> list[str]:
    """What the channel was told of consoles."""
    lines = ChannelFile(Places(guard.folder).channel).lines()
    return [line.text for line in lines if "console of ada" in line.text]


def ended(people: People, before: int) -> list[str]:
    """What was told since, when a console's end is among it: the guard sees it a moment later."""
    deadline = time.monotonic() + PATIENCE_S
    while not any(" ended after " in text for text in told(people.guard)[before:]):
        assert time.monotonic() < deadline
    return told(people.guard)[before:]


def says(people: People, *words: str) -> Any:
    people.monkeypatch.setenv("BLACKSTART_GUARD_LOGIN", "ada")
    return people.call("console", *words)


def test_code_runs_at_the_guarded_database_and_both_ends_are_told_and_on_record(
    people: People,
) -> None:
    before = len(told(people.guard))
    done = says(people, "-c", COUNT)
    assert (done.code, done.out, done.err) == (0, "there are 60\n", "")
    began, over = ended(people, before)
    assert began.startswith("the console of ada from ")
    assert "began (127.0.0.1:" in began and "blackstart console" in began
    assert over.startswith(began.partition(" began")[0])
    data = ("--data", str(people.guard.folder))
    trail = people.call("audit", "show", "--action", "console", "--json", "--limit", "2", *data)
    first, last = (json.loads(line) for line in trail.out.splitlines())
    assert (first["action"], last["action"]) == ("console.began", "console.ended")
    assert (last["login"], last["client"]) == ("ada", first["client"])
    assert last["seconds"] >= 0


def test_what_comes_by_stdin_is_run(people: People) -> None:
    people.monkeypatch.setattr(sys, "stdin", io.StringIO(f"if True:\n    {COUNT}\n"))
    assert says(people).out == "there are 60\n"


def test_what_is_raised_ends_it_with_1_and_its_end_is_told(people: People) -> None:
    before = len(told(people.guard))
    failed = says(people, "-c", "1/0")
    assert (failed.code, "ZeroDivisionError" in failed.err) == (1, True)
    assert len(ended(people, before)) == 2


def test_what_is_not_set_up_says_how_it_would_be(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BLACKSTART_API_URL", raising=False)
    failed = says(people, "-c", "api.get('sites')")
    assert (failed.code, "BLACKSTART_API_URL is not set" in failed.err) == (2, True)


def test_who_is_nobody_gets_no_console(people: People) -> None:
    people.monkeypatch.setenv("BLACKSTART_GUARD_LOGIN", "eve")
    refused = people.call("console", "-c", "print('here')")
    assert (refused.code, refused.out) == (1, "")


@pytest.fixture
def terminal(people: People, tmp_path: Any) -> Callable[[], Any]:
    """A console in a terminal of 80 columns."""

    def start() -> Any:
        kept = {key: value for key, value in os.environ.items() if key != "BLACKSTART_GUARD_LOGIN"}
        own = {
            "BLACKSTART_GUARD_LOGIN": "ada",
            "BLACKSTART_GUARD_PASSWORD": PASSWORD,
            "IPYTHONDIR": str(tmp_path / "ipython"),
            "IPY_TEST_SIMPLE_PROMPT": "1",
        }
        return pexpect.spawn(
            sys.executable,
            ["-P", "-m", "blackstart.cli", "console"],
            env={**kept, **own},
            encoding="utf-8",
            timeout=PATIENCE_S,
            dimensions=(24, 80),
        )

    return start


def test_in_a_terminal_it_says_what_is_there_and_a_kill_is_noticed(
    people: People, terminal: Callable[[], Any]
) -> None:
    before = len(told(people.guard))
    console = terminal()
    console.expect_exact("this console is on record")
    console.expect_exact("db.deploys.find_one()")
    console.expect_exact("In [1]:")
    console.sendline(COUNT)
    console.expect_exact("there are 60")
    console.sendline("run('guard list')")
    console.expect_exact("nothing waits")
    assert len(told(people.guard)) == before + 1
    console.kill(9)
    console.wait()
    assert len(ended(people, before)) == 2


def test_it_ends_by_exit(people: People, terminal: Callable[[], Any]) -> None:
    before = len(told(people.guard))
    console = terminal()
    console.expect_exact("In [1]:")
    console.sendline("exit")
    console.expect(pexpect.EOF)
    assert console.wait() == 0
    assert len(ended(people, before)) == 2
