"""Tests of the API's entity tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse, Response, StreamingResponse

from blackstart.control.etags import Etags

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Client

BASE = "http://control.test/api/v1"


@pytest.fixture
def state() -> dict[str, int]:
    return {"count": 1}


@pytest.fixture
def api(state: dict[str, int], client_of: Client) -> httpx2.AsyncClient:
    app = FastAPI()
    app.add_middleware(Etags)

    @app.get("/page")
    @app.post("/api/v1/state")
    @app.get("/api/v1/state")
    async def show(response: Response) -> dict[str, int]:
        response.headers["link"] = '</api/v1/state?page=1>; rel="first"'
        return state

    @app.get("/api/v1/gone")
    async def gone() -> Response:
        return JSONResponse({}, status_code=404)

    @app.get("/api/v1/own")
    async def own() -> Response:
        return JSONResponse({}, headers={"ETag": 'W/"own"', "Cache-Control": "no-store"})

    @app.get("/api/v1/stream")
    async def stream() -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"["
            yield b"]"

        return StreamingResponse(chunks(), media_type="application/json")

    return client_of(app, BASE)


async def test_a_tag_stays_while_the_answer_does(
    api: httpx2.AsyncClient, state: dict[str, int]
) -> None:
    first = (await api.get("/state")).headers["etag"]
    assert first.startswith('"')
    assert (await api.get("/state")).headers["etag"] == first
    state["count"] = 2
    assert (await api.get("/state")).headers["etag"] != first


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', "*"])
async def test_what_the_client_has_is_not_sent_again(api: httpx2.AsyncClient, form: str) -> None:
    etag = (await api.get("/state")).headers["etag"]
    again = await api.get("/state", headers={"If-None-Match": form.format(etag)})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == etag
    assert again.headers["link"] == '</api/v1/state?page=1>; rel="first"'
    assert again.headers["cache-control"] == "private, no-cache"
    assert {"content-type", "content-length"} & set(again.headers) == set()


async def test_a_client_with_an_old_answer_gets_the_new_one(api: httpx2.AsyncClient) -> None:
    fresh = await api.get("/state", headers={"If-None-Match": '"old"'})
    assert (fresh.status_code, fresh.json()) == (200, {"count": 1})


async def test_other_answers_are_left_alone(api: httpx2.AsyncClient) -> None:
    anything = {"If-None-Match": "*"}
    assert (await api.post("/state", headers=anything)).status_code == 200
    assert (await api.get("/gone", headers=anything)).status_code == 404
    for path in ("/gone", "/stream", "http://control.test/page"):
        assert "etag" not in (await api.get(path)).headers
    assert (await api.get("/stream")).json() == []
    own = await api.get("/own")
    assert (own.headers["etag"], own.headers["cache-control"]) == ('W/"own"', "no-store")
