"""Signed callbacks: a button counts when Slack signed it just now and a reviewer pressed it."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.conftest import ManualClock

from blackstart.errors import (
    BlackstartError,
    ConflictError,
    SignOffError,
    TooLargeError,
    UnauthorizedError,
    UsageError,
)
from blackstart.guard.channel import Callbacks, check_signature
from blackstart.guard.channel.callbacks import MAX_BODY, WINDOW_S
from blackstart.guard.decisions import Decisions
from blackstart.guard.logins import Logins, Role
from blackstart.guard.preview import Preview
from blackstart.guard.requests import Asked, Book, RequestFolder, State

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
DIGEST = "d" * 64
PASSWORD = "correct horse battery"


class Quiet:
    """A trail and a channel that nobody listens to."""

    async def record(self, action: str, **details: Any) -> None: ...

    async def tell(self, text: str, *, request: int | None = None) -> None: ...


@pytest.fixture
def book(tmp_path: Path, manual_clock: ManualClock) -> Book:
    book = Book(RequestFolder(tmp_path / "requests"), manual_clock)
    asked = {"login": "ada", "person": "ada", "client": "c", "database": "shop", "command": {}}
    asked |= {"digest": DIGEST, "kind": "several", "why": "w", "preview": Preview().row()}
    book.file(Asked(**asked))
    return book


@pytest.fixture
def callbacks(tmp_path: Path, book: Book, manual_clock: ManualClock) -> Callbacks:
    logins = Logins(tmp_path / "logins.json")
    logins.add("ada", PASSWORD, roles=[Role.REVIEWER])
    logins.add("bob", PASSWORD, roles=[Role.REVIEWER])
    logins.add("kim", PASSWORD)
    people = {"U1": "ada", "U2": "bob", "U3": "kim", "U4": "gone"}
    decisions = Decisions(book, Quiet(), Quiet(), manual_clock)
    return Callbacks(SECRET, people, logins, decisions, manual_clock)


def payload(
    user: str = "U2", action: str = "guard-approve", reason: str | None = "fine", **value: Any
) -> dict[str, Any]:
    given = {"request": 1, "digest": DIGEST} | value
    return {
        "type": "block_actions",
        "user": {"id": user, "username": "b"},
        "actions": [{"action_id": action, "value": json.dumps(given)}],
        "state": {"values": {"guard-reason": {"guard-reason": {"value": reason}}}},
    }


def signed(
    body: bytes, clock: ManualClock, *, secret: str = SECRET, late_s: float = 0.0
) -> dict[str, str]:
    stamp = str(int(clock.time() - late_s))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256)
    return {
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={digest.hexdigest()}",
    }


def encoded(found: Any) -> bytes:
    return urlencode({"payload": json.dumps(found)}).encode()


async def press(callbacks: Callbacks, clock: ManualClock, **given: Any) -> State:
    body = encoded(payload(**given))
    return (await callbacks.take(signed(body, clock), body)).state


def test_the_signature_is_slacks_own_example(manual_clock: ManualClock) -> None:
    """The values stand in Slack's page "Verifying requests from Slack"."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow"
        b"&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner"
        b"&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
        b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015"
        b".47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "x-slack-request-timestamp": "1531420618",
        "x-slack-signature": (
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
        ),
    }
    manual_clock.now_s = 1_531_420_618.0
    check_signature(headers, body, SECRET, manual_clock)
    with pytest.raises(UnauthorizedError):
        check_signature(headers, body + b"&", SECRET, manual_clock)


async def test_a_reviewers_button_decides_with_its_reason(
    callbacks: Callbacks, book: Book, manual_clock: ManualClock
) -> None:
    assert await press(callbacks, manual_clock) is State.APPROVED
    decision = book.get(1).decision
    assert decision is not None
    assert (decision.login, decision.reason) == ("bob", "fine")


