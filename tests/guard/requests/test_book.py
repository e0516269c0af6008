"""Sign-off: who may decide about a held write, what an approval is good for, and for how long."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from blackstart.errors import (
    BlackstartError,
    ConflictError,
    InvalidDocumentError,
    NotFoundError,
    SignOffError,
    StorageError,
    UsageError,
)
from blackstart.guard.logins import Login
from blackstart.guard.requests import Asked, Book, State, Terms
from blackstart.guard.requests.model import AFTER

People = dict[str, Login]
DIGEST = "d" * 64
OTHER = "e" * 64


def test_a_held_write_is_on_the_disk_for_every_process(
    book: Book, book_of: Callable[..., Book], asked: Asked
) -> None:
    held = book.file(asked)
    assert (held.number, held.state) == (1, State.HELD)
    assert book_of().get(1) == held
    assert held.foreseen().parts[0].matched == 52


def test_the_same_write_again_is_the_same_request_while_it_is_open(
    book: Book, asked: Asked, people: People
) -> None:
    first = book.file(asked)
    assert book.file(asked) == first
    approved = book.approve(1, people["bob"], "looks right", digest=DIGEST)
    assert book.file(asked) == approved
    assert book.file(asked.model_copy(update={"digest": OTHER})).number == 2
    assert book.file(asked.model_copy(update={"login": "ada-2"})).number == 3
    book.begin(1, people["ada"], DIGEST)
    assert book.file(asked).number == 4


def test_a_reviewer_approves_with_a_reason_and_then_it_runs_once(
    book: Book, asked: Asked, people: People
) -> None:
    book.file(asked)
    approved = book.approve(1, people["bob"], " looks\nright ", digest=DIGEST)
    assert approved.decision is not None
    assert (approved.decision.person, approved.decision.reason) == ("bob", "looks right")
    assert book.begin(1, people["ada"], DIGEST).state is State.EXECUTING
    with pytest.raises(ConflictError, match="cannot become executing"):
        book.begin(1, people["ada"], DIGEST)
    book.end(1, State.EXECUTED, "52 documents")
    with pytest.raises(ConflictError):
        book.begin(1, people["ada"], DIGEST)
    with pytest.raises(ConflictError):
        book.approve(1, people["eve"], "again", digest=DIGEST)


@pytest.mark.parametrize("name", ["ada", "ada-2", "kim", "control"])
def test_neither_the_author_nor_their_other_account_nor_who_is_no_reviewer_decides(
    book: Book, asked: Asked, people: People, name: str
) -> None:
    book.file(asked)
    with pytest.raises(SignOffError):
        book.approve(1, people[name], "mine", digest=DIGEST)
    with pytest.raises(SignOffError):
        book.reject(1, people[name], "mine")
    assert book.get(1).state is State.HELD


def test_the_same_login_does_not_decide_from_elsewhere_under_another_persons_name(
    book: Book, asked: Asked, people: People
) -> None:
    book.file(asked.model_copy(update={"login": "bob", "person": "somebody"}))
    with pytest.raises(SignOffError):
        book.approve(1, people["bob"], "not me", digest=DIGEST)


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 2_001])
def test_a_decision_needs_a_reason(book: Book, asked: Asked, people: People, reason: str) -> None:
    book.file(asked)
    for decide in (
        lambda: book.approve(1, people["bob"], reason, digest=DIGEST),
        lambda: book.reject(1, people["bob"], reason),
        lambda: book.break_glass(1, people["ada"], reason),
    ):
        with pytest.raises(UsageError, match="say why"):
            decide()
    assert book.get(1).state is State.HELD


def test_an_approval_is_for_exactly_the_command_that_was_seen(
    book: Book, asked: Asked, people: People
) -> None:
    book.file(asked)
    with pytest.raises(ConflictError, match="another command"):
        book.approve(1, people["bob"], "fine", digest=OTHER)
    book.approve(1, people["bob"], "fine", digest=DIGEST)
    with pytest.raises(ConflictError, match="another command"):
        book.begin(1, people["ada"], OTHER)
    with pytest.raises(SignOffError):
        book.begin(1, people["kim"], DIGEST)
    with pytest.raises(SignOffError):
        book.begin(1, people["ada-2"], DIGEST)


def test_a_request_and_an_approval_expire(
    book: Book, asked: Asked, people: People, manual_clock: Any
) -> None:
    book.file(asked)
    manual_clock.advance(Terms().decision_s)
    with pytest.raises(ConflictError, match="is expired"):
        book.approve(1, people["bob"], "late", digest=DIGEST)
    assert book.get(1).state is State.EXPIRED
    assert book.file(asked).number == 2
    book.approve(2, people["bob"], "fine", digest=DIGEST)
    manual_clock.advance(Terms().run_s)
    with pytest.raises(ConflictError, match="is expired"):
        book.begin(2, people["ada"], DIGEST)
    assert book.get(2).history[-1].note == "nobody ran it in time"


def test_a_rejected_write_asked_for_again_says_so(book: Book, asked: Asked, people: People) -> None:
    book.file(asked)
    book.reject(1, people["bob"], "it overwrites metadata")
    with pytest.raises(ConflictError):
        book.begin(1, people["ada"], DIGEST)
    again = book.file(asked)
    assert again.number == 2
    assert again.history[0].note == "the same was rejected as request 1"


def test_the_author_withdraws_and_nobody_else(book: Book, asked: Asked, people: People) -> None:
    book.file(asked)
    with pytest.raises(SignOffError):
        book.withdraw(1, people["bob"])
    assert book.withdraw(1, people["ada-2"]).state is State.WITHDRAWN
    with pytest.raises(ConflictError):
        book.approve(1, people["bob"], "late", digest=DIGEST)


def test_who_goes_alone_is_listed_until_a_reviewer_has_looked(
    book: Book, asked: Asked, people: People
) -> None:
    book.file(asked)
    for name in ("bob", "ada-2", "control"):
        with pytest.raises(SignOffError):
            book.break_glass(1, people[name], "fire")
    assert book.break_glass(1, people["ada"], "the site is down").state is State.APPROVED
    book.begin(1, people["ada"], DIGEST)
    book.end(1, State.EXECUTED, "52 documents")
    assert [each.number for each in book.open()] == [1]
    for name in ("ada", "ada-2", "kim"):
        with pytest.raises(SignOffError):
            book.review(1, people[name], "fine")
    assert book.review(1, people["bob"], "it was right").wants_review is False
    assert book.open() == []
    with pytest.raises(ConflictError):
        book.review(1, people["eve"], "me too")


def test_a_broken_glass_that_nothing_came_of_is_listed_too(
    book: Book, asked: Asked, people: People, manual_clock: Any
) -> None:
    book.file(asked)
    book.break_glass(1, people["ada"], "fire")
    manual_clock.advance(Terms().run_s + Terms().keep_s)
    assert book.prune() == 0
    assert [(each.number, each.state) for each in book.open()] == [(1, State.EXPIRED)]


def test_a_snapshot_and_the_sending_are_noted_once_and_in_time(
    book: Book, asked: Asked, people: People
) -> None:
    book.file(asked)
    with pytest.raises(ConflictError):
        book.note_sent(1)
    book.approve(1, people["bob"], "fine", digest=DIGEST)
    book.begin(1, people["ada"], DIGEST)
    book.note_snapshot(1, "s1", "restore s1")
    book.note_sent(1)
    with pytest.raises(ConflictError):
        book.note_sent(1)
    with pytest.raises(ConflictError):
        book.note_snapshot(1, "s2", "restore s2")


def test_after_a_crash_what_was_sent_is_unknown_and_the_rest_did_not_run(
    book: Book, book_of: Callable[..., Book], asked: Asked, people: People
) -> None:
    for number in (1, 2, 3):
        book.file(asked.model_copy(update={"digest": f"{number}" * 64}))
        book.approve(number, people["bob"], "fine", digest=f"{number}" * 64)
    for number in (1, 2):
        book.begin(number, people["ada"], f"{number}" * 64)
    book.note_sent(2)
    ended = book_of().recover()
    assert [each.state for each in ended] == [State.NOT_EXECUTED, State.UNKNOWN]
    assert [each.state for each in book.all()] == [*(each.state for each in ended), State.APPROVED]
    assert book_of().recover() == []


def test_an_approval_that_data_has_outgrown_is_no_longer_good(
    book: Book, asked: Asked, people: People
) -> None:
    book.file(asked)
    with pytest.raises(ConflictError):
        book.outdate(1, "more match")
    book.approve(1, people["bob"], "fine", digest=DIGEST)
    assert book.outdate(1, "more match").state is State.EXPIRED
    with pytest.raises(ConflictError):
        book.begin(1, people["ada"], DIGEST)
    assert book.file(asked).number == 2


def test_old_requests_are_forgotten_and_their_numbers_are_not_given_again(
    book: Book, book_of: Callable[..., Book], asked: Asked, people: People, manual_clock: Any
) -> None:
    book.file(asked)
    book.reject(1, people["bob"], "no")
    manual_clock.advance(Terms().keep_s + 1)
    assert book.prune() == 1
    with pytest.raises(NotFoundError):
        book.get(1)
    assert book_of().file(asked).number == 2


def test_no_state_is_left_in_a_way_that_is_not_foreseen(
    book: Book, asked: Asked, people: People
) -> None:
    acts: dict[State, Callable[[int], Any]] = {
        State.APPROVED: lambda n: book.approve(n, people["bob"], "x", digest=DIGEST),
        State.REJECTED: lambda n: book.reject(n, people["bob"], "x"),
        State.WITHDRAWN: lambda n: book.withdraw(n, people["ada"]),
        State.EXECUTING: lambda n: book.begin(n, people["ada"], DIGEST),
        State.EXECUTED: lambda n: book.end(n, State.EXECUTED, "x"),
        State.NOT_EXECUTED: lambda n: book.end(n, State.NOT_EXECUTED, "x"),
        State.UNKNOWN: lambda n: book.end(n, State.UNKNOWN, "x"),
    }
    for way in itertools.permutations(acts, 3):
        number = book.file(asked).number
        state = book.get(number).state
        for target in way:
            if target in AFTER.get(state, ()):
                state = acts[target](number).state
                assert state is target
            else:
                with pytest.raises(BlackstartError):
                    acts[target](number)
                assert book.get(number).state is state
        if book.get(number).state is State.EXECUTING:
            book.end(number, State.UNKNOWN, "the end")
        elif book.get(number).is_open:
            book.withdraw(number, people["ada"])


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"number": 1}'])
def test_a_file_that_is_no_request_is_told_and_not_passed_over(
    book: Book, tmp_path: Path, asked: Asked, text: str
) -> None:
    book.file(asked)
    (tmp_path / "requests" / "00000001.json").write_text(text)
    with pytest.raises(InvalidDocumentError, match="00000001"):
        book.get(1)
    with pytest.raises(InvalidDocumentError):
        book.file(asked)


def test_a_file_under_another_number_is_no_request(
    book: Book, tmp_path: Path, asked: Asked, people: People
) -> None:
    book.file(asked)
    book.approve(1, people["bob"], "fine", digest=DIGEST)
    folder = tmp_path / "requests"
    (folder / "00000007.json").write_bytes((folder / "00000001.json").read_bytes())
    with pytest.raises(InvalidDocumentError, match="holds request 1"):
        book.begin(7, people["ada"], DIGEST)


def test_a_disk_that_fails_leaves_a_request_as_it_was(
    book: Book, book_of: Callable[..., Book], asked: Asked, people: People
) -> None:
    book.file(asked)

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left"):
        book_of(replace=full).approve(1, people["bob"], "fine", digest=DIGEST)
    assert book_of().get(1).state is State.HELD


def test_times_are_kept_to_the_moment(
    book: Book, asked: Asked, people: People, manual_clock: Any
) -> None:
    book.file(asked)
    approved = book.approve(1, people["bob"], "fine", digest=DIGEST)
    assert approved.run_until == manual_clock.now() + timedelta(seconds=Terms().run_s)
