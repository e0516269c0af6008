"""The guard's page as one ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from blackstart.errors import BlackstartError, UnauthorizedError
from blackstart.guard.channel import Callbacks
from blackstart.guard.web.bodies import read_form
from blackstart.guard.web.entry import LOGIN, Entry, our_path
from blackstart.guard.web.house import House
from blackstart.guard.web.pages import Pages
from blackstart.guard.web.shield import Shield
from blackstart.guard.web.slack import PATH as SLACK
from blackstart.guard.web.slack import Slack
from blackstart.guard.web.visits import Visit
from blackstart.guard.web.words import Words, check_token
from blackstart.web.metrics import HttpMetrics
from blackstart.web.probes import Check, Endpoint, probe_endpoints
from blackstart.web.requests import RequestLog

STYLE = (Path(__file__).parent / "style.css").read_text()
Visited = Callable[[Request, Visit], Awaitable[Response]]


def page_app(
    house: House,
    *,
    callbacks: Callbacks | None = None,
    url: str = "",
    tls: bool = False,
    checks: Mapping[str, Check] | None = None,
) -> ASGIApp:
    """The application. `url` is where people reach it, if that is not where it listens; `tls`
    says that it is served so; `checks` have to pass for it to be ready."""
    entry = Entry(house, secure=tls or url.startswith("https://"))
    pages = Pages(house)
    words = Words(house, pages)

    def visited(page: Visited) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            visit = entry.visit(request)
            return _send_away(house, request) if visit is None else await page(request, visit)

        return endpoint

    async def log_out(request: Request, visit: Visit) -> Response:
        check_token(visit, await read_form(request))
        return await entry.log_out(request)

    metrics = HttpMetrics("guard")
    probes = probe_endpoints(metrics.registry, checks or {})
    app = Starlette(
        routes=[
            Route("/", visited(pages.requests)),
            Route("/requests/{number}", visited(pages.request)),
            Route("/requests/{number}/{word}", visited(words.say), methods=["POST"]),
            Route("/channel", visited(pages.channel)),
            Route(LOGIN, entry.form),
            Route(LOGIN, entry.log_in, methods=["POST"]),
            Route("/logout", visited(log_out), methods=["POST"]),
            Route("/style.css", _style),
            Route(SLACK, Slack(callbacks, house.channel).__call__, methods=["POST"]),
            *(Route(path, endpoint) for path, endpoint in probes.items()),
        ],
        exception_handlers={
            BlackstartError: _problem(house),
            HTTPException: _problem(house),
            ClientDisconnect: _nobody_listens,
        },
    )
    shielded = Shield(app, url=url, open_paths=frozenset({SLACK}))
    return RequestLog(shielded, metrics=metrics, seed=house.seed.fork("requests"))


def _send_away(house: House, request: Request) -> Response:
    """To the log-in, and back to the page that was asked for.

    Raises: UnauthorizedError for a form of somebody whose visit is over.
    """
    if request.method not in ("GET", "HEAD"):
        raise UnauthorizedError("nobody is logged in any more", presented=False)
    query = "?all=1" if request.query_params.get("all") == "1" else ""
    path = our_path(request.url.path + query)
    if request.headers.get("sec-fetch-site") == "cross-site":
        # Somebody came by a link of the channel: the browser keeps the cookie back from this
        # request (SameSite=Strict), and sends it when our own page leads to the same place.
        return house.page("onward.html", path=path)
    return RedirectResponse(f"{LOGIN}?{urlencode({'next': path})}", 303)


def _problem(house: House) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def problem(request: Request, error: Exception) -> Response:
        if isinstance(error, BlackstartError):
            status, message, hint = error.status, error.message, error.hint
        else:
            assert isinstance(error, HTTPException)
            status, message, hint = error.status_code, "there is no such page", ""
        return house.page("problem.html", status=status, message=message, hint=hint)

    return problem


async def _nobody_listens(request: Request, error: Exception) -> Response:
    return Response(status_code=400)


async def _style(request: Request) -> Response:
    return Response(STYLE, media_type="text/css", headers={"cache-control": "max-age=300"})
