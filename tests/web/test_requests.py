"""Tests of what is noted around every request: its id, its log line, its place in the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import structlog
from fastapi import APIRouter, FastAPI
from structlog.testing import capture_logs

from blackstart.seed import Seed
from blackstart.web.metrics import HttpMetrics
from blackstart.web.probes import probe_endpoints
from blackstart.web.requests import RequestLog

if TYPE_CHECKING:
    from tests.conftest import Client

COUNT = "blackstart_http_requests_total"


@pytest.fixture
def metrics() -> HttpMetrics:
    return HttpMetrics("test")


@pytest.fixture
def app(metrics: HttpMetrics) -> FastAPI:
    app = FastAPI()
    app.add_middleware(RequestLog, metrics=metrics, seed=Seed(5))
    inner, outer = APIRouter(), APIRouter()

    @inner.get("/{thing_id}")
    async def thing(thing_id: str) -> str:
        structlog.get_logger("route").info("inside")
        return thing_id

    outer.include_router(inner, prefix="/things")
    app.include_router(outer, prefix="/api/v1")

    @app.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError

    for path, endpoint in probe_endpoints(metrics.registry, {}).items():
        app.add_api_route(path, endpoint)
    return app


@pytest.fixture
def client(app: FastAPI, client_of: Client) -> httpx2.AsyncClient:
    return client_of(app, "http://service.test")


def counted(metrics: HttpMetrics, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(COUNT, {"service": "test", **labels})


async def noted(client: httpx2.AsyncClient, path: str, **headers: str) -> list[Any]:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        await client.get(path, headers={key.replace("_", "-"): headers[key] for key in headers})
    return lines


@pytest.mark.parametrize("sent", ["a", "x" * 128, "0af7-65:1/2"])
async def test_a_request_keeps_the_id_it_came_with(client: httpx2.AsyncClient, sent: str) -> None:
    answer = await client.get("/api/v1/things/1", headers={"X-Request-Id": sent})
    assert answer.headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "a\tb", "\xe9"])
async def test_an_id_that_is_none_is_replaced(client: httpx2.AsyncClient, sent: str) -> None:
    answers = [
        await client.get("/nowhere", headers={"X-Request-Id": sent.encode("latin-1")})
        for _ in range(2)
    ]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert all(len(each) == 24 for each in ids)
    assert ids[0] != ids[1]


async def test_one_line_says_how_a_request_ended(client: httpx2.AsyncClient) -> None:
    inside, line = await noted(client, "/api/v1/things/secret-thing", x_request_id="mine")
    assert inside["request_id"] == line["request_id"] == "mine"
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "service": "test",
        "method": "GET",
        "route": "/api/v1/things/{thing_id}",
        "status": 200,
        "bytes": len('"secret-thing"'),
        "request_id": "mine",
    }


async def test_probes_are_noted_where_few_look(client: httpx2.AsyncClient) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        (line,) = await noted(client, path)
        assert (line["log_level"], line["route"]) == ("debug", path)


async def test_nothing_of_a_request_is_left_behind(client: httpx2.AsyncClient) -> None:
    with structlog.contextvars.bound_contextvars(drill="feb2"):
        lines = await noted(client, "/api/v1/things/1")
        assert all(line["drill"] == "feb2" for line in lines)
        assert structlog.contextvars.get_contextvars() == {"drill": "feb2"}


async def test_requests_are_counted_by_route_and_never_by_path(
    client: httpx2.AsyncClient, metrics: HttpMetrics
) -> None:
    for number in range(3):
        await client.get(f"/api/v1/things/{number}")
        await client.get(f"/nowhere/{number}")
        await client.request("PURGE", f"/nowhere/{number}")
        await client.request(f"M{number}", "/api/v1/things/1")
    things = "/api/v1/things/{thing_id}"
    assert counted(metrics, method="GET", route=things, status="200") == 3
    assert counted(metrics, method="GET", route="unmatched", status="404") == 3
    assert counted(metrics, method="other", route="unmatched", status="404") == 3
    assert counted(metrics, method="other", route=things, status="405") == 3
    text = (await client.get("/metrics")).text
    assert 'route="/api/v1/things/{thing_id}"' in text
    assert "/nowhere" not in text
    assert "PURGE" not in text


async def test_time_is_measured_by_route(client: httpx2.AsyncClient, metrics: HttpMetrics) -> None:
    await client.get("/api/v1/things/1")
    labels = {"service": "test", "method": "GET", "route": "/api/v1/things/{thing_id}"}
    name = "blackstart_http_request_duration_seconds_count"
    assert metrics.registry.get_sample_value(name, labels) == 1


async def test_a_request_without_an_answer_is_counted_too(metrics: HttpMetrics) -> None:
    async def gone(scope: Any, receive: Any, send: Any) -> None:
        """The client left before there was anything to say."""

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with capture_logs() as lines:
        await RequestLog(gone, metrics=metrics, seed=Seed(5))(scope, None, None)  # type: ignore[arg-type]
    assert [line["status"] for line in lines] == [499]
    assert counted(metrics, method="GET", route="unmatched", status="499") == 1
