"""An approval is for what was shown, give or take what a database in use always changes."""

from __future__ import annotations

from typing import Any

import pytest

from blackstart.guard.preview import Part, Preview, outgrown


def preview(*parts: dict[str, Any]) -> Preview:
    return Preview(tuple(Part("update", "shop.deploys", **part) for part in parts))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"matched": 52}, {"matched": 52}),
        ({"matched": 52}, {"matched": 62}),
        ({"matched": 1_000}, {"matched": 1_100}),
        ({"matched": 52}, {"matched": 0}),
        ({"matched": 52}, {"matched": None}),
        ({"matched": None}, {"matched": 52}),
        ({"dropped": {"metadata.tree": 2}}, {"dropped": {"metadata.tree": 3}}),
        ({"replaced": {"metadata": 2}}, {}),
    ],
)
def test_what_a_reviewer_saw_is_not_outgrown(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert outgrown(preview(before), preview(after)) is None


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"matched": 52}, {"matched": 63}, "52 documents matched, and now 63 do"),
        ({"matched": 1_000}, {"matched": 1_101}, "now 1101 do"),
        ({}, {"dropped": {"metadata.tree": 1}}, "metadata.tree would be dropped"),
        ({}, {"replaced": {"metadata": 1}}, "metadata would be replaced"),
    ],
)
def test_what_nobody_was_shown_is_told(
    before: dict[str, Any], after: dict[str, Any], told: str
) -> None:
    found = outgrown(preview({}, before), preview({}, after))
    assert found is not None
    assert told in found


def test_another_number_of_parts_is_another_write() -> None:
    assert outgrown(preview({}), preview({}, {})) is not None
