"""What an answer of the database means for the write that was sent."""

from __future__ import annotations

from typing import Any

import pytest

from blackstart.guard.requests import State, outcome_of
from blackstart.guard.rules import Action, Write

ONE = [Write(Action.UPDATE, "shop", "sites")]
MANY = [Write(Action.UPDATE, "shop", "sites", many=True)]
FAILED = [{"index": 0, "code": 11000, "errmsg": "duplicate"}]


@pytest.mark.parametrize(
    ("answer", "writes", "state"),
    [
        ({"ok": 1.0, "n": 5, "nModified": 5}, MANY, State.EXECUTED),
        ({"ok": 1}, [], State.EXECUTED),
        ({"ok": 1.0, "writeConcernError": {"errmsg": "waited too long"}}, ONE, State.EXECUTED),
        ({"ok": 1.0, "n": 0, "writeErrors": FAILED}, ONE, State.EXECUTED),
        ({"ok": 1.0, "n": 0, "writeErrors": FAILED}, MANY, State.UNKNOWN),
        ({"ok": 0.0, "code": 9, "errmsg": "FailedToParse"}, MANY, State.NOT_EXECUTED),
        ({"ok": 0.0, "code": 26, "errmsg": "ns not found"}, [], State.NOT_EXECUTED),
        ({"ok": 0.0, "code": 50, "errmsg": "exceeded time limit"}, MANY, State.UNKNOWN),
        ({"ok": 0.0, "errmsg": "who knows"}, ONE, State.UNKNOWN),
        ({}, ONE, State.UNKNOWN),
    ],
)
def test_only_what_is_definite_is_called_so(
    answer: dict[str, Any], writes: list[Write], state: State
) -> None:
    found = outcome_of(answer, writes)
    assert found.state is state
    assert found.text
