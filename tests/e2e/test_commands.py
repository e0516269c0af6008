"""The commands that ask the control API, against the real platform and real repositories."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from blackstart.cli import post_receive
from blackstart.cli.main import main


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@dataclass(frozen=True)
class Working:
    """A working copy, and the bare repository that it pushes to."""

    folder: Path
    bare: Path

    def git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    def head(self) -> str:
        return self.git("rev-parse", "HEAD").stdout.strip()


@pytest.fixture
def working(commit: Callable[[dict[str, bytes]], Path], tmp_path: Path) -> Working:
    folder, bare = commit({"index.html": b"first"}), tmp_path / "site.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", str(bare)], check=True)
    made = Working(folder, bare)
    made.git("remote", "add", "origin", str(bare))
    made.git("push", "--quiet", "origin", "main")
    return made


@pytest.fixture
def run(up: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process, which was told where the platform is."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("BLACKSTART_API_URL", up.control)
    monkeypatch.setenv("BLACKSTART_API_TOKEN", up.addresses["token"])
    # A proxy that is not there: nothing may ask it for what is on this machine.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    def run(*arguments: str, **more: str) -> Ended:
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
            for name, value in more.items():
                patch.setenv(name, value)
            main(arguments)
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, *capsys.readouterr())

    return run


def test_a_commit_is_built_and_built_again_after_a_force_push(
    up: Any, run: Run, working: Working, commit: Callable[[dict[str, bytes]], Path]
) -> None:
    made = run("site", "create", "pinned", "--plan", "pro", "--repo", str(working.bare))
    assert (made.code, made.err) == (0, "")
    assert "nothing yet" in made.out

    first = working.head()
    started = run("build", "start", "pinned", "--commit", first[:12].upper(), "--follow")
    assert started.code == 0, started.err
    assert first in started.out
    assert up.get("pinned", "/").content == b"first"
    (earlier,) = json.loads(run("build", "list", "pinned", "--json").out)
    assert (earlier["state"], earlier["commit_ref"]) == ("done", first)

    working.git("commit", "--quiet", "--amend", "--allow-empty", "--message", "Another")
    commit({"index.html": b"second"})
    working.git("push", "--quiet", "--force", "origin", "main")
    assert run("build", "start", "pinned", "--follow").code == 0
    assert up.get("pinned", "/").content == b"second"

    again = run("build", "rerun", earlier["id"], "--follow")
    assert again.code == 0, again.err
    assert up.get("pinned", "/").content == b"first"
    shown = json.loads(run("site", "show", "pinned", "--json").out)
    assert shown["published_deploy"]["commit_ref"] == first


def test_an_unknown_commit_is_told_in_one_line(run: Run, working: Working) -> None:
    run("site", "create", "unknown", "--repo", str(working.bare))
    started = run("build", "start", "unknown", "--commit", "0123456789" * 4, "--follow")
    assert started.code == 1
    error = started.err.splitlines()[-1]
    assert error.startswith("error: build ")
    assert "0123456789" * 4 in error
    (found,) = json.loads(run("build", "list", "unknown", "--json").out)
    assert found["state"] == "error"
    assert run("build", "log", found["id"], "--follow").code == 1
    assert run("build", "log", found["id"]).code == 0


def test_a_push_builds_through_the_installed_hook(
    up: Any,
    run: Run,
    until: Callable[..., Any],
    working: Working,
    commit: Callable[[dict[str, bytes]], Path],
) -> None:
    run("site", "create", "pushed", "--repo", str(working.bare))
    hook = json.loads(run("hook", "create", "pushed", "--title", "push", "--json").out)
    into = ("hook", "install", hook["id"], "--into", str(working.bare))
    wrong = run(*into, BLACKSTART_HOOK_SECRET="wrong")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    script = working.bare / "hooks" / "post-receive"
    assert not script.exists()
    installed = run(*into, BLACKSTART_HOOK_SECRET=hook["secret"], BLACKSTART_API_TOKEN="")
    assert (installed.code, installed.out) == (0, ""), installed.err
    assert script.stat().st_mode & 0o777 == 0o700
    assert post_receive.MARK in script.read_text()
    assert json.loads(run("build", "list", "pushed", "--json").out) == []

    working.git("push", "--quiet", "origin", "main:other")
    assert json.loads(run("build", "list", "pushed", "--json").out) == []
    commit({"index.html": b"pushed"})
    reported = working.git("push", "origin", "main").stderr
    assert "remote: blackstart: build " in reported
    until(lambda: up.get("pushed", "/").content == b"pushed", "the page changes")
    (found,) = json.loads(run("build", "list", "pushed", "--json").out)
    assert found["id"] in reported
    assert found["commit_ref"] == working.head()

    assert run("hook", "delete", hook["id"]).code == 0
    assert len(json.loads(run("hook", "list", "pushed", "--json").out)) == 1
    assert run("hook", "delete", hook["id"], "--yes").code == 0
    assert json.loads(run("hook", "list", "pushed", "--json").out) == []
    commit({"index.html": b"too late"})
    late = working.git("push", "origin", "main")
    assert "remote: blackstart: no build was started: no build hook" in late.stderr


def test_a_site_is_deleted_only_with_yes(up: Any, run: Run) -> None:
    run("site", "create", "going")
    asked = run("site", "delete", "going")
    assert asked.code == 0
    assert "would be deleted" in asked.out
    assert run("site", "show", "going").code == 0
    assert run("site", "delete", "going", "--yes").code == 0
    gone = run("site", "show", "going")
    assert (gone.code, gone.err.count("\n")) == (1, 1)
    assert gone.err.startswith("error: no site 'going'")
