"""Tests of what a path leads to, given a site's files and its rules."""

from __future__ import annotations

import pytest

from blackstart.model import Tree, TreeEntry
from blackstart.origin.routes import Move, Nothing, Page, Route, route
from blackstart.routing import parse_rules

FILES = ("index.html", "about.html", "app/index.html", "gone.html", "a b.txt")


def lead(path: str, *lines: str, query: str = "", files: tuple[str, ...] = FILES) -> str:
    """In short: the file or the location, and the status."""
    rules = parse_rules({"_redirects": "\n".join(lines).encode()})
    assert rules.problems == []
    tree = Tree({file: TreeEntry("0" * 40, 1) for file in files})
    found: Route = route(tree, rules, path, query)
    match found:
        case Page(file, _, status) | Move(file, status):
            return f"{file} {status}"
        case Nothing(status):
            return f"nothing {status}"


@pytest.mark.parametrize(
    ("path", "line", "expected"),
    [
        ("/old", "/old /about", "/about 301"),
        ("/about", "/about /app", "about.html 200"),
        ("/about", "/about /app 302!", "/app 302"),
        ("/any/where", "/* /index.html 200", "index.html 200"),
        ("/about", "/* /index.html 200", "about.html 200"),
        ("/about", "/* /index.html 200!", "index.html 200"),
        ("/x", "/x /about/ 200", "about.html 200"),
        ("/x", "/x /a%20b.txt 200", "a b.txt 200"),
        ("/x", "/x /app?own=1 200", "app/index.html 200"),
        ("/x", "/x /gone 410", "gone.html 410"),
        ("/x", "/x /gone 404", "gone.html 404"),
        ("/about", "/about /gone 410", "about.html 200"),
        ("/about", "/about /gone 410!", "gone.html 410"),
        ("/x", "/x /nowhere 410", "nothing 410"),
        ("/x", "/x /nowhere 404", "nothing 404"),
        ("/x", "/x /nowhere 200", "nothing 404"),
        ("/x", "/y /about", "nothing 404"),
        ("/app/x", "/app/* /app/:splat 200", "nothing 404"),
        ("/about/", "/about/ /about 301!", "about.html 200"),
    ],
)
def test_a_file_comes_before_a_rule_unless_the_rule_is_forced(
    path: str, line: str, expected: str
) -> None:
    assert lead(path, line) == expected


def test_a_rewrite_that_finds_no_file_is_looked_up_again() -> None:
    lines = ["/a /b 200", "/b /c 200", "/c /about 200", "/d /moved 200", "/moved /app 302"]
    assert lead("/a", *lines) == "about.html 200"
    assert lead("/d", *lines, query="q=1") == "/app?q=1 302"


@pytest.mark.parametrize(
    "lines",
    [
        ["/a /a 200!"],
        ["/a /b 200!", "/b /a 200!"],
        ["/* /x/:splat 200"],
        ["/* /missing.html 200"],
        [f"/{number} /{number + 1} 200" for number in range(100)],
    ],
)
@pytest.mark.parametrize("path", ["/a", "/0", "/b"])
def test_rewrites_that_never_find_a_file_end_as_a_missing_page(path: str, lines: list[str]) -> None:
    assert lead(path, *lines) == "nothing 404"


def test_the_sites_404_page_stands_for_whatever_is_missing() -> None:
    files = (*FILES, "404.html")
    assert lead("/x", "/y /z", files=files) == "404.html 404"
    assert lead("/y", "/y /z 410", files=files) == "404.html 410"
    assert lead("/y", "/y /z 200", files=files) == "404.html 404"


def test_an_earlier_rule_that_a_file_overrides_still_is_the_first() -> None:
    assert lead("/about", "/about /app 200", "/about /app 200!") == "about.html 200"
