"""Presses of buttons, over the network: signed, fresh, once, and by a reviewer."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.guard.web.conftest import Serve, Site

from blackstart.clock import WallClock
from blackstart.guard.channel.callbacks import MAX_BODY, WINDOW_S
from blackstart.guard.requests import Request, State
from blackstart.guard.web.slack import PATH

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
PEOPLE = {"U1": "ada", "U2": "bob", "U3": "eve", "U4": "ada2"}


@pytest.fixture
async def slack(serve: Serve) -> AsyncIterator[Site]:
    async with serve(guard_signing_secret=SECRET, guard_people=PEOPLE) as site:
        yield site


def body_of(held: Request, *, user: str = "U2", action: str = "approve", **given: Any) -> bytes:
    value = {"request": held.number, "digest": held.digest} | given
    payload = {
        "type": "block_actions",
        "user": {"id": user},
        "actions": [{"action_id": f"guard-{action}", "value": json.dumps(value)}],
        "state": {"values": {"guard-reason": {"guard-reason": {"value": "seen in the channel"}}}},
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


def signed(body: bytes, *, secret: str = SECRET, late_s: float = 0.0) -> dict[str, str]:
    stamp = str(int(WallClock().time() - late_s))
    digest = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={digest}",
    }


async def press(site: Site, body: bytes, fields: dict[str, str]) -> Any:
    async with site.browser() as browser:
        return await browser.http.post(PATH, content=body, headers=fields)


async def test_a_reviewers_button_lets_the_write_run_and_again_it_does_nothing(
    slack: Site,
) -> None:
    held = await slack.held()
    body = body_of(held)
    fields = signed(body)
    answer = await press(slack, body, fields)
    assert (answer.status_code, answer.content) == (200, b"")
    (ended,) = await slack.ended()
    assert ended.modified_count == 5
    assert (await press(slack, body, fields)).status_code == 409
    async with slack.browser("bob") as browser:
        shown = await browser.text(f"/requests/{held.number}")
        assert "bob: seen in the channel" in shown
        assert "did not count" in await browser.text("/channel")


async def test_what_is_not_signed_now_by_slack_decides_nothing(slack: Site) -> None:
    held = await slack.held()
    body = body_of(held)
    good = signed(body)
    for fields in (
        {},
        {name: value for name, value in good.items() if name != "x-slack-signature"},
        good | {"x-slack-request-timestamp": str(int(good["x-slack-request-timestamp"]) - 1)},
        signed(body, secret="another"),
        signed(body, late_s=WINDOW_S + 10),
        signed(body, late_s=-WINDOW_S - 10),
    ):
        assert (await press(slack, body, fields)).status_code == 401
    changed = body.replace(b"guard-approve", b"guard-reject")
    assert (await press(slack, changed, good)).status_code == 401
    huge = b"x" * (MAX_BODY + 1)
    assert (await press(slack, huge, signed(huge))).status_code == 413
    assert slack.book.get(held.number).state is State.HELD


async def test_the_author_strangers_and_another_command_do_not_count_and_it_is_told(
    slack: Site,
) -> None:
    held = await slack.held()
    for given, status, why in (
        ({"user": "U1"}, 403, "a write of their own"),
        ({"user": "U4"}, 403, "a write of their own"),
        ({"user": "U3"}, 403, "not a reviewer"),
        ({"user": "U9"}, 403, "nobody here"),
        ({"digest": "0" * 64}, 409, "another command"),
        ({"request": 99}, 404, "no request 99"),
    ):
        body = body_of(held, **given)  # type: ignore[arg-type]
        assert (await press(slack, body, signed(body))).status_code == status, given
        async with slack.browser("eve") as browser:
            assert why in await browser.text("/channel")
    assert slack.book.get(held.number).state is State.HELD


async def test_a_guard_without_a_signing_secret_takes_no_callbacks(site: Site) -> None:
    held = await site.held()
    body = body_of(held)
    for secret in ("", SECRET):
        assert (await press(site, body, signed(body, secret=secret))).status_code == 404
    assert site.book.get(held.number).state is State.HELD
