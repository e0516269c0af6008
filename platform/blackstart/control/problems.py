"""Every error as an answer: JSON where programs call, a small page elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from http import HTTPMethod, HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel
from pymongo.errors import PyMongoError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blackstart.control.access import challenge
from blackstart.control.paths import speaks_json
from blackstart.errors import (
    BlackstartError,
    ForbiddenError,
    InvalidDeployError,
    RateLimitedError,
    UnauthorizedError,
)

MAX_TEXT = 500
log = structlog.get_logger("control")


class Problem(BaseModel):
    """What every error of the API looks like."""

    code: str
    message: str
    hint: str
    deploy_id: str | None = None


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route or router for the OpenAPI document: each status a Problem.

    By reference, which the document resolves: a `model` would be compiled again
    for each route and status whenever an application is made.
    """
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {status: {"content": {"application/json": {"schema": schema}}} for status in statuses}


def install_problems(app: FastAPI) -> None:
    """Answer every error that a route of `app` raises, but for those that nobody expected."""
    app.add_exception_handler(BlackstartError, _known)
    app.add_exception_handler(PyMongoError, _database)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def answer(path: str, error: BlackstartError) -> Response:
    """The answer to a request for `path` that ended in `error`."""
    deploy_id = error.deploy_id if isinstance(error, InvalidDeployError) else None
    return _answer(
        path, error.status, error.code, error.message, error.hint, deploy_id, _fields_of(error)
    )


class Unexpected:
    """ASGI middleware: an exception that nobody expected is logged and answered, without details.

    It stands inside Starlette's own guard, which answers such an error and
    then raises it again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except ClientDisconnect:
            log.info("the client left before its body was all there")
        except Exception as error:
            log.exception("unexpected error", error=type(error).__name__)
            if started:
                raise  # Half an answer cannot be taken back: the connection must break.
            hint = "the log tells more, under the X-Request-Id of this answer"
            refusal = _answer(scope["path"], 500, "internal", "something went wrong here", hint)
            await refusal(scope, receive, send)


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, BlackstartError)
    return answer(request.url.path, error)


async def _database(request: Request, error: Exception) -> Response:
    text = "the database does not answer"
    return _answer(request.url.path, 503, "database", text, "try again")


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    hint = "/openapi.json tells what a request looks like"
    if first["type"] == "json_invalid":
        text = f"the body is not JSON: {first['ctx']['error']}"
        return _answer(request.url.path, 400, "invalid_request", text, hint)
    where = [str(part) for part in first["loc"]]
    text = f"{'.'.join(where[1:] or where)}: {first['msg'].removeprefix('Value error, ')}"
    return _answer(request.url.path, 422, "invalid_request", text, hint)


async def _http(request: Request, error: Exception) -> Response:
    """What routing itself refuses: no such path, no such method (with Allow), no readable body."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    code, text = status.phrase.lower().replace(" ", "_").replace("-", "_"), str(error.detail)
    fields = error.headers
    if status is HTTPStatus.NOT_FOUND:
        text = f"there is nothing at {request.url.path}"
    elif status is HTTPStatus.METHOD_NOT_ALLOWED:
        text = f"{request.method} is not for {request.url.path}"
        fields = {"Allow": ", ".join(_methods_at(request))}
    elif status is HTTPStatus.BAD_REQUEST:
        code = "invalid_request"
    return _answer(request.url.path, status, code, text, fields=fields)


def _methods_at(request: Request) -> list[str]:
    """Every method that is for this path (RFC 9110 section 10.2.1): a route knows only its own."""
    return [
        method.value
        for method in HTTPMethod
        if any(
            route.matches({**request.scope, "method": method.value})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


def _fields_of(error: BlackstartError) -> dict[str, str]:
    if isinstance(error, UnauthorizedError | ForbiddenError):
        return {"WWW-Authenticate": challenge(error)}
    if isinstance(error, RateLimitedError):
        return {"Retry-After": str(error.retry_after_s)}
    return {}


def _answer(
    path: str,
    status: int,
    code: str,
    message: str,
    hint: str = "",
    deploy_id: str | None = None,
    fields: Mapping[str, str] | None = None,
) -> Response:
    problem = Problem(code=code, message=_line(message), hint=_line(hint), deploy_id=deploy_id)
    if speaks_json(path):
        return JSONResponse(
            problem.model_dump(exclude_none=True), status_code=status, headers=fields
        )
    text = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    page = f'<!doctype html><title>Error</title><p class="problem">{escape(text)}</p>'
    if deploy_id is not None:
        page += f'<p data-deploy="{escape(deploy_id)}"></p>'
    return HTMLResponse(page, status_code=status, headers=fields)


def _line(text: str) -> str:
    """One line that can be sent: what is quoted of a request may not even be Unicode."""
    return " ".join(text.encode(errors="backslashreplace").decode().split())[:MAX_TEXT]
