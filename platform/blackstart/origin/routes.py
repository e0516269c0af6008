"""What a path leads to: a file, a page that stands in for one, or another address."""

from __future__ import annotations

from dataclasses import dataclass

from blackstart.model import Tree, TreeEntry
from blackstart.origin.lookup import NOT_FOUND_PAGE, find_file
from blackstart.routing import Rules
from blackstart.routing.redirects import MOVES

MAX_REWRITES = 8
"""How often one request may be rewritten to a path that again is none of the files."""


@dataclass(frozen=True)
class Page:
    """A file to show, with status 200, 404 or 410."""

    path: str
    entry: TreeEntry
    status: int


@dataclass(frozen=True)
class Move:
    """Another address to send the visitor to."""

    location: str
    status: int


@dataclass(frozen=True)
class Nothing:
    """No file, and no page of the site's to say so: 404, or 410 where a rule says that."""

    status: int


Route = Page | Move | Nothing


def route(tree: Tree, rules: Rules | None, path: str, query: str) -> Route:
    """Where a decoded path and a query as sent lead (Netlify's documentation, "Shadowing").

    A file comes before a rule that is not forced. A rewrite that finds its
    file ends there; one that finds none is looked up among the rules again.
    """
    found = find_file(tree, path)
    if rules is None:
        return _page(found, 200) or _missing(tree, 404)
    if found is not None and not rules.forces:
        return Page(*found, 200)
    for _ in range(MAX_REWRITES):
        match = rules.first_match(path, query)
        if match is None or (found is not None and not match.redirect.force):
            break
        if match.redirect.status in MOVES:
            return Move(match.location, match.redirect.status)
        path, query = match.inside
        found = find_file(tree, path)
        if match.redirect.status != 200:
            return _page(found, match.redirect.status) or _missing(tree, match.redirect.status)
        if found is not None:
            break
    return _page(found, 200) or _missing(tree, 404)


def _page(found: tuple[str, TreeEntry] | None, status: int) -> Page | None:
    return None if found is None else Page(*found, status)


def _missing(tree: Tree, status: int) -> Route:
    """The site's own 404 page stands for whatever is missing."""
    page = tree.files.get(NOT_FOUND_PAGE)
    return Nothing(status) if page is None else Page(NOT_FOUND_PAGE, page, status)
