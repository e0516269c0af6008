"""What all pages share: the guard's parts, who is logged in, and how a page is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from blackstart.clock import Clock
from blackstart.guard.channel import GuardChannel
from blackstart.guard.decisions import Decisions
from blackstart.guard.gate import Trail
from blackstart.guard.logins import Logins
from blackstart.guard.web.rendering import render
from blackstart.guard.web.tries import Tries
from blackstart.guard.web.visits import Visit, Visits
from blackstart.seed import Seed
from blackstart.web.window import peer_of


@dataclass(frozen=True)
class House:
    """The parts of one guard, as its pages know them."""

    decisions: Decisions
    logins: Logins
    channel: GuardChannel
    trail: Trail
    clock: Clock
    seed: Seed
    visits: Visits = field(init=False)
    tries: Tries = field(init=False)

    def __post_init__(self) -> None:
        visits = Visits(self.logins, self.clock, self.seed.fork("visits"))
        object.__setattr__(self, "visits", visits)
        object.__setattr__(self, "tries", Tries(self.clock))

    def page(
        self,
        template: str,
        visit: Visit | None = None,
        *,
        status: int = 200,
        refresh_s: int = 0,
        **context: Any,
    ) -> HTMLResponse:
        """A page for `visit`; with `refresh_s` the browser asks for it again and again."""
        shown = {"visit": visit, "now": self.clock.now(), "refresh_s": refresh_s, **context}
        return HTMLResponse(render(template, shown), status)


def client_of(request: Request) -> str:
    """Where a request came from, as the audit trail has it."""
    return f"{peer_of(request.scope)} web page"
