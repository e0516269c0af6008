"""Signed callbacks: somebody pressed a button under a held write, and it was Slack that says so.

The signature is Slack's version 0: HMAC-SHA256 with the app's signing secret over
`v0:<timestamp>:<body>`, the body as it was received ("Verifying requests from Slack").
A callback sent again within the window changes nothing: a request is decided once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from blackstart.clock import Clock
from blackstart.errors import SignOffError, TooLargeError, UnauthorizedError, UsageError
from blackstart.guard.channel.webhook import APPROVE, REASON, REJECT
from blackstart.guard.decisions import Decisions
from blackstart.guard.logins import Login, Logins
from blackstart.guard.requests import Request

WINDOW_S = 300.0
MAX_BODY = 256 * 1024
VERSION = "v0"


@dataclass(frozen=True)
class Pressed:
    """Who pressed which button, about which request, and why."""

    user: str
    approves: bool
    request: int
    digest: str
    reason: str

    @classmethod
    def of_body(cls, body: bytes) -> Pressed:
        """Raises: UsageError for anything but a press of one of our buttons."""
        try:
            (text,) = parse_qs(body.decode(), strict_parsing=True, max_num_fields=8)["payload"]
            return cls._of_payload(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError("this is no press of a button under a held write") from error

    @classmethod
    def _of_payload(cls, payload: Mapping[str, Any]) -> Pressed:
        (action,) = payload["actions"]
        value = json.loads(action["value"])
        reason = payload["state"]["values"][REASON][REASON]["value"]
        user, number, digest = payload["user"]["id"], value["request"], value["digest"]
        if action["action_id"] not in (APPROVE, REJECT) or type(number) is not int:
            raise ValueError("another button")
        if not isinstance(user, str) or not isinstance(digest, str):
            raise ValueError("nobody, or nothing")
        return cls(user, action["action_id"] == APPROVE, number, digest, reason or "")


def check_signature(headers: Mapping[str, str], body: bytes, secret: str, clock: Clock) -> None:
    """Raises: UnauthorizedError when the body is not signed, or not now; TooLargeError."""
    assert secret, "anybody could sign with an empty secret"
    if len(body) > MAX_BODY:
        raise TooLargeError(f"a callback of more than {MAX_BODY} bytes")
    stamp = headers.get("x-slack-request-timestamp", "")
    signature = headers.get("x-slack-signature", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16 and signature):
        raise UnauthorizedError("the callback is not signed", presented=False)
    signed = f"{VERSION}:{stamp}:".encode() + body
    expected = f"{VERSION}={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
    if not hmac.compare_digest(expected.encode(), signature.encode("latin-1", "replace")):
        raise UnauthorizedError("the callback has another signature", presented=True)
    if abs(clock.time() - int(stamp)) > WINDOW_S:
        raise UnauthorizedError("the callback was signed at another time", presented=True)


class Callbacks:
    """Takes callbacks for a guard."""

    def __init__(
        self,
        secret: str,
        people: Mapping[str, str],
        logins: Logins,
        decisions: Decisions,
        clock: Clock,
    ) -> None:
        """`people` names logins by the user ids of the channel."""
        self._secret = secret
        self._people = people
        self._logins = logins
        self._decisions = decisions
        self._clock = clock

    async def take(self, headers: Mapping[str, str], body: bytes) -> Request:
        """Decide as the button says. `headers` are by lower-case name, `body` as received.

        Raises: UnauthorizedError, UsageError, TooLargeError; SignOffError for a user that is
        nobody here; and as `Decisions` does.
        """
        check_signature(headers, body, self._secret, self._clock)
        pressed = Pressed.of_body(body)
        login = self._login(pressed.user)
        if pressed.approves:
            return await self._decisions.approve(
                pressed.request, login, pressed.reason, pressed.digest
            )
        return await self._decisions.reject(pressed.request, login, pressed.reason)

    def _login(self, user: str) -> Login:
        self._logins.refresh()
        login = self._logins.find(self._people.get(user, ""))
        if login is None:
            raise SignOffError(f"the channel's user {user} is nobody here")
        return login
