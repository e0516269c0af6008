"""Sessions have one owner, and a transaction is one from its first statement on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bson import Int64

from blackstart.guard.rules import Command, Judge, Table
from blackstart.guard.sessions import LIFETIME_S, CommandError, Sessions

TABLE = Table.load()
MINE = {"lsid": {"id": b"0" * 16}}
THEIRS = {"lsid": {"id": b"1" * 16}}
BEGIN = {"txnNumber": Int64(1), "startTransaction": True, "autocommit": False}
GO_ON = {"txnNumber": Int64(1), "autocommit": False}


@pytest.fixture
def sessions(manual_clock: Any) -> Sessions:
    return Sessions(manual_clock, TABLE)


def find(**fields: Any) -> Command:
    return Command.of({"find": "sites", "$db": "shop", **fields})


def test_a_session_belongs_to_who_used_it_first(sessions: Sessions) -> None:
    sessions.use(find(**MINE), "ada")
    sessions.use(find(**MINE), "ada")
    with pytest.raises(CommandError) as caught:
        sessions.use(find(**MINE), "bob")
    assert caught.value.code_name == "Unauthorized"
    sessions.use(find(**THEIRS), "bob")
    for name in ("endSessions", "refreshSessions"):
        with pytest.raises(CommandError):
            sessions.use(Command.of({name: [MINE["lsid"]], "$db": "admin"}), "bob")


def test_a_session_that_was_ended_is_forgotten_and_strange_ones_are_not_kept(
    sessions: Sessions,
) -> None:
    sessions.use(find(**MINE), "ada")
    sessions.use(Command.of({"endSessions": [MINE["lsid"], THEIRS["lsid"]]}), "ada")
    assert len(sessions) == 0


def test_nobody_commits_or_goes_on_with_anothers_transaction(sessions: Sessions) -> None:
    sessions.use(find(**MINE, **BEGIN), "ada")
    commit = Command.of({"commitTransaction": 1, "$db": "admin", **MINE, **GO_ON})
    for command in (commit, find(**MINE, **GO_ON)):
        with pytest.raises(CommandError):
            sessions.use(command, "bob")


@pytest.mark.parametrize("name", ["commitTransaction", "abortTransaction"])
@pytest.mark.parametrize("fields", [{}, MINE, {**MINE, "txnNumber": Int64(1)}])
def test_a_transaction_is_ended_in_the_words_of_a_transaction(
    sessions: Sessions, name: str, fields: dict[str, Any]
) -> None:
    """Else a lenient server would end it, and nobody would have judged what it adds up to."""
    sessions.use(find(**MINE, **BEGIN), "ada")
    with pytest.raises(CommandError):
        sessions.use(Command.of({name: 1, "$db": "admin", **fields}), "ada")


def test_the_statements_of_a_transaction_come_to_one_object(sessions: Sessions) -> None:
    begun = sessions.use(find(**MINE, **BEGIN), "ada")
    assert begun is not None
    assert sessions.use(find(**MINE, **GO_ON), "ada") is begun
    assert sessions.use(find(**MINE), "ada") is None


def test_beginning_again_under_the_same_number_forgets_nothing(sessions: Sessions) -> None:
    statement = {"q": {"_id": 1}, "u": {"$set": {"a": 1}}}
    update = Command.of({"update": "sites", "updates": [statement], "$db": "shop"})
    begun = sessions.use(find(**MINE, **BEGIN), "ada")
    assert begun is not None
    begun.add(Judge(TABLE).judge(update))
    assert sessions.use(find(**MINE, **BEGIN), "ada") is begun
    following = sessions.use(find(**MINE, **{**BEGIN, "txnNumber": Int64(2)}), "ada")
    assert following is not None
    assert following.statements == []


@pytest.mark.parametrize(
    "fields",
    [
        {**GO_ON},
        {**MINE, **GO_ON},
        {**MINE, **BEGIN, "txnNumber": Int64(0)},
        {**MINE, **BEGIN, "autocommit": True},
        {**MINE, **BEGIN, "txnNumber": "1"},
        {**MINE, **BEGIN, "txnNumber": True},
        {**MINE, **BEGIN, "startTransaction": False},
        {**MINE, "startTransaction": True},
        {"lsid": {"id": b"0" * 16, "uid": b"x"}},
        {"lsid": {"id": "a"}},
        {"lsid": 1},
    ],
    ids=str,
)
def test_what_is_no_clear_session_or_transaction_is_refused(
    sessions: Sessions, fields: dict[str, Any]
) -> None:
    if fields.get("txnNumber") == 0:
        sessions.use(find(**MINE, **{**BEGIN, "txnNumber": Int64(5)}), "ada")
    with pytest.raises(CommandError):
        sessions.use(find(**fields), "ada")


def test_sessions_are_bounded_and_forgotten_long_after_the_server_did(
    manual_clock: Any,
) -> None:
    sessions = Sessions(manual_clock, TABLE, most_each=2)
    sessions.use(find(**MINE), "ada")
    sessions.use(find(**THEIRS), "ada")
    third: Callable[[], object] = lambda: sessions.use(find(lsid={"id": b"2" * 16}), "ada")  # noqa: E731
    with pytest.raises(CommandError) as caught:
        third()
    assert caught.value.code_name == "TooManyLogicalSessions"
    sessions.use(Command.of({"endSessions": [MINE["lsid"]], "$db": "admin"}), "ada")
    third()
    manual_clock.advance(LIFETIME_S + 1)
    third()
    assert len(sessions) == 1


def test_nobody_takes_the_room_for_sessions_of_others(manual_clock: Any) -> None:
    sessions = Sessions(manual_clock, TABLE, most_each=1)
    sessions.use(find(**MINE), "ada")
    with pytest.raises(CommandError):
        sessions.use(find(**THEIRS), "ada")
    sessions.use(find(**THEIRS), "bob")
