"""Putting a post-receive hook into a repository: tried first, whole or not at all."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

from blackstart.cli import post_receive
from blackstart.cli.api_client import ApiClient, RefusedError
from blackstart.errors import ConflictError, RepositoryError, StorageError, UsageError

SCRIPT = "post-receive"
ANOTHER_REF = b'{"ref": "refs/blackstart/none"}'
"""A push that no hook builds: its answer tells whether hook and secret are right."""


def hooks_folder(repository: Path) -> Path:
    """Where git looks for the hooks of exactly this repository.

    Raises: RepositoryError when it is none, or shares its hooks with others.
    """
    repository = repository.resolve()
    if not repository.is_dir():
        raise RepositoryError(f"no such folder: {repository}")
    own, hooks = _git_paths(repository)
    if not hooks.is_relative_to(own):
        raise RepositoryError(
            f"core.hooksPath of {repository} leads to {hooks}, which is not its own",
            hint=f"`git -C {repository} config core.hooksPath {own / 'hooks'}` gives it its own",
        )
    return hooks


def try_secret(address: str, hook_id: str, secret: str) -> None:
    """Call the hook in a way that starts no build.

    Raises: UsageError when the secret is not the hook's; as ApiClient else.
    """
    path = hook_path(hook_id)
    try:
        with ApiClient(address, None) as client:
            client.call(path, ANOTHER_REF, signed(ANOTHER_REF, secret))
    except RefusedError as error:
        if error.status != 401:
            raise
        named = f"the secret is not that of hook {hook_id}"
        raise UsageError(
            named if secret else f"hook {hook_id} is signed, and its secret is missing",
            hint="set BLACKSTART_HOOK_SECRET to what `blackstart hook create` printed",
        ) from error


def hook_path(hook_id: str) -> str:
    """Where a hook is called, below the control API's address."""
    return f"/build_hooks/{quote(hook_id, safe='')}"


def signed(body: bytes, secret: str) -> dict[str, str]:
    """The header fields of a call; without a secret it is not signed."""
    if not secret:
        return {}
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {post_receive.SIGNATURE: f"sha256={digest}"}


def write_hook(folder: Path, address: str, hook_id: str, secret: str) -> Path:
    """Write the script, or replace an earlier one of ours; returns its path.

    Raises: ConflictError for somebody else's; StorageError when the disk refuses.
    """
    path = folder / SCRIPT
    try:
        replaces = os.path.lexists(path)
        if replaces and not _is_ours(path):
            raise _foreign(path)
        folder.mkdir(exist_ok=True)
        _write(path, _script(address + hook_path(hook_id), secret), replaces)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error
    return path


def _foreign(path: Path) -> ConflictError:
    return ConflictError(
        f"{path} is somebody else's, and was left as it is",
        hint="move it away, or have it run a script of yours that does both",
    )


def _script(url: str, secret: str) -> str:
    source = Path(post_receive.__file__).read_text(encoding="utf-8")
    for name, value in (("URL", url), ("SECRET", secret)):
        blank = f'\n{name} = ""\n'
        assert source.count(blank) == 1, name
        source = source.replace(blank, f"\n{name} = {json.dumps(value)}\n")
    return f"#!/usr/bin/env python3\n{source}"


def _is_ours(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    return post_receive.MARK in path.read_text(encoding="utf-8", errors="replace")


def _write(path: Path, script: str, replaces: bool) -> None:
    """Atomic, on the disk when it returns, and never over a file that came in between."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(script)
            os.fchmod(file.fileno(), 0o700)
            file.flush()
            os.fsync(file.fileno())
        if replaces:
            os.replace(name, path)
        else:
            try:
                os.link(name, path)
            except FileExistsError:
                raise _foreign(path) from None
    finally:
        Path(name).unlink(missing_ok=True)
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _git_paths(repository: Path) -> tuple[Path, Path]:
    """The git folder that all worktrees share, and that of the hooks."""
    command = ["git", "-C", str(repository), "rev-parse", "--git-common-dir", "--git-path", "hooks"]
    # A hook, for one, runs with GIT_DIR set. And a repository around the folder is not meant.
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    kept["GIT_CEILING_DIRECTORIES"] = str(repository.parent)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=kept)
    except OSError as error:
        raise RepositoryError("git cannot be run", hint="put it on the PATH") from error
    lines = done.stdout.splitlines()
    if done.returncode != 0 or len(lines) != 2:
        reason = (done.stderr.splitlines() or ["git does not say where its hooks are"])[0]
        raise RepositoryError(f"{repository}: {reason}", hint="--into names a git repository")
    own, hooks = ((repository / line).resolve() for line in lines)
    return own, hooks
