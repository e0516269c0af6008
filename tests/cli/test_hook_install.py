"""`blackstart hook install`: the secret is tried, and nobody's hook is written over."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from blackstart.cli import post_receive
from blackstart.cli.hook_install import write_hook
from blackstart.errors import ConflictError

if TYPE_CHECKING:
    from tests.cli.conftest import FakeApi

Call = Callable[..., Any]
ID = "0123456789abcdef01234567"
CALLED = f"POST /build_hooks/{ID}"
SECRET = 'a "secret" \\ of naïve $(characters)'
HEAD = "1" * 40


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    folder = tmp_path / "site.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True)
    return folder


@pytest.fixture
def install(call: Call, fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Installs a hook that the API knows; without a token, which it does not need."""
    monkeypatch.delenv("BLACKSTART_API_TOKEN")
    monkeypatch.setenv("BLACKSTART_HOOK_SECRET", SECRET)
    return lambda into: call("hook", "install", ID, "--into", str(into))


def push(script: Path, *reports: str) -> subprocess.CompletedProcess[str]:
    """Run the hook as git does after a push."""
    return subprocess.run(
        [sys.executable, str(script)],
        input="".join(f"{line}\n" for line in reports),
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"},
    )


def identity(path: Path) -> tuple[int, int, int]:
    """The same for a file that nobody touched."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_mtime_ns


def signature(body: bytes) -> str:
    return f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}"


def test_what_is_installed_reports_signed_pushes_of_branches(
    install: Call, fake_api: FakeApi, bare: Path
) -> None:
    fake_api.answer(CALLED, b"", 204)
    assert install(bare).code == 0
    fake_api.answers[CALLED] = []
    fake_api.answer(CALLED, {"id": "b1", "state": "queued"})
    done = push(
        bare / "hooks" / "post-receive",
        f"{'0' * 40} {HEAD} refs/heads/main",
        f"{HEAD} {'0' * 40} refs/heads/deleted",
        f"{HEAD} {'2' * 40} refs/tags/v1",
    )
    assert (done.returncode, done.stdout) == (0, "blackstart: build b1 of main is queued\n")
    tried, pushed = fake_api.bodies
    assert json.loads(tried) == {"ref": "refs/blackstart/none"}
    assert json.loads(pushed) == {"ref": "refs/heads/main", "before": "0" * 40, "after": HEAD}
    sent = [each["x-hub-signature-256"] for each in fake_api.fields]
    assert sent == [signature(tried), signature(pushed)]


def test_a_push_does_not_fail_with_its_hook(install: Call, fake_api: FakeApi, bare: Path) -> None:
    fake_api.answer(CALLED, b"", 204)
    install(bare)
    script = bare / "hooks" / "post-receive"
    report = f"{'0' * 40} {HEAD} refs/heads/main"
    assert push(script, report).stdout == ""
    fake_api.answers[CALLED] = []
    fake_api.refuse(CALLED, 404, "not_found", "no such hook")
    refused = push(script, report, report)
    assert (refused.returncode, refused.stderr) == (0, "")
    assert refused.stdout == "blackstart: no build was started: no such hook\n"
    script.write_text(script.read_text().replace(fake_api.url, "http://127.0.0.1:1"))
    away = push(script, report, report)
    assert (away.returncode, away.stderr) == (0, "")
    assert away.stdout.startswith("blackstart: no build was started: 127.0.0.1:1: ")


def test_an_own_hook_is_replaced_and_nothing_else_stays(
    install: Call, fake_api: FakeApi, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_api.answer(CALLED, b"", 204)
    install(bare)
    before = set((bare / "hooks").iterdir())
    monkeypatch.setenv("BLACKSTART_HOOK_SECRET", "another")
    assert install(bare).code == 0
    assert set((bare / "hooks").iterdir()) == before
    text = (bare / "hooks" / "post-receive").read_text()
    assert '\nSECRET = "another"\n' in text
    assert "naïve" not in text


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "folder"])
def test_somebody_else_s_hook_stays_as_it_is(
    install: Call, fake_api: FakeApi, bare: Path, tmp_path: Path, kind: str
) -> None:
    fake_api.answer(CALLED, b"", 204)
    script, theirs = bare / "hooks" / "post-receive", tmp_path / "theirs"
    script.parent.mkdir(exist_ok=True)
    if kind == "folder":
        script.mkdir()
    elif kind == "file":
        script.write_bytes(b"#!/bin/sh\n\xff")
    else:
        script.symlink_to(theirs)
        if kind == "link":
            theirs.write_text(post_receive.MARK)
    before = identity(script)
    done = install(bare)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "is somebody else's" in done.err
    assert identity(script) == before
    assert [each.name for each in script.parent.glob(".*")] == []


def test_a_hook_that_comes_in_between_is_not_written_over(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = bare / "hooks" / "post-receive"
    fsync = os.fsync

    def meanwhile(descriptor: int) -> None:
        fsync(descriptor)
        script.write_text("theirs")

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(ConflictError, match="somebody else's"):
        write_hook(bare / "hooks", "http://127.0.0.1:1", ID, SECRET)
    assert script.read_text() == "theirs"
    assert [each.name for each in script.parent.glob(".*")] == []


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "said"),
    [
        (401, "unauthorized", 2, "set BLACKSTART_HOOK_SECRET to what `blackstart hook create`"),
        (404, "not_found", 1, "no hook"),
    ],
)
def test_what_the_api_does_not_take_is_not_installed(
    install: Call,
    fake_api: FakeApi,
    bare: Path,
    status: int,
    code: str,
    exit_code: int,
    said: str,
) -> None:
    fake_api.refuse(CALLED, status, code, "no hook")
    done = install(bare)
    assert (done.code, done.out, done.err.count("\n")) == (exit_code, "", 1)
    assert said in done.err
    assert not (bare / "hooks" / "post-receive").exists()


def test_where_nobody_answers_nothing_is_installed(
    install: Call, monkeypatch: pytest.MonkeyPatch, bare: Path
) -> None:
    monkeypatch.setenv("BLACKSTART_API_URL", "http://127.0.0.1:1")
    done = install(bare)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert not (bare / "hooks" / "post-receive").exists()


def test_only_a_repository_with_hooks_of_its_own_gets_one(
    install: Call, fake_api: FakeApi, bare: Path, tmp_path: Path
) -> None:
    fake_api.answer(CALLED, b"", 204)
    work = tmp_path / "work"
    subprocess.run(["git", "init", "--quiet", str(work)], check=True)
    (work / "below").mkdir()
    for into in (tmp_path, tmp_path / "missing", work / "below"):
        done = install(into)
        assert (done.code, done.err.count("\n")) == (1, 1), into
        assert str(into) in done.err
    subprocess.run(
        ["git", "-C", str(bare), "config", "core.hooksPath", str(tmp_path / "shared")], check=True
    )
    shared = install(bare)
    assert shared.code == 1
    assert "which is not its own" in shared.err
    assert fake_api.asked == []
    assert install(work).code == 0
    assert (work / ".git" / "hooks" / "post-receive").exists()
