"""The guard's own commands: how reviewers and authors speak to it, over the same protocol.

They are run on the database `admin` by whoever is logged in, so that the guard knows who speaks:
`{guardRequests: 1}`, `{guardShow: 7}`, `{guardApprove: 7, digest: "...", reason: "..."}`,
`{guardReject: 7, reason: "..."}`, `{guardWithdraw: 7}`, `{guardBreakGlass: 7, reason: "..."}` and
`{guardReview: 7, reason: "..."}`. `{guardConsole: 1, where: "..."}` says that its connection is
a console's, as long as it lasts.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from blackstart.guard.consoles import Consoles
from blackstart.guard.decisions import FAILURE, Decisions
from blackstart.guard.logins import Login
from blackstart.guard.requests import Request
from blackstart.store.threads import in_thread
from blackstart.wire import CommandError

Say = Callable[[int, Login, Mapping[str, Any]], Awaitable[Request]]

CONSOLE = "guardConsole"


class OwnCommands:
    """Answers them; raises what `Decisions` raises."""

    def __init__(self, decisions: Decisions, consoles: Consoles | None = None) -> None:
        self.consoles = consoles
        self._decisions = decisions
        self._words: dict[str, Say] = {
            "guardShow": self._show,
            "guardApprove": self._approve,
            "guardReject": self._reject,
            "guardWithdraw": self._withdraw,
            "guardBreakGlass": self._break_glass,
            "guardReview": self._review,
        }

    def __contains__(self, name: object) -> bool:
        return name == "guardRequests" or name in self._words

    async def answer(self, name: str, command: Mapping[str, Any], login: Login) -> dict[str, Any]:
        """The answer to one of them. Raises: CommandError, and as `Decisions`."""
        if command.get("$db") != "admin":
            raise CommandError("Unauthorized", f"run {name} on the database admin")
        if name == "guardRequests":
            return await self._list(bool(command.get("all")))
        number = command[name]
        if not isinstance(number, int) or isinstance(number, bool):
            raise CommandError("TypeMismatch", f"{name} takes a request's number")
        request = await self._words[name](number, login, command)
        return {"request": row(request), "ok": 1.0}

    async def _list(self, everything: bool) -> dict[str, Any]:
        book = self._decisions.book
        found = await in_thread(FAILURE, book.all if everything else book.open)
        return {"requests": [row(request) for request in found], "ok": 1.0}

    async def _show(self, number: int, login: Login, command: Mapping[str, Any]) -> Request:
        return await in_thread(FAILURE, self._decisions.book.get, number)

    async def _approve(self, number: int, login: Login, command: Mapping[str, Any]) -> Request:
        digest = str(command.get("digest", ""))
        return await self._decisions.approve(number, login, _reason(command), digest)

    async def _reject(self, number: int, login: Login, command: Mapping[str, Any]) -> Request:
        return await self._decisions.reject(number, login, _reason(command))

    async def _withdraw(self, number: int, login: Login, command: Mapping[str, Any]) -> Request:
        return await self._decisions.withdraw(number, login, _reason(command))

    async def _break_glass(self, number: int, login: Login, command: Mapping[str, Any]) -> Request:
        return await self._decisions.break_glass(number, login, _reason(command))

    async def _review(self, number: int, login: Login, command: Mapping[str, Any]) -> Request:
        return await self._decisions.review(number, login, _reason(command))


def row(request: Request) -> dict[str, Any]:
    """A request as plain values."""
    found: dict[str, Any] = json.loads(request.model_dump_json())
    return found


def _reason(command: Mapping[str, Any]) -> str:
    return str(command.get("reason", ""))
