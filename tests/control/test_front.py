"""Tests of what stands in front, put together: whatever refuses, the answer has all its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request
from structlog.testing import capture_logs

from blackstart.control.bodies import MAX_JSON_BYTES
from blackstart.control.front import put_in_front
from blackstart.model import Scope
from blackstart.seed import Seed
from blackstart.store import MetadataStore

if TYPE_CHECKING:
    from tests.conftest import Client, ManualClock


@pytest.fixture
def api(store: MetadataStore, manual_clock: ManualClock, client_of: Client) -> httpx2.AsyncClient:
    app = FastAPI()
    access = put_in_front(app, store, clock=manual_clock, seed=Seed(4), rate_limit=7)

    @app.get("/api/v1/things")
    async def things(fail: bool = False) -> list[int]:
        return [1 // (not fail)]

    @app.post("/api/v1/things")
    async def make(request: Request) -> int:
        return len(await request.body())

    @app.delete("/api/v1/things", dependencies=[Depends(access.needs(Scope.OPERATE))])
    async def remove() -> None:
        """Never reached."""

    return client_of(app, "http://control.test/api/v1")


async def test_every_way_to_be_refused_has_id_limit_and_shape(api: httpx2.AsyncClient) -> None:
    too_long = {"Content-Length": str(MAX_JSON_BYTES + 1)}
    with capture_logs():
        answers = [
            await api.delete("/things"),
            await api.get("/nowhere"),
            await api.put("/things"),
            await api.post("/things", headers=too_long),
            await api.get("/things", params={"fail": "?"}),
            await api.get("/things", params={"fail": "1"}),
            await api.get("/things", headers={"If-None-Match": "*"}),
            await api.get("/things"),
        ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [401, 404, 405, 413, 422, 500, 304, 429]
    for answer in answers:
        assert len(answer.headers["x-request-id"]) == 24
        assert answer.headers["x-ratelimit-limit"] == "7"
        if answer.status_code != 304:
            assert set(answer.json()) == {"code", "message", "hint"}


async def test_each_request_is_counted_once_under_its_final_status(api: httpx2.AsyncClient) -> None:
    await api.get("/things")
    await api.get("/things", headers={"If-None-Match": "*"})
    text = (await api.get("http://control.test/metrics")).text
    labels = 'method="GET",route="/api/v1/things",service="control"'
    for status in ("200", "304"):
        assert f'blackstart_http_requests_total{{{labels},status="{status}"}} 1.0' in text
