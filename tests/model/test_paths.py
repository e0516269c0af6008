"""Which names the files of a deploy may have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.errors import UsageError
from blackstart.model import check_site_path
from blackstart.model.paths import MAX_PATH_BYTES


@pytest.mark.parametrize(
    "path",
    [
        "index.html",
        "a/b/c.txt",
        ".well-known/security.txt",
        "..hidden/...",
        "über uns/日本.html",
        "50% off & more?#.html",
        "c:/colon.html",
        "~/.profile",
        "x" * MAX_PATH_BYTES,
    ],
)
def test_an_ordinary_path_passes(path: str) -> None:
    check_site_path(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "is empty"),
        ("/", "is absolute"),
        ("/etc/passwd", "is absolute"),
        ("//host/x", "is absolute"),
        ("a//b", "has an empty part"),
        ("a/", "has an empty part"),
        (".", "has a part . or .."),
        ("./index.html", "has a part . or .."),
        ("a/../b", "has a part . or .."),
        ("..", "has a part . or .."),
        ("a\0.html", "has a control character"),
        ("a\nb", "has a control character"),
        ("a\x7f", "has a control character"),
        ("a\x85", "has a control character"),
        ("a\\b.html", "has a backslash"),
        ("..\\..\\etc", "has a backslash"),
        ("x" * (MAX_PATH_BYTES + 1), "has 4,097 bytes, more than 4,096"),
        ("é" * (MAX_PATH_BYTES // 2 + 1), "has 4,098 bytes, more than 4,096"),
        ("broken\udc80", "is not UTF-8"),
    ],
)
def test_a_path_that_leaves_the_site_or_breaks_a_line_is_refused(path: str, reason: str) -> None:
    with pytest.raises(UsageError, match="not a path inside a site") as refused:
        check_site_path(path)
    assert refused.value.message.endswith(reason)
    assert len(refused.value.message.splitlines()) == 1
    assert len(refused.value.message) < 300


@given(st.text(alphabet=st.sampled_from("a./\\\0\n é\udc80"), max_size=12))
def test_what_passes_stays_below_any_folder(path: str) -> None:
    try:
        check_site_path(path)
    except UsageError:
        return
    parts = path.split("/")
    assert path.encode().decode() == path
    assert path.isprintable()
    assert all(part not in ("", ".", "..") for part in parts)
