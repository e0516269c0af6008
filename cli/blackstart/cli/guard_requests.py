"""`blackstart guard list`, `show` and `wait`: what is held, and what became of it."""

from __future__ import annotations

import sys
from time import sleep
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.guard_door import LoginName, Number, TlsCa, Where, the_door
from blackstart.cli.guard_options import AsJson
from blackstart.errors import BlackstartError

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from blackstart.cli.guard_client import GuardClient
    from blackstart.guard.preview import Preview
    from blackstart.guard.requests import Request

LOOK_S = 1.0
LOST_NAMED = 3
COLUMNS = {
    "no.": False,
    "who": False,
    "what": True,
    "docs": False,
    "age": False,
    "state": False,
    "expires": False,
}


class NotRunError(BlackstartError):
    """A request that was waited for came to another end than having run."""


def list_requests(
    everything: Annotated[
        bool, typer.Option("--all", help="Those that came to their end, too.")
    ] = False,
    as_json: AsJson = False,
    guard: Where = None,
    login: LoginName = None,
    tls_ca: TlsCa = None,
) -> None:
    """List the held writes that wait for something, oldest first."""
    from blackstart.cli.tables import print_json, print_table

    with open_guard(guard, login, tls_ca) as client:
        found = client.requests(everything=everything)
    if as_json:
        print_json([row_of(request) for request in found])
    elif found:
        print_table(COLUMNS, [_cells(request) for request in found])
    else:
        print("nothing was held yet" if everything else "nothing waits", file=sys.stderr)


def show(
    number: Number,
    as_json: AsJson = False,
    guard: Where = None,
    login: LoginName = None,
    tls_ca: TlsCa = None,
) -> None:
    """Show all of a held write: who, what it would do, what was said, how to undo it."""
    with open_guard(guard, login, tls_ca) as client:
        print_request(client.show(number), as_json=as_json)


def wait(
    number: Number,
    as_json: AsJson = False,
    guard: Where = None,
    login: LoginName = None,
    tls_ca: TlsCa = None,
) -> None:
    """Wait until a held write has come to its end. Exit code: 0 when it ran, else 1."""
    with open_guard(guard, login, tls_ca) as client:
        request = _ended(client, number)
    if as_json:
        print_request(request, as_json=True)
    if request.state != "executed":
        raise NotRunError(f"request {number} is {request.state}: {request.history[-1].note}")
    if not as_json:
        print(f"request {number} is executed: {request.outcome}")


def open_guard(guard: str | None, login: str | None, tls_ca: Any) -> GuardClient:
    """The guard that the options or the environment name. Raises: UsageError."""
    from blackstart.cli.guard_client import GuardClient

    return GuardClient(the_door(guard, login, tls_ca), "blackstart guard")


def print_request(request: Request, *, as_json: bool = False) -> None:
    """All of a request."""
    from blackstart.cli.guard_drawing import draw
    from blackstart.cli.tables import print_json

    if as_json:
        print_json(row_of(request))
    else:
        draw(request)


def row_of(request: Request) -> dict[str, Any]:
    """A request as JSON."""
    row: dict[str, Any] = request.model_dump(mode="json")
    return row


def _ended(client: GuardClient, number: int) -> Request:
    said = None
    while True:
        request = client.show(number)
        if request.state != said:
            said = request.state
            print(f"request {number} is {said}", file=sys.stderr)
        if not request.is_open:
            return request
        sleep(LOOK_S)


def _cells(request: Request) -> list[str]:
    from blackstart.cli.units import duration
    from blackstart.clock import WallClock

    now = WallClock().now()
    ends = {"held": request.held_until, "approved": request.run_until}.get(request.state)
    preview = request.foreseen()
    matched = [part.matched for part in preview.parts if part.matched is not None]
    return [
        str(request.number),
        request.login,
        _what(preview) or request.why,
        f"{sum(matched):,}" if matched else "",
        duration(_seconds(now, request.at)),
        f"{request.state}, alone" if request.wants_review else str(request.state),
        "" if ends is None else duration(_seconds(ends, now)),
    ]


def _what(preview: Preview) -> str:
    """What would be done, and which fields would be lost by it."""
    parts = dict.fromkeys(
        f"{part.what} {part.namespace.partition('.')[2]}" for part in preview.parts
    )
    lost = [path for part in preview.parts for path in part.dropped]
    more = ", ..." if len(lost) > LOST_NAMED else ""
    loses = f" ! loses {', '.join(lost[:LOST_NAMED])}{more}" if lost else ""
    return ", ".join(parts) + loses


def _seconds(later: datetime, earlier: datetime) -> float:
    return max(0.0, (later - earlier).total_seconds())
