"""The control plane as one ASGI application: API, web pages, health."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from pymongo.errors import PyMongoError
from starlette.responses import Response

from blackstart.control.api import Desk, api_router
from blackstart.control.pages import pages_router
from blackstart.control.views import Views
from blackstart.errors import BlackstartError, InvalidDeployError
from blackstart.safeguards import Safeguards

API_PREFIX = "/api/v1"


def control_app(desk: Desk, *, api_safeguards: Safeguards, pages_safeguards: Safeguards) -> FastAPI:
    """The application. API and pages have switches of their own: they were mended one by one."""
    app = FastAPI(title="Blackstart control plane", version="0.1.0")
    app.include_router(api_router(desk, Views(desk.store, api_safeguards)), prefix=API_PREFIX)
    app.include_router(pages_router(desk.store, Views(desk.store, pages_safeguards)))

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.exception_handler(BlackstartError)
    async def known_problem(request: Request, error: BlackstartError) -> Response:
        return _problem(request, error)

    @app.exception_handler(PyMongoError)
    async def database_problem(request: Request, error: PyMongoError) -> Response:
        body = {"code": "database", "message": "the database does not answer", "hint": "try again"}
        return JSONResponse(body, status_code=503)

    return app


def _problem(request: Request, error: BlackstartError) -> Response:
    body: dict[str, Any] = {"code": error.code, "message": error.message, "hint": error.hint}
    if isinstance(error, InvalidDeployError):
        body["deploy_id"] = error.deploy_id
    if request.url.path.startswith(API_PREFIX):
        return JSONResponse(body, status_code=error.status)
    page = f'<!doctype html><title>Error</title><p class="problem">{escape(str(error))}</p>'
    if isinstance(error, InvalidDeployError):
        page += f'<p data-deploy="{escape(error.deploy_id)}"></p>'
    return HTMLResponse(page, status_code=error.status)
