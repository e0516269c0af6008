"""Tests of judging where a link leads, against what the system makes of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.builder.links import LinkError, follow

PARTS = st.sampled_from(["a", "b", "c", "..", "."])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
LINKS = st.dictionaries(st.sampled_from(["a", "b", "d/a", "d/e/b", "c"]), PATHS | st.just("/tmp"))


@pytest.mark.parametrize(
    ("links", "reached"),
    [
        ({}, "x/y"),
        ({"x": "z"}, "z/y"),
        ({"x/y": "../z"}, "z"),
        ({"x": "d/e", "d/e/y": "../../top"}, "top"),
        ({"x": "."}, "y"),
        ({"x": "d/e", "d": "f"}, "f/e/y"),
    ],
)
def test_links_are_followed_step_by_step(links: dict[str, str], reached: str) -> None:
    assert follow("x/y", links.get) == reached


@pytest.mark.parametrize(
    ("links", "reason"),
    [
        ({"x": "/etc"}, "out of the site"),
        ({"x": ".."}, "out of the site"),
        ({"x": "../site/z"}, "out of the site"),
        ({"x": "d/l/../s", "d/l": "../.."}, "out of the site"),
        ({"x": "x"}, "in a circle"),
        ({"x": "z", "z": "x"}, "in a circle"),
        ({"x/y": "y/y"}, "in a circle"),
    ],
)
def test_a_link_that_leaves_or_never_ends_is_refused(links: dict[str, str], reason: str) -> None:
    with pytest.raises(LinkError, match=reason):
        follow("x/y", links.get)


@given(LINKS, PATHS)
def test_what_is_allowed_is_where_the_system_leads_too(links: dict[str, str], path: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name).resolve() / "top"
        (top / "d" / "e").mkdir(parents=True)
        for link, target in links.items():
            (top / link).symlink_to(target)
        try:
            reached = follow(path, links.get)
        except LinkError:
            return
        try:
            real = (top / path).resolve(strict=True)
        except OSError:
            return  # it leads nowhere, so there is nothing to compare
        assert real == Path(os.path.normpath(top / reached))
        assert real.is_relative_to(top)