async def test_a_reviewers_other_button_rejects(
    callbacks: Callbacks, manual_clock: ManualClock
) -> None:
    assert await press(callbacks, manual_clock, action="guard-reject") is State.REJECTED


async def test_a_callback_sent_again_decides_nothing_again(
    callbacks: Callbacks, manual_clock: ManualClock
) -> None:
    body = encoded(payload())
    headers = signed(body, manual_clock)
    await callbacks.take(headers, body)
    with pytest.raises(ConflictError):
        await callbacks.take(headers, body)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"user": "U1"}, SignOffError),
        ({"user": "U3"}, SignOffError),
        ({"user": "U4"}, SignOffError),
        ({"user": "U9"}, SignOffError),
        ({"reason": None}, UsageError),
        ({"reason": " "}, UsageError),
        ({"digest": "e" * 64}, ConflictError),
        ({"action": "guard-destroy"}, UsageError),
        ({"request": "1"}, UsageError),
        ({"request": True}, UsageError),
        ({"digest": None}, UsageError),
    ],
    ids=str,
)
async def test_the_author_strangers_and_what_is_not_meant_so_decide_nothing(
    callbacks: Callbacks,
    book: Book,
    manual_clock: ManualClock,
    given: dict[str, Any],
    error: type[BlackstartError],
) -> None:
    with pytest.raises(error):
        await press(callbacks, manual_clock, **given)
    assert book.get(1).state is State.HELD


@pytest.mark.parametrize(
    "change",
    [
        {"x-slack-signature": ""},
        {"x-slack-signature": "v0=" + "0" * 64},
        {"x-slack-signature": "v0=\xff\u0100"},
        {"x-slack-request-timestamp": ""},
        {"x-slack-request-timestamp": "now"},
        {"x-slack-request-timestamp": "-5"},
        {"x-slack-request-timestamp": "1" * 5_000},
        {"x-slack-request-timestamp": "\u0665"},
    ],
    ids=str,
)
async def test_what_is_not_signed_decides_nothing(
    callbacks: Callbacks, book: Book, manual_clock: ManualClock, change: dict[str, str]
) -> None:
    body = encoded(payload())
    with pytest.raises(UnauthorizedError):
        await callbacks.take(signed(body, manual_clock) | change, body)
    assert book.get(1).state is State.HELD


@pytest.mark.parametrize("late_s", [WINDOW_S + 1, -WINDOW_S - 1])
async def test_what_was_signed_at_another_time_decides_nothing(
    callbacks: Callbacks, manual_clock: ManualClock, late_s: float
) -> None:
    body = encoded(payload())
    with pytest.raises(UnauthorizedError, match="at another time"):
        await callbacks.take(signed(body, manual_clock, late_s=late_s), body)


async def test_another_secret_signs_nothing(
    callbacks: Callbacks, manual_clock: ManualClock
) -> None:
    body = encoded(payload())
    with pytest.raises(UnauthorizedError):
        await callbacks.take(signed(body, manual_clock, secret="other"), body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload=",
        b"payload=1",
        b"payload=[]",
        b"payload={}",
        b"other=1",
        b"\xff\xfe",
        b"payload=" + b"[" * 100_000,
        encoded({"actions": []}),
        encoded({**payload(), "state": {}}),
        encoded({**payload(), "user": "U2"}),
        encoded(payload()) + b"&" + encoded(payload(action="guard-reject")),
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_a_signed_body_that_is_no_press_is_refused(
    callbacks: Callbacks, manual_clock: ManualClock, body: bytes
) -> None:
    with pytest.raises(UsageError):
        await callbacks.take(signed(body, manual_clock), body)


async def test_a_body_without_bound_is_not_even_hashed(
    callbacks: Callbacks, manual_clock: ManualClock
) -> None:
    body = b"x" * (MAX_BODY + 1)
    with pytest.raises(TooLargeError):
        await callbacks.take(signed(body, manual_clock), body)
