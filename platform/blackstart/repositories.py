"""Which repository addresses are taken: checked when a site is made, and again before git runs.

git can do far more with an address than fetch: run a program (`ext::`), take
it for an option (`-u...`), read any folder that its user can read. So an
address is taken only when it has one of three plain forms, and whatever else
git would understand is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from blackstart.errors import UsageError

MAX_LENGTH = 2000
FORMS = "use https://HOST/PATH, ssh://USER@HOST/PATH or an absolute folder"

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_NAME}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?"
_HTTPS = re.compile(rf"https://{_HOST}(?P<path>/[!-~]+)", re.IGNORECASE)
_SSH = re.compile(rf"ssh://(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?{_HOST}(?P<path>/[!-~]+)", re.I)
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)(?P<mark>://|::)")
_SCP_LIKE = re.compile(r"(?P<login>[^/:@\s]+@[^/:@\s]+|[^/:@\s]+):(?P<path>.+)", re.DOTALL)


class RepositoryPolicy:
    """https and ssh addresses, and local repositories below certain `folders`."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self._folders = tuple(folders)

    def check(self, url: str) -> None:
        """Raises: UsageError, with a hint what to write instead."""
        self.local_folder(url)

    def local_folder(self, url: str) -> Path | None:
        """The folder that a local address leads to, symbolic links resolved; None for a remote.

        Raises: UsageError, as `check`.
        """
        if not url or len(url) > MAX_LENGTH:
            raise _refused(url, f"it must have 1 to {MAX_LENGTH} characters")
        if not url.isprintable():
            raise _refused(url, "it has a control character")
        if url.startswith("-"):
            raise _refused(url, "git would take it for an option")
        path = url.removeprefix("file://")
        if path.startswith("/"):
            return self._allowed_folder(url, path)
        _check_remote(url)
        return None

    def _allowed_folder(self, url: str, path: str) -> Path:
        _check_path(url, path)
        if not self._folders:
            raise _refused(
                url, "folders of this machine are not read", hint="see BLACKSTART_REPO_FOLDERS"
            )
        try:
            folder = Path(path).resolve()
            allowed = any(folder.is_relative_to(each.resolve()) for each in self._folders)
        except (OSError, RuntimeError) as error:  # a circle of links is a RuntimeError
            raise _refused(url, "the folder cannot be looked at") from error
        if not allowed:
            raise _refused(
                url,
                "it is not below a folder that repositories may be in",
                hint="BLACKSTART_REPO_FOLDERS names those folders",
            )
        return folder


def _check_remote(url: str) -> None:
    found = _HTTPS.fullmatch(url) or _SSH.fullmatch(url)
    if found is None:
        raise _why_no_remote(url)
    if re.search(r"[\\?#]", found["path"]):
        raise _refused(url, "its path has one of \\ ? #")
    _check_path(url, found["path"])
    # The server decodes the path, so it must be harmless in that form as well.
    _check_path(url, unquote(found["path"]))


def _check_path(url: str, path: str) -> None:
    if not path.isprintable():
        raise _refused(url, "its path has a control character")
    for part in path.split("/"):
        if part in (".", ".."):
            raise _refused(url, f"its path has {part!r}", hint="write the path without it")
        if part.startswith("-"):
            raise _refused(url, "a part of its path starts with '-'")


def _why_no_remote(url: str) -> UsageError:
    """The most helpful reason for an address that has none of the forms."""
    found = _SCHEME.match(url)
    if found is None:
        scp_like = _SCP_LIKE.fullmatch(url)
        if scp_like and not scp_like["path"].startswith(("-", ":")):
            path = scp_like["path"].lstrip("/")
            return _refused(
                url, "the short ssh form", hint=f"write ssh://{scp_like['login']}/{path}"
            )
        return _refused(url, "it is relative to nothing")
    scheme = found["scheme"].lower()
    if found["mark"] == "::":
        return _refused(url, f"{scheme}:: may run a program")
    login, at, _ = url[found.end() :].partition("/")[0].rpartition("@")
    if ":" in login or (at and scheme == "https"):
        # Not shown: what follows may well be a password.
        hint = "a repository that needs a login goes by ssh:// and the worker's own key"
        return UsageError("not a repository address: it holds a login", hint=hint)
    if scheme in ("http", "git"):
        hint = f"write https://{url[found.end() :]}"
        return _refused(url, f"{scheme}:// is neither secret nor safe from changes", hint=hint)
    return _refused(url, "no such form is known")


def _refused(url: str, reason: str, *, hint: str = FORMS) -> UsageError:
    shown = url if len(url) <= 100 else f"{url[:100]}..."
    return UsageError(f"not a repository address: {shown!r}: {reason}", hint=hint)
