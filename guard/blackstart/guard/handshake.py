"""Logging in to the guard: SCRAM-SHA-256 as MongoDB's drivers speak it.

The exchange is `saslStart` and `saslContinue`, or begins inside `hello` as
`speculativeAuthenticate` (MongoDB's authentication specification). SCRAM
itself is the library's; here are MongoDB's documents around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson import Binary
from scramp import ScramException, ScramMechanism
from scramp.core import ScramServer

from blackstart.errors import UnauthorizedError
from blackstart.guard.logins import MECHANISM, Login, Logins

CONVERSATION = 1
MAX_PAYLOAD = 4_096


class Handshake:
    """One connection's way from nobody to a login. A failure begins it anew."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins
        self._server: ScramServer | None = None
        self._name = ""
        self._skips_empty = False
        self._proved = False

    def start(self, command: Mapping[str, Any], database: object) -> dict[str, Any]:
        """Answer a `saslStart`. Raises: UnauthorizedError."""
        self._forget()
        if command.get("mechanism") != MECHANISM:
            raise _refused(f"the guard speaks {MECHANISM} only")
        if database != "admin":
            raise _refused("log in with authSource=admin")
        options = command.get("options")
        self._skips_empty = isinstance(options, Mapping) and bool(options.get("skipEmptyExchange"))
        self._logins.refresh()
        server = ScramMechanism(MECHANISM).make_server(self._keys_of)
        try:
            server.set_client_first(_text(command.get("payload")))
            payload = server.get_server_first()
        except (ScramException, KeyError, ValueError) as error:
            raise _refused("malformed first message") from error
        self._server = server
        return _reply(payload, done=False)

    def go_on(self, command: Mapping[str, Any]) -> tuple[dict[str, Any], Login | None]:
        """Answer a `saslContinue`; the login with it once it is proved and told.

        Raises: UnauthorizedError.
        """
        if command.get("conversationId") != CONVERSATION:
            raise _refused("no such conversation")
        if self._proved:
            return _reply("", done=True), self._arrived()
        if self._server is None:
            raise _refused("no conversation was started")
        server, self._server = self._server, None
        try:
            server.set_client_final(_text(command.get("payload")))
            payload = server.get_server_final()
        except (ScramException, KeyError, ValueError) as error:
            raise _refused("wrong name or password") from error
        self._proved = True
        if not self._skips_empty:
            return _reply(payload, done=False), None
        return _reply(payload, done=True), self._arrived()

    def _keys_of(self, name: str) -> tuple[bytes, bytes, bytes, int]:
        self._name = name
        secret = self._logins.secret_of(name)
        return secret.salt, secret.stored_key, secret.server_key, secret.iterations

    def _arrived(self) -> Login:
        login = self._logins.find(self._name)
        self._forget()
        if login is None:
            raise _refused("wrong name or password")
        return login

    def _forget(self) -> None:
        self._server, self._proved = None, False


def _text(payload: object) -> str:
    if not isinstance(payload, bytes) or len(payload) > MAX_PAYLOAD:
        raise ValueError("not a payload")
    return payload.decode()


def _reply(payload: str, *, done: bool) -> dict[str, Any]:
    return {
        "conversationId": CONVERSATION,
        "done": done,
        "payload": Binary(payload.encode()),
        "ok": 1.0,
    }


def _refused(why: str) -> UnauthorizedError:
    return UnauthorizedError(f"Authentication failed: {why}", presented=True)
