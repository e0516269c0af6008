"""`blackstart guard list`, `show`, `approve` and the others, at a guard that runs."""

from __future__ import annotations

import pytest
from pymongo.errors import OperationFailure
from tests.cli.guard.conftest import PATIENCE_S, People

from blackstart.cli import guard_say


def test_a_held_write_is_listed_shown_approved_and_runs_once(people: People) -> None:
    running = people.migrate()
    number = people.held()
    listed = people.says("bob", "list")
    assert max(map(len, listed.out.splitlines())) <= 80
    assert "! loses" in listed.out and "metadata.count, metadata.tree" in listed.out
    approved = people.says("bob", "approve", str(number), "--yes", "--reason", "agreed")
    assert (approved.code, approved.err) == (0, "")
    assert f"request {number} is approved" in approved.out
    assert running.result(PATIENCE_S).modified_count == 5
    waited = people.says("ada", "wait", str(number))
    assert (waited.code, waited.out) == (
        0,
        f"request {number} is executed: 5 documents, 5 modified\n",
    )
    assert people.requests() == []
    assert [each["state"] for each in people.requests("--all")][-1] == "executed"
    shown = people.says("ada", "show", str(number)).out
    assert "approved, bob: agreed" in shown
    (undo,) = [line for line in shown.splitlines() if "snapshot restore" in line]
    assert undo.endswith("""--collection deploys --where '{"_id": {"$lt": 5}}'""")


def test_a_reviewer_sees_what_would_be_lost_in_80_columns(people: People) -> None:
    people.migrate()
    shown = people.says("bob", "show", str(people.held())).out
    assert max(map(len, shown.splitlines())) <= 80
    for text in (
        "FIELDS WOULD BE LOST THAT NOBODY ASKED TO REMOVE",
        "metadata.count (5), metadata.tree (5)",
        "5 documents, 25.0 % of 20",
        '"u": {"$set": {"metadata": {"schema": 3}}},',
        '- metadata  {"tree": "t", "count": 0}',
        '+ metadata  {"schema": 3}',
        "who           ada",
        "from          127.0.0.1:",
        "comment       schema 3",
    ):
        assert text in shown


def test_a_rejection_reaches_the_client_with_code_and_reason(people: People) -> None:
    running = people.migrate()
    number = people.held()
    assert people.says("bob", "reject", str(number), "--reason", "it drops the pointer").code == 0
    with pytest.raises(OperationFailure) as refused:
        running.result(PATIENCE_S)
    assert refused.value.code == 13
    assert "it drops the pointer" in str(refused.value)
    assert f"`blackstart guard show {number}`" in str(refused.value)
    waited = people.says("ada", "wait", str(number))
    assert (waited.code, "is rejected: bob: it drops" in waited.err) == (1, True)
    assert people.deploys.count_documents({"metadata.schema": 3}) == 0


def test_what_the_guard_refuses_is_an_error_in_its_words(people: People) -> None:
    people.migrate()
    number = str(people.held())
    own = people.says("ada", "approve", number, "--yes", "--reason", "mine")
    assert (own.code, "their own" in own.err) == (1, True)
    assert people.requests()[0]["state"] == "held"
    none = people.says("bob", "show", "9999")
    assert (none.code, "blackstart guard list --all" in none.err) == (1, True)


def test_an_approval_is_for_the_digest_that_was_shown(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.migrate()
    number = str(people.held())

    def changes_meanwhile(request: object, **_: object) -> None:
        # Somebody else's request could never have this number; the digest says so.
        object.__setattr__(request, "digest", "0" * 64)

    monkeypatch.setattr(guard_say, "print_request", changes_meanwhile)
    refused = people.says("bob", "approve", number, "--yes", "--reason", "fine")
    assert (refused.code, "another command" in refused.err) == (1, True)


def test_the_author_takes_a_write_back(people: People) -> None:
    running = people.migrate()
    number = str(people.held())
    assert people.says("ada", "withdraw", number).out == f"request {number} is withdrawn\n"
    with pytest.raises(OperationFailure, match="withdrawn"):
        running.result(PATIENCE_S)
    again = people.says("bob", "approve", number, "--yes", "--reason", "late")
    assert (again.code, "nothing to decide" in again.err) == (1, True)


def test_a_broken_glass_stays_in_the_list_until_somebody_looked(people: People) -> None:
    running = people.migrate()
    number = str(people.held())
    broken = people.says("ada", "break-glass", number, "--yes", "--reason", "alone, it burns")
    assert "the glass is broken" in broken.out
    assert running.result(PATIENCE_S).modified_count == 5
    people.says("ada", "wait", number)
    assert "executed, alone" in " ".join(people.says("bob", "list").out.split())
    assert people.says("bob", "review", number, "--reason", "it was right").code == 0
    assert people.requests() == []


@pytest.mark.parametrize("word", ["approve", "reject", "break-glass"])
def test_without_a_terminal_a_reason_and_a_yes_must_be_given(people: People, word: str) -> None:
    people.migrate()
    number = str(people.held())
    refused = people.says("bob", word, number, *([] if word == "reject" else ["--yes"]))
    assert (refused.code, "--reason" in refused.err) == (2, True)
    if word != "reject":
        refused = people.says("bob", word, number, "--reason", "fine")
        assert (refused.code, "--yes" in refused.err) == (2, True)
    assert people.requests()[0]["state"] == "held"


def test_who_is_nobody_is_told_so(people: People) -> None:
    stranger = people.says("eve", "list")
    assert (stranger.code, "does not know eve" in stranger.err) == (1, True)
    people.monkeypatch.delenv("BLACKSTART_GUARD_LOGIN")
    nobody = people.call("guard", "list")
    assert (nobody.code, "--login NAME" in nobody.err) == (2, True)


@pytest.mark.parametrize(
    ("where", "code", "text"),
    [
        ("127.0.0.1:1", 1, "no guard answers at 127.0.0.1:1"),
        ("mongodb://ada:secret:word@x", 2, "not the address of a guard"),
        ("mongodb://ada:secret@127.0.0.1:1/", 1, "no guard answers at 127.0.0.1:1 "),
    ],
)
def test_a_wrong_address_is_named_without_a_password(
    people: People, where: str, code: int, text: str
) -> None:
    people.monkeypatch.setattr("blackstart.cli.guard_client.TIMEOUT_MS", 100)
    failed = people.says("ada", "list", "--guard", where)
    assert (failed.code, text in failed.err) == (code, True)
    assert "secret" not in failed.err
