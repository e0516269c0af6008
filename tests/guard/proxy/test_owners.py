"""Cursors have one owner, and nobody can push out another's."""

from __future__ import annotations

from typing import Any

import pytest

from blackstart.guard.proxy.owners import Cursors
from blackstart.wire import CommandError


def opened(number: int) -> dict[str, Any]:
    return {"ok": 1.0, "cursor": {"id": number, "ns": "shop.sites", "firstBatch": []}}


def test_of_a_logins_cursors_the_one_used_longest_ago_is_forgotten_first() -> None:
    cursors = Cursors(most_each=2)
    cursors.note(opened(1), "bob")
    for number in (2, 3):
        cursors.note(opened(number), "ada")
    cursors.check([2], "ada")
    cursors.note(opened(4), "ada")
    cursors.check([2, 4], "ada")
    cursors.check([1], "bob")
    with pytest.raises(CommandError):
        cursors.check([3], "ada")
    assert len(cursors) == 3


def test_a_number_that_is_given_again_belongs_to_who_has_it_now() -> None:
    cursors = Cursors(most_each=1)
    cursors.note(opened(1), "ada")
    cursors.note(opened(1), "bob")
    cursors.note(opened(2), "ada")
    cursors.check([1], "bob")
    cursors.check([2], "ada")
    cursors.forget([1, 2, 3])
    assert len(cursors) == 0
