"""What a visitor may do about a request now: by the book's own rules, so that no form lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from blackstart.errors import SignOffError
from blackstart.guard.logins import Login
from blackstart.guard.requests import (
    Request,
    State,
    check_author,
    check_owner,
    check_reviewer,
)


@dataclass(frozen=True)
class Choices:
    """Which forms stand under a request. `why_not` tells who may not decide why that is."""

    decide: bool
    withdraw: bool
    break_glass: bool
    review: bool
    why_not: str

    @property
    def any(self) -> bool:
        return self.decide or self.withdraw or self.break_glass or self.review

    @classmethod
    def of(cls, request: Request, login: Login) -> Choices:
        held = request.state is State.HELD
        waits = held or request.state is State.APPROVED
        refusal = _refusal(check_reviewer, request, login)
        asks = held or request.wants_review
        return cls(
            decide=held and not refusal,
            withdraw=waits and not _refusal(check_owner, request, login),
            break_glass=held and not _refusal(check_author, request, login),
            review=request.wants_review and not refusal,
            why_not=refusal if asks else "",
        )


def _refusal(check: Callable[[Request, Login], None], request: Request, login: Login) -> str:
    try:
        check(request, login)
    except SignOffError as error:
        return error.message
    return ""
