"""What a repository's netlify.toml asks of a build."""

from __future__ import annotations

import os
import posixpath
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blackstart.builder.tree import is_of_git, open_file
from blackstart.errors import RepositoryError

FILE = "netlify.toml"
MAX_BYTES = 256 * 1024
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class BuildConfig:
    """The `[build]` table (Netlify's documentation, "File-based configuration").

    `base` and `publish` are folders relative to the repository's top, "" for
    the top itself: unlike in the file, `publish` is not relative to `base` any more.
    `has_rules` says that the file has redirects or headers, which are the origin's.
    """

    base: str = ""
    command: str | None = None
    publish: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    has_rules: bool = False


def read_config(folder: Path) -> BuildConfig:
    """The netlify.toml at the top of `folder`; the default without one.

    Raises: RepositoryError that names what is wrong.
    """
    if not os.path.lexists(folder / FILE):
        return BuildConfig()
    with open_file(folder, FILE) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise RepositoryError(f"{FILE} is larger than {MAX_BYTES // 1024} KiB")
    return parse_config(data)


def parse_config(data: bytes) -> BuildConfig:
    """From the file's bytes; what we do not know is passed over. Raises: RepositoryError."""
    try:
        table = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise RepositoryError(f"{FILE} is not UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RepositoryError(f"{FILE} cannot be read: {error}") from error
    build = _table(table, "build")
    environment = _table(build, "environment", "build.environment")
    base = _folder("base", _text(build, "base"), within="")
    command = _text(build, "command").strip()
    if "\0" in command:
        raise RepositoryError(f"{FILE}: build.command has a null character")
    return BuildConfig(
        base=base,
        command=command or None,
        publish=_folder("publish", _text(build, "publish"), within=base),
        environment={name: _variable(environment, name) for name in environment},
        has_rules="redirects" in table or "headers" in table,
    )


def _table(table: Mapping[str, Any], key: str, name: str = "build") -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise RepositoryError(f"{FILE}: {name} must be a table")
    return value


def _text(build: Mapping[str, Any], key: str) -> str:
    value = build.get(key, "")
    if not isinstance(value, str):
        raise RepositoryError(f"{FILE}: build.{key} must be text in quotes")
    return value


def _variable(environment: Mapping[str, Any], name: str) -> str:
    value = environment[name]
    if not _VARIABLE.fullmatch(name):
        raise RepositoryError(f"{FILE}: {name!r} is no name for an environment variable")
    if not isinstance(value, str):
        raise RepositoryError(f"{FILE}: build.environment.{name} must be text in quotes")
    if "\0" in value:
        raise RepositoryError(f"{FILE}: build.environment.{name} has a null character")
    return value


def _folder(key: str, value: str, *, within: str) -> str:
    """A folder of the repository, relative to its top. Raises: RepositoryError."""
    if value.startswith("/"):
        hint = f"write {value.strip('/') or '.'!r}"
        raise RepositoryError(f"{FILE}: build.{key} must not start with '/'", hint=hint)
    if "\0" in value or "\\" in value:
        raise RepositoryError(f"{FILE}: build.{key} has a character that no folder has: {value!r}")
    path = posixpath.normpath(posixpath.join(within, value))
    if path == ".." or path.startswith("../"):
        raise RepositoryError(f"{FILE}: build.{key} leads out of the repository: {value!r}")
    if is_of_git(path):
        raise RepositoryError(f"{FILE}: build.{key} is a folder of git: {value!r}")
    return "" if path == "." else path
