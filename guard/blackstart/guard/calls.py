"""The guard reached by calls instead of a socket: one login's way through it, on any clock."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from blackstart.guard.logins import Login
from blackstart.guard.proxy.asked import Asked, Client, Gate
from blackstart.guard.rules import Command
from blackstart.wire import Peer, encode_command, parse_message

Send = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Has the database run a command; gives its answer, also one that says `ok: 0`."""


class GuardedCalls:
    """Asks the gate about each command, and sends on what it lets through.

    A command is made into a frame and taken apart again, so that it is judged as one
    that came over the wire.
    """

    def __init__(self, gate: Gate, login: Login, send: Send, *, application: str = "") -> None:
        self._gate = gate
        self._client = Client(Peer(0, "here"), login, application, lambda: False)
        self._send = send
        self._numbers = itertools.count(1)

    async def run(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """The database's answer to a command, which names its database as `$db`.

        Raises: CommandError when the guard does not let it through; whatever `send` raises,
        and StorageError when what has to be on record cannot be.
        """
        message = parse_message(encode_command(command, request_id=next(self._numbers)))
        passage = await self._gate.admit(Asked(self._client, Command.of_message(message)))
        try:
            answer = await self._send(command)
        except BaseException:
            if passage is not None:
                await passage.lost()
            raise
        if passage is not None:
            await passage.answered(answer)
        return answer
