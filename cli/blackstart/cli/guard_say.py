"""`blackstart guard approve` and its neighbours: what people say about a held write."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.guard_door import LoginName, Number, TlsCa, Where
from blackstart.cli.guard_requests import open_guard, print_request
from blackstart.errors import ConflictError, UsageError

if TYPE_CHECKING:
    from blackstart.guard.requests import Request

Reason = Annotated[
    str, typer.Option(metavar="WHY", help="Kept on record, and told.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask again.")]


def approve(
    number: Number,
    reason: Reason = "",
    yes: Yes = False,
    guard: Where = None,
    login: LoginName = None,
    tls_ca: TlsCa = None,
) -> None:
    """Show a held write, and let it run once.

    The approval is for exactly what is shown, for the login that asked for it, and for 15 minutes.
    """
    with open_guard(guard, login, tls_ca) as client:
        shown = client.show(number)
        print_request(shown)
        _must_be_held(shown)
        _ask(f"approve request {number} of {shown.login}?", yes=yes)
        word = {"digest": shown.digest, "reason": _reason(reason)}
        request = client.say("guardApprove", number, **word)
    until = "" if request.run_until is None else f", until {request.run_until:%H:%M} UTC"
    print(f"request {number} is {request.state}: it may run once{until}")


def reject(
    number: Number,
    reason: Reason = "",
    guard: Where = None,
    login: LoginName = None,
    tls_ca: TlsCa = None,
) -> None:
    """Reject a held write: it does not run, and whoever asked for it is told why."""
    with open_guard(guard, login, tls_ca) as client:
        request = client.say("guardReject", number, reason=_reason(reason))
    print(f"request {number} is {request.state}")


def withdraw(
    number: Number,
    reason: Reason = "",
    guard: Where = None,
    login: LoginName = None,
    tls_ca: TlsCa = None,
) -> None:
    """Take back a held write of your own."""
    with open_guard(guard, login, tls_ca) as client:
        request = client.say("guardWithdraw", number, reason=reason)
    print(f"request {number} is {request.state}")


def break_glass(
    number: Number,
    reason: Reason = "",
    yes: Yes = False,
    guard: Where = None,
    login: LoginName = None,
    tls_ca: TlsCa = None,
) -> None:
    """Let a held write of your own run without a second person.

    Everybody is told, and it stays in the list until a reviewer has looked at it.
    """
    with open_guard(guard, login, tls_ca) as client:
        shown = client.show(number)
        print_request(shown)
        _must_be_held(shown)
        _ask(f"run request {number} WITHOUT a second person?", yes=yes)
        request = client.say("guardBreakGlass", number, reason=_reason(reason))
    print(f"request {number} is {request.state}: the glass is broken, and everybody is told")


def review(
    number: Number,
    reason: Reason = "",
    guard: Where = None,
    login: LoginName = None,
    tls_ca: TlsCa = None,
) -> None:
    """Say that you looked at a write that ran alone, and what you think of it."""
    with open_guard(guard, login, tls_ca) as client:
        client.say("guardReview", number, reason=_reason(reason))
    print(f"request {number} is looked at")


def _must_be_held(request: Request) -> None:
    if request.state != "held":
        raise ConflictError(
            f"request {request.number} is {request.state}: there is nothing to decide"
        )


def _ask(question: str, *, yes: bool) -> None:
    """Raises: typer.Abort for a no; UsageError where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("this wants a yes, and nobody can be asked here", hint="give --yes")
    typer.confirm(question, abort=True, err=True)


def _reason(given: str) -> str:
    """Raises: UsageError where there is none, and nobody can be asked."""
    if given.strip():
        return given
    if not sys.stdin.isatty():
        raise UsageError("no reason is given", hint='give --reason "WHY"')
    asked: str = typer.prompt("why", err=True)
    return asked
