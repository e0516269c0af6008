"""Tests of the tree: one content, one id."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.model import Tree, TreeEntry, TreeOf

entries = st.builds(
    TreeEntry,
    st.text("0123456789abcdef", min_size=40, max_size=40),
    st.integers(min_value=0, max_value=2**53),
)
owners = st.none() | st.builds(TreeOf, st.text(), st.text(), st.none() | st.text())
trees = st.builds(Tree, st.dictionaries(st.text(min_size=1), entries), owners)


@given(trees)
def test_a_tree_is_read_back_as_it_was_written(tree: Tree) -> None:
    again = Tree.decode(tree.encode())
    assert again == tree
    assert again.id == tree.id


@given(trees, st.randoms(use_true_random=False))
def test_the_order_of_paths_does_not_change_the_id(tree: Tree, random: object) -> None:
    paths = list(tree.files)
    random.shuffle(paths)  # type: ignore[attr-defined]
    assert Tree({path: tree.files[path] for path in paths}, tree.of).id == tree.id


@given(trees, trees)
def test_trees_that_differ_have_different_ids(one: Tree, other: Tree) -> None:
    assert (one.id == other.id) == (one == other)


def test_the_bytes_of_a_tree_are_canonical() -> None:
    tree = Tree({"ü.html": TreeEntry("b" * 40, 2), "a.html": TreeEntry("a" * 40, 1)})
    expected = f'{{"files":{{"a.html":["{"a" * 40}",1],"\\u00fc.html":["{"b" * 40}",2]}}}}'
    assert tree.encode() == expected.encode()
    assert tree.id == hashlib.sha256(expected.encode()).hexdigest()


def test_a_tree_may_say_whose_it_is_behind_its_files() -> None:
    tree = Tree({"a.html": TreeEntry("a" * 40, 1)}, TreeOf("s1", "d1", None))
    of = '{"site_id":"s1","deploy_id":"d1","commit_ref":null}'
    assert tree.encode().decode() == f'{{"files":{{"a.html":["{"a" * 40}",1]}},"of":{of}}}'


@pytest.mark.parametrize(
    "of",
    [
        "null",
        "7",
        "[]",
        "{}",
        '{"site_id":"s1","deploy_id":"d1"}',
        '{"site_id":"s1","deploy_id":"d1","commit_ref":7}',
        '{"site_id":null,"deploy_id":"d1","commit_ref":null}',
        '{"site_id":"s1","deploy_id":"d1","commit_ref":null,"more":1}',
    ],
)
def test_a_tree_that_says_something_else_about_its_owner_is_refused(of: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Tree.decode(f'{{"files":{{}},"of":{of}}}'.encode())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"files":{"a":1}}', b'{"files":{"a":[1]}}'])
def test_what_is_no_tree_is_refused(data: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Tree.decode(data)
