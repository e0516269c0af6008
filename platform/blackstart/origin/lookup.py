"""From a URL path to a file of a tree: pretty URLs and the site's own 404 page."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator

from blackstart.model import Tree, TreeEntry

NOT_FOUND_PAGE = "404.html"
_TEXT_LIKE = ("application/javascript", "application/json", "application/xml", "image/svg+xml")


def find_file(tree: Tree, url_path: str) -> tuple[str, TreeEntry] | None:
    """The tree's path and entry that answer a decoded URL path; None when it has neither."""
    for path in _candidates(url_path):
        entry = tree.files.get(path)
        if entry is not None:
            return path, entry
    return None


def _candidates(url_path: str) -> Iterator[str]:
    """`/a` is `a`, `a.html` or `a/index.html`; `/a/` is `a/index.html` or `a.html`."""
    path = url_path.lstrip("/")
    if not path:
        yield "index.html"
    elif path.endswith("/"):
        yield f"{path}index.html"
        yield f"{path.rstrip('/')}.html"
    else:
        yield path
        yield f"{path}.html"
        yield f"{path}/index.html"


def content_type(path: str) -> str:
    """The media type of a file by its name."""
    guessed, encoding = mimetypes.guess_type(path)
    if guessed is None or encoding is not None:
        return "application/octet-stream"
    if guessed.startswith("text/") or guessed in _TEXT_LIKE:
        return f"{guessed}; charset=utf-8"
    return guessed
