"""Tests of the program that keeps a child exactly as long as its parent."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from blackstart import lifeline

READY = b"ready\n"
PATIENCE_S = 30
WAIT = "import signal; signal.alarm(60); print('ready', flush=True); signal.pause()"
"""Ends by itself in the end, so that a test that fails leaves nobody behind."""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAIT
LAST_WORDS = (
    """
import os, signal, sys
def end(*_):
    os.write(1, b'goodbye\\n')  # The first print may still be under way.
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
"""
    + WAIT
)
KILLED = 256 - signal.SIGKILL


def line(*arguments: str, code: str) -> list[str]:
    program = [sys.executable, "-I", "-S", lifeline.__file__, *arguments, "--"]
    return [*program, sys.executable, "-c", code]


@contextmanager
def running(*arguments: str, code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A lifeline whose command has said that it is ready; what it says last is the test's."""
    with subprocess.Popen(
        line(*arguments, code=code), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == READY
        yield process


def last_words(process: subprocess.Popen[bytes]) -> bytes:
    """All it says until everybody who could say something has ended, while we hold the line."""
    held, process.stdin = process.stdin, None
    assert held is not None
    with held:
        return let_go(process)


def let_go(process: subprocess.Popen[bytes]) -> bytes:
    """As `last_words`, after closing our end of the line."""
    try:
        return process.communicate(timeout=PATIENCE_S)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def ended(*arguments: str, code: str) -> tuple[int, bytes]:
    """Exit code and output of a lifeline that is held until its command ends by itself."""
    with subprocess.Popen(
        line(*arguments, code=code), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        said = last_words(process)
    return process.returncode, said


def test_the_commands_exit_code_and_output_are_passed_on() -> None:
    assert ended(code="import sys; print('hello'); sys.exit(3)") == (3, b"hello\n")


def test_the_command_cannot_read_what_the_parent_holds() -> None:
    assert ended(code="import sys; print(repr(sys.stdin.read()))") == (0, b"''\n")


def test_a_command_that_does_not_exist_is_one_line_and_127_and_its_folders_go(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, lifeline.__file__, "--remove", str(folder), "--", "/no/such/program"],
        input=b"",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 127
    assert done.stderr.count(b"\n") == 1
    assert b"/no/such/program" in done.stderr
    assert not folder.exists()


def test_without_a_command_it_guards_its_folders_until_the_parent_lets_go(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-I", "-S", lifeline.__file__, "--remove", str(folder)],
        stdin=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.poll() is None
        assert folder.exists()
        process.stdin.close()
        assert process.wait() == 0
    assert not folder.exists()


def test_when_the_parent_lets_go_the_command_may_end_in_order() -> None:
    with running("--grace", "60", code=LAST_WORDS) as process:
        assert let_go(process) == b"goodbye\n"
    assert process.returncode == 7


def test_without_grace_the_command_is_killed_at_once() -> None:
    with running("--grace", "0", code=LAST_WORDS) as process:
        assert let_go(process) == b""
    assert process.returncode == KILLED


def test_a_command_that_does_not_listen_is_killed_after_its_grace() -> None:
    with running("--grace", "0.1", code=DEAF) as process:
        let_go(process)
    assert process.returncode == KILLED


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_lifeline_ends_the_command_in_order(signum: signal.Signals) -> None:
    with running("--grace", "60", code=LAST_WORDS) as process:
        process.send_signal(signum)
        assert last_words(process) == b"goodbye\n"
    assert process.returncode == 7


def test_the_commands_own_children_end_with_it() -> None:
    family = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[1]]);"
        "child.wait()"
    )
    with subprocess.Popen(
        [*line("--grace", "0.1", code=family), DEAF],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == READY
        assert let_go(process) == b"", "the pipe closes once the grandchild is gone as well"


def test_children_that_a_command_leaves_behind_end_with_it() -> None:
    family = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]])"
    with subprocess.Popen(
        [*line(code=family), DEAF], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert last_words(process) in (b"", READY)
    assert process.returncode == 0


@pytest.mark.parametrize("how", ["by itself", "let go"])
def test_the_folders_are_removed_however_the_command_ends(tmp_path: Path, how: str) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_text("data")
    kept = tmp_path / "kept"
    kept.mkdir()
    remove = [part for folder in folders for part in ("--remove", str(folder))]
    if how == "by itself":
        ended(*remove, code="pass")
    else:
        with running(*remove, code=WAIT) as process:
            let_go(process)
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can adopt orphans")
def test_with_family_even_an_orphan_with_a_session_of_its_own_ends_with_the_command() -> None:
    orphan = (
        "import os, subprocess, sys\n"
        "if os.fork() == 0:\n"
        "    subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n" + WAIT.replace("'ready'", "'waiting'")
    )
    with subprocess.Popen(
        [*line("--grace", "0", "--family", code=orphan), DEAF],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        said = {process.stdout.readline(), process.stdout.readline()}
        assert said == {READY, b"waiting\n"}
        assert let_go(process) == b"", "the pipe closes once the orphan is gone as well"


def test_a_limit_holds_for_the_command_and_never_raises_an_older_one() -> None:
    show = "import resource; print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    once = ["--limit", "NOFILE=100"]
    assert ended(*once, code=show) == (0, b"100 105\n")
    assert ended(*once, "--limit", "NOFILE=200", code=show) == (0, b"105 105\n")
