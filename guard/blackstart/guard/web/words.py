"""The forms under a request: approve, reject, withdraw, break the glass, look at it afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request as Asked
from starlette.responses import RedirectResponse, Response

from blackstart.errors import ConflictError, NotFoundError, SignOffError, UsageError
from blackstart.guard.logins import Login
from blackstart.guard.requests import Request
from blackstart.guard.web.bodies import read_form
from blackstart.guard.web.house import House
from blackstart.guard.web.pages import Pages
from blackstart.guard.web.visits import Visit

Form = Mapping[str, str]
Say = Callable[[int, Login, Form], Awaitable[Request]]


class Words:
    """Takes them from those who are logged in."""

    def __init__(self, house: House, pages: Pages) -> None:
        self._decisions = house.decisions
        self._pages = pages
        self._by_name: dict[str, Say] = {
            "approve": self._approve,
            "reject": self._reject,
            "withdraw": self._withdraw,
            "break-glass": self._break_glass,
            "review": self._review,
        }

    async def say(self, asked: Asked, visit: Visit) -> Response:
        """One word about one request. Raises: NotFoundError, UsageError, StorageError."""
        say = self._by_name.get(asked.path_params["word"])
        if say is None:
            raise NotFoundError("there is no such form")
        request, form = await self._pages.find(asked), await read_form(asked)
        check_token(visit, form)
        try:
            await say(request.number, visit.login, form)
        except (ConflictError, SignOffError, UsageError) as error:
            now = await self._pages.find(asked)
            return self._pages.show(
                asked,
                visit,
                now,
                error=str(error),
                reason=form.get("reason", ""),
                status=error.status,
            )
        return RedirectResponse(f"/requests/{request.number}", 303)

    async def _approve(self, number: int, login: Login, form: Form) -> Request:
        """For what the page showed, whose digest the form brings back."""
        return await self._decisions.approve(number, login, _reason(form), form.get("digest", ""))

    async def _reject(self, number: int, login: Login, form: Form) -> Request:
        return await self._decisions.reject(number, login, _reason(form))

    async def _withdraw(self, number: int, login: Login, form: Form) -> Request:
        return await self._decisions.withdraw(number, login, _reason(form))

    async def _break_glass(self, number: int, login: Login, form: Form) -> Request:
        if form.get("alone") != "yes":
            raise UsageError("tick the box: nobody breaks the glass by accident")
        return await self._decisions.break_glass(number, login, _reason(form))

    async def _review(self, number: int, login: Login, form: Form) -> Request:
        return await self._decisions.review(number, login, _reason(form))


def check_token(visit: Visit, form: Form) -> None:
    """Raises: UsageError for a form that does not come from a page of this visit."""
    if not visit.sent(form.get("token", "")):
        raise UsageError("this form is not from a page of this visit", hint="load the page again")


def _reason(form: Form) -> str:
    return " ".join(form.get("reason", "").split())
