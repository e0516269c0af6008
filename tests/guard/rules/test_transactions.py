"""Transactions: what adds up to several documents waits at its commit."""

from __future__ import annotations

from typing import Any

import pytest

from blackstart.guard.rules import Command, Decision, Judge, Kind, Table
from blackstart.guard.rules.transactions import Transaction

TABLE = Table.load()
JUDGE = Judge(TABLE)
COMMIT = Command.of({"commitTransaction": 1, "$db": "admin"})


def command(body: dict[str, Any]) -> Command:
    return Command.of({**body, "autocommit": False, "$db": "shop"})


def update(key: Any, collection: str = "sites") -> Command:
    statement = {"q": {"_id": key}, "u": {"$set": {"a": 1}}}
    return command({"update": collection, "updates": [statement]})


def insert(*documents: dict[str, Any]) -> Command:
    return command({"insert": "sites", "documents": list(documents)})


MANY = command({"delete": "sites", "deletes": [{"q": {}, "limit": 0}]})


def transaction(*commands: Command, signed: tuple[Command, ...] = ()) -> Transaction:
    made = Transaction(TABLE, 1)
    for each in commands:
        made.add(JUDGE.judge(each), signed=each in signed)
    return made


@pytest.mark.parametrize(
    "commands",
    [
        [],
        [command({"find": "sites"})],
        [update(1)],
        [update(1), update(1), command({"find": "sites"})],
        [insert({"_id": 1}), update(1)],
    ],
)
def test_a_commit_of_writes_to_one_document_passes(commands: list[Command]) -> None:
    assert transaction(*commands).judge_commit(COMMIT).decision is Decision.PASS


@pytest.mark.parametrize(
    "commands",
    [
        [update(1), update(2)],
        [update(1), update(1, "deploys")],
        [update(1), update(1.5)],
        [update(True), update(1)],
        [insert({"_id": 1}), insert({"_id": 2})],
        [insert({"a": 1})],
        [MANY],
        [update(1), command({"drop": "sites"})],
    ],
)
def test_a_commit_of_more_is_held_with_all_its_writes(commands: list[Command]) -> None:
    made = transaction(*commands)
    found = made.judge_commit(COMMIT)
    assert (found.decision, found.kind) == (Decision.HOLD, Kind.SEVERAL)
    assert found.writes == made.writes
    assert ("shop", "sites") in found.spaces


def test_many_writes_to_one_document_each_add_up() -> None:
    made = transaction(*(update(number) for number in range(500)))
    assert all(each.decision is Decision.PASS for each in made.statements)
    assert made.judge_commit(COMMIT).decision is Decision.HOLD


def test_a_commit_without_answer_that_would_be_held_is_refused() -> None:
    silent = Command.of({**COMMIT.body, "writeConcern": {"w": 0}})
    assert transaction(update(1), update(2)).judge_commit(silent).decision is Decision.REFUSE


def test_a_signature_covers_all_before_it_and_nothing_behind_it() -> None:
    assert transaction(update(1), MANY, signed=(MANY,)).judge_commit(COMMIT).decision is (
        Decision.PASS
    )
    behind = transaction(update(1), MANY, update(2), signed=(MANY,))
    assert behind.judge_commit(COMMIT).decision is Decision.HOLD
    behind.sign()
    assert behind.judge_commit(COMMIT).decision is Decision.PASS


def test_a_commit_asked_again_passes_as_it_did_before() -> None:
    made = transaction(update(1), update(2))
    made.sign()
    made.committing = True
    assert made.judge_commit(COMMIT).decision is Decision.PASS


def test_what_is_added_behind_a_commit_that_failed_is_judged_again() -> None:
    made = transaction(update(1))
    made.committing = True
    made.add(JUDGE.judge(update(2)))
    assert made.judge_commit(COMMIT).decision is Decision.HOLD


def test_the_digest_names_all_writes_in_their_order_and_not_the_session() -> None:
    one = transaction(update(1), update(2)).digest_with(COMMIT)
    resent = Command.of({**update(2).body, "lsid": {"id": b"x"}, "txnNumber": 7})
    assert transaction(update(1), resent).digest_with(COMMIT) == one
    assert transaction(update(2), update(1)).digest_with(COMMIT) != one
    assert transaction(update(1), update(3)).digest_with(COMMIT) != one
    assert transaction(update(1)).digest_with(COMMIT) != one
