"""What a client asks, and the gate it has to pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from blackstart.guard.logins import Login
from blackstart.guard.rules import Command
from blackstart.wire import Peer


@dataclass(frozen=True)
class Client:
    """One connection: its peer, whom it logged in as, and what its driver says it is."""

    peer: Peer
    login: Login
    application: str
    is_gone: Callable[[], bool]


@dataclass(frozen=True)
class Asked:
    """One command of one client."""

    client: Client
    command: Command


class Passage(Protocol):
    """A command that may run now, once; who let it through wants to know how it ended."""

    async def answered(self, answer: Mapping[str, Any]) -> None:
        """The database answered, with `ok: 1` or an error."""

    async def not_sent(self) -> None:
        """It did not run: no connection to the database could be had."""

    async def lost(self) -> None:
        """Nobody knows whether it ran: the connection broke between command and answer."""


class Gate(Protocol):
    """Decides about each command of a client that is logged in."""

    async def admit(self, asked: Asked) -> Passage | None:
        """Return when it may run; None when nobody wants to know how it ends.

        Raises: CommandError, BlackstartError when it does not pass.
        """
