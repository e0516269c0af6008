"""What every router of the API is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request

from blackstart.control.access import Access
from blackstart.control.bodies import StrictRoute
from blackstart.control.desk import Desk
from blackstart.control.links import Links
from blackstart.control.paths import API_PREFIX
from blackstart.control.problems import problem_responses
from blackstart.control.views import Views
from blackstart.model import Scope
from blackstart.safeguards import Safeguards

ALWAYS = (400, 401, 403, 413, 422, 429, 500, 503)
"""What any route may answer besides what is its own."""


@dataclass(frozen=True)
class ApiContext:
    """The desk behind the routes, who may call them, and the API's own safeguards."""

    desk: Desk
    access: Access
    safeguards: Safeguards

    def views(self, request: Request) -> Views:
        """Documents as answers, with links that lead back to where the request came."""
        return Views(
            self.desk.store, self.safeguards, Links(self.desk.public_url, str(request.base_url))
        )

    def needs(self, scope: Scope) -> Any:
        """A dependency that demands a token with this scope, and gives it to the route."""
        return Depends(self.access.needs(scope))

    def router(self, tag: str) -> APIRouter:
        """An empty router below /api/v1; its answers to errors are in the OpenAPI document."""
        return APIRouter(
            prefix=API_PREFIX,
            tags=[tag],
            route_class=StrictRoute,
            responses=problem_responses(*ALWAYS),
        )
