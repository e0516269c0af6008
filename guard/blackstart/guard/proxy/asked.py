"""What a client asks: a command with all its parts, who asks, and from where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from blackstart.guard.logins import Login
from blackstart.wire import Message, Peer


@dataclass(frozen=True)
class Client:
    """One connection: its peer, whom it logged in as, and what its driver says it is."""

    peer: Peer
    login: Login
    application: str
    is_gone: Callable[[], bool]


@dataclass(frozen=True)
class Asked:
    """One command, parsed: `document` is its body with the document sequences put in."""

    client: Client
    database: str
    name: str
    document: dict[str, Any] = field(repr=False)
    acknowledged: bool = True


class Passage(Protocol):
    """A command that may run now, once; who let it through wants to know how it ended."""

    async def answered(self, answer: dict[str, Any]) -> None:
        """The database answered, with `ok: 1` or an error."""

    async def lost(self) -> None:
        """Nobody knows whether it ran: the connection broke between command and answer."""


class Gate(Protocol):
    """Decides about each command of a client that is logged in."""

    async def admit(self, asked: Asked) -> Passage | None:
        """Return when it may run; None when nobody wants to know how it ends.

        Raises: CommandError, BlackstartError when it does not pass.
        """


def whole(message: Message) -> dict[str, Any]:
    """The command with its document sequences where they belong. Raises: WireError."""
    document = message.body.decode()
    for sequence in message.sequences:
        document[sequence.name] = [each.decode() for each in sequence.documents]
    return document
