"""From a URL path to a file of a tree: pretty URLs and the site's own 404 page."""

from __future__ import annotations

from collections.abc import Iterator

from blackstart.model import Tree, TreeEntry

NOT_FOUND_PAGE = "404.html"


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
