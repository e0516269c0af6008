"""Tests of the way from a URL path to a file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.model import Tree, TreeEntry
from blackstart.origin.lookup import find_file
from blackstart.web.content_type import content_type


def tree_of(*paths: str) -> Tree:
    return Tree({path: TreeEntry("0" * 40, 1) for path in paths})


SITE = tree_of("index.html", "about.html", "blog/index.html", "both", "both.html", "img/a b.png")


@pytest.mark.parametrize(
    ("url_path", "expected"),
    [
        ("/", "index.html"),
        ("", "index.html"),
        ("/index.html", "index.html"),
        ("/about", "about.html"),
        ("/about/", "about.html"),
        ("/about.html", "about.html"),
        ("/blog", "blog/index.html"),
        ("/blog/", "blog/index.html"),
        ("/both", "both"),
        ("/img/a b.png", "img/a b.png"),
        ("/nothing", None),
        ("/../index.html", None),
        ("/blog/../index.html", None),
    ],
)
def test_pretty_urls_find_their_files(url_path: str, expected: str | None) -> None:
    found = find_file(SITE, url_path)
    assert (found[0] if found else None) == expected


@given(st.text())
def test_only_files_of_the_tree_are_ever_found(url_path: str) -> None:
    found = find_file(SITE, url_path)
    assert found is None or SITE.files[found[0]] == found[1]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("data.json", "application/json; charset=utf-8"),
        ("logo.svg", "image/svg+xml; charset=utf-8"),
        ("photo.jpg", "image/jpeg"),
        ("archive.tar.gz", "application/octet-stream"),
        ("LICENSE", "application/octet-stream"),
    ],
)
def test_the_name_decides_the_media_type(path: str, expected: str) -> None:
    assert content_type(path) == expected
