"""What an answer of the database means for the write that was sent."""

from __future__ import annotations

from typing import Any

import pytest

from blackstart.guard.requests import State, outcome_of
from blackstart.guard.requests.outcome import until_committed
from blackstart.guard.rules import Action, Write

ONE = [Write(Action.UPDATE, "shop", "sites")]
MANY = [Write(Action.UPDATE, "shop", "sites", many=True)]
TWO = [*ONE, *ONE]
BATCH = [Write(Action.INSERT, "shop", "sites", documents=[{"_id": 1}, {"_id": 2}])]
FAILED = [{"index": 0, "code": 11000, "errmsg": "duplicate"}]


@pytest.mark.parametrize(
    ("answer", "writes", "state"),
    [
        ({"ok": 1.0, "n": 5, "nModified": 5}, MANY, State.EXECUTED),
        ({"ok": 1}, [], State.EXECUTED),
        ({"ok": 1.0, "writeConcernError": {"errmsg": "waited too long"}}, ONE, State.EXECUTED),
        ({"ok": 1.0, "n": 0, "writeErrors": FAILED}, ONE, State.NOT_EXECUTED),
        ({"ok": 1.0, "n": 1, "writeErrors": FAILED}, TWO, State.EXECUTED),
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


NOT_PRIMARY = {"ok": 0.0, "code": 10107, "errmsg": "not primary"}


@pytest.mark.parametrize(
    ("writes", "state"),
    [
        (ONE, State.NOT_EXECUTED),
        (TWO, State.UNKNOWN),
        (MANY, State.UNKNOWN),
        (BATCH, State.UNKNOWN),
        ([], State.NOT_EXECUTED),
    ],
)
def test_a_primary_that_steps_down_between_two_statements_leaves_it_unknown(
    writes: list[Write], state: State
) -> None:
    assert outcome_of(NOT_PRIMARY, writes).state is state


def test_an_aggregation_that_fails_at_a_later_document_may_have_merged_the_earlier_ones() -> None:
    divided = {"ok": 0.0, "code": 2, "errmsg": "can't $divide by zero"}
    assert outcome_of(divided, [], "aggregate").state is State.UNKNOWN
    refused = {"ok": 0.0, "code": 13, "errmsg": "not authorized"}
    assert outcome_of(refused, [], "aggregate").state is State.NOT_EXECUTED
    assert outcome_of(divided, [], "collMod").state is State.NOT_EXECUTED


def test_a_bulk_write_tells_its_failures_in_a_cursor() -> None:
    results = [{"ok": 1.0, "idx": 0}, {"ok": 0.0, "idx": 1, "code": 11000, "errmsg": "duplicate"}]
    answer: dict[str, Any] = {"ok": 1.0, "nErrors": 1, "nInserted": 1}
    answer["cursor"] = {"id": 0, "firstBatch": results}
    found = outcome_of(answer, TWO, "bulkWrite")
    assert (found.state, "1 inserted" in found.text) == (State.EXECUTED, True)
    assert "duplicate" in found.text
    nothing = outcome_of({**answer, "nInserted": 0}, TWO, "bulkWrite")
    assert nothing.state is State.NOT_EXECUTED
    assert outcome_of(answer, MANY, "bulkWrite").state is State.UNKNOWN


def test_an_error_is_told_without_what_it_quotes() -> None:
    text = 'E11000 duplicate key error index: mail_1 dup key: { mail: "a{b\'@c" }'
    answer = {"ok": 0.0, "code": 11000, "errmsg": text}
    told = outcome_of(answer, ONE).text
    assert told.endswith("E11000 duplicate key error index: mail_1 dup key: {...} (11000)")
    answer["errmsg"] = "Failed to parse number 'it's' in $convert with no onError value"
    assert "number '...' in $convert" in outcome_of(answer, ONE).text


def test_a_statement_of_a_transaction_counts_only_when_that_is_committed() -> None:
    ran = until_committed(outcome_of({"ok": 1.0, "n": 5}, MANY))
    assert ran.state is State.EXECUTED
    assert ran.text == "5 documents; it counts only if its transaction is committed"
    refused = outcome_of({"ok": 0.0, "code": 9, "errmsg": "FailedToParse"}, MANY)
    assert until_committed(refused) == refused
