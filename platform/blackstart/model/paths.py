"""A site's paths: the one rule that says which names files of a deploy may have."""

from __future__ import annotations

import re

from blackstart.errors import UsageError

MAX_PATH_BYTES = 4096
"""Linux's PATH_MAX: nothing longer can come out of a checkout."""

# C0, DEL and C1: they break log lines and headers, and no web page has them in its name.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_site_path(path: str) -> None:
    """Refuse what is no path inside a site: relative, with slashes, in UTF-8.

    A backslash is refused as well: it is a separator to some archivers, and
    browsers turn it into a slash (WHATWG URL Standard, "relative slash state"),
    so no visitor could ever ask for such a file.

    Raises: UsageError, which names the path and the reason.
    """
    reason = _why_not(path)
    if reason:
        raise UsageError(
            f"not a path inside a site: {_shown(path)} {reason}",
            hint="use names with slashes between, relative to the site's root",
        )


def _why_not(path: str) -> str:
    if not path:
        return "is empty"
    if path.startswith("/"):
        return "is absolute"
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "is not UTF-8"
    if size > MAX_PATH_BYTES:
        return f"has {size:,} bytes, more than {MAX_PATH_BYTES:,}"
    if _CONTROL.search(path):
        return "has a control character"
    if "\\" in path:
        return "has a backslash"
    parts = path.split("/")
    if "" in parts:
        return "has an empty part"
    return "has a part . or .." if "." in parts or ".." in parts else ""


def _shown(path: str) -> str:
    """The path on one line of bearable length."""
    return repr(path if len(path) <= 200 else f"{path[:200]}...")
