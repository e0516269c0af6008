"""Logging in to the page with a login of the guard, and out again."""

from __future__ import annotations

import asyncio
import re

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from blackstart.errors import RateLimitedError, UnauthorizedError
from blackstart.guard.logins import Login
from blackstart.guard.web.bodies import read_form
from blackstart.guard.web.house import House, client_of
from blackstart.guard.web.visits import LIFE_S, Visit
from blackstart.web.window import peer_of

LOGIN = "/login"
_OUR_PATH = re.compile(r"/(requests/[0-9]{1,8}|channel)?(\?all=1)?")


class Entry:
    """`secure` says whether browsers reach the page by TLS alone."""

    def __init__(self, house: House, *, secure: bool) -> None:
        self._house = house
        self._secure = secure
        # With the prefix no other host and no page without TLS can set it (RFC 6265bis).
        self._cookie = "__Host-guard" if secure else "guard"

    def visit(self, request: Request) -> Visit | None:
        """Who asks; None for nobody we know. Raises: StorageError."""
        return self._house.visits.find(request.cookies.get(self._cookie, ""))

    async def form(self, request: Request) -> Response:
        """The page that asks for name and password."""
        next_path = our_path(request.query_params.get("next", ""))
        if self.visit(request) is not None:
            return RedirectResponse(next_path, 303)
        return self._form(next_path)

    async def log_in(self, request: Request) -> Response:
        """Take name and password. Raises: StorageError, and then nobody is in."""
        form = await read_form(request)
        name, password = form.get("name", "").strip(), form.get("password", "")
        next_path = our_path(form.get("next", ""))
        house, client = self._house, client_of(request)
        try:
            house.tries.take(peer_of(request.scope), name)
            login = await self._check(name, password)
        except (RateLimitedError, UnauthorizedError) as error:
            house.trail.note("page.refused", login=name[:64], client=client, why=error.message)
            refused = self._form(next_path, name=name, error=error.message, status=error.status)
            if isinstance(error, RateLimitedError):
                refused.headers["retry-after"] = str(error.retry_after_s)
            return refused
        await house.trail.record("page.entered", login=login.name, client=client)
        house.visits.end(request.cookies.get(self._cookie, ""))
        answer = RedirectResponse(next_path, 303)
        self._set_cookie(answer, house.visits.begin(login), LIFE_S)
        return answer

    async def log_out(self, request: Request) -> Response:
        """End the visit."""
        self._house.visits.end(request.cookies.get(self._cookie, ""))
        answer = RedirectResponse(LOGIN, 303)
        self._set_cookie(answer, "", 0)
        return answer

    async def _check(self, name: str, password: str) -> Login:
        """Raises: UnauthorizedError; StorageError when the logins cannot be read."""
        logins = self._house.logins
        logins.refresh()
        # A name that nobody has takes as long as one that somebody has.
        known = await asyncio.to_thread(logins.secret_of(name).is_of, password)
        login = logins.find(name)
        if not known or login is None:
            raise UnauthorizedError("wrong name or password", presented=True)
        if login.is_service:
            raise UnauthorizedError(
                "this login is a service's, and the page for people", presented=True
            )
        return login

    def _form(
        self, next_path: str, *, name: str = "", error: str = "", status: int = 200
    ) -> HTMLResponse:
        return self._house.page(
            "login.html", status=status, next=next_path, name=name[:64], error=error
        )

    def _set_cookie(self, answer: Response, value: str, life_s: int) -> None:
        answer.set_cookie(
            self._cookie,
            value,
            max_age=life_s,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="strict",
        )


def our_path(path: str) -> str:
    """A path of a page of ours as it is, and the first page for everything else."""
    return path if _OUR_PATH.fullmatch(path) else "/"
