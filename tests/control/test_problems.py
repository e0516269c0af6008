"""Tests of errors as answers: one shape for the API, a page elsewhere, and no way to a bare 500."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import httpx2
import pytest
from fastapi import FastAPI, Query, Request
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict
from pymongo.errors import AutoReconnect
from starlette.responses import StreamingResponse
from starlette.types import Message
from structlog.testing import capture_logs

from blackstart.control.document import DocumentedApi
from blackstart.control.front import put_in_front
from blackstart.control.problems import Problem, answer, problem_responses
from blackstart.errors import BlackstartError, ConflictError, InvalidDeployError
from blackstart.seed import Seed
from blackstart.store import MetadataStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Client, ManualClock


class Pair(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Query(pattern="^[a-z]+$")]
    size: int


@pytest.fixture
def app(store: MetadataStore, manual_clock: ManualClock) -> FastAPI:
    app = DocumentedApi()
    put_in_front(app, store, clock=manual_clock, seed=Seed(4), rate_limit=0)

    @app.get("/api/v1/conflict", responses=problem_responses(409))
    @app.get("/conflict")
    async def conflict() -> None:
        raise ConflictError("<b>the world\nchanged</b>", hint="look again")

    @app.get("/api/v1/deploy")
    @app.get("/deploy")
    async def deploy() -> None:
        raise InvalidDeployError("5890", "metadata.tree: Field required")

    @app.get("/api/v1/database")
    async def database() -> None:
        raise AutoReconnect("10.0.0.1:27017: connection closed")

    @app.get("/api/v1/bug")
    @app.get("/bug")
    async def bug() -> None:
        raise ZeroDivisionError("the secret of the house")

    @app.get("/api/v1/half")
    async def half() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"half"
            raise ZeroDivisionError

        return StreamingResponse(chunks())

    @app.put("/api/v1/bytes")
    async def count(request: Request) -> int:
        return len(await request.body())

    @app.post("/api/v1/pairs")
    async def pairs(body: Pair) -> Pair:
        return body

    @app.get("/api/v1/pairs")
    async def list_pairs(page: Annotated[int, Query(ge=1)] = 1) -> int:
        return page

    return app


@pytest.fixture
def api(app: FastAPI, client_of: Client) -> httpx2.AsyncClient:
    return client_of(app, "http://control.test")


def is_problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert "x-request-id" in response.headers
    body: dict[str, Any] = response.json()
    assert body["code"] == code
    assert set(body) - {"deploy_id"} == {"code", "message", "hint"}
    assert body["message"]
    assert "\n" not in body["message"]
    return body


async def test_an_error_of_ours_is_json_for_the_api_and_a_page_elsewhere(
    api: httpx2.AsyncClient,
) -> None:
    problem = is_problem(await api.get("/api/v1/conflict"), 409, "conflict")
    assert (problem["message"], problem["hint"]) == ("<b>the world changed</b>", "look again")
    page = await api.get("/conflict")
    assert page.status_code == 409
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "&lt;b&gt;the world changed&lt;/b&gt; (look again)" in page.text


async def test_a_damaged_deploy_is_named(api: httpx2.AsyncClient) -> None:
    problem = is_problem(await api.get("/api/v1/deploy"), 500, "invalid_deploy")
    assert problem["deploy_id"] == "5890"
    assert 'data-deploy="5890"' in (await api.get("/deploy")).text


async def test_a_database_that_is_away_gives_no_details(api: httpx2.AsyncClient) -> None:
    problem = is_problem(await api.get("/api/v1/database"), 503, "database")
    assert "27017" not in str(problem)


async def test_a_bug_is_logged_under_the_request_id_and_tells_nothing(
    api: httpx2.AsyncClient,
) -> None:
    with capture_logs() as lines:
        is_problem(await api.get("/api/v1/bug"), 500, "internal")
        page = await api.get("/bug", headers={"X-Request-Id": "mine"})
    assert (page.status_code, page.headers["x-request-id"]) == (500, "mine")
    assert "secret" not in page.text
    unexpected = [line for line in lines if line["event"] == "unexpected error"]
    assert [line["error"] for line in unexpected] == ["ZeroDivisionError"] * 2
    assert [line["status"] for line in lines if line["event"] == "request"] == [500, 500]


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_bug(app: FastAPI) -> None:
    pieces: list[Message] = [
        {"type": "http.request", "body": b"half", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return pieces.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "PUT", "path": "/api/v1/bytes", "headers": []}
    scope |= {"query_string": b"", "client": ("127.0.0.1", 1)}
    with capture_logs() as lines:
        await app(scope, receive, send)
    assert (pieces, sent) == ([], [])
    assert {line["log_level"] for line in lines} == {"info"}
    assert lines[0]["event"] == "the client left before its body was all there"


async def test_half_an_answer_breaks_off(api: httpx2.AsyncClient) -> None:
    with capture_logs(), pytest.raises(ZeroDivisionError):
        await api.get("/api/v1/half")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"size": 1}', "name: Field required"),
        ('{"name": "a", "size": "x"}', "size: Input should be a valid integer"),
        ('{"name": "a", "size": 1, "no": 1}', "no: Extra inputs are not permitted"),
        ("[]", "body: Input should be a valid dictionary"),
        ("", "body: Field required"),
    ],
)
async def test_a_wrong_field_is_named(api: httpx2.AsyncClient, body: str, message: str) -> None:
    headers = {"Content-Type": "application/json"}
    refused = await api.post("/api/v1/pairs", content=body, headers=headers)
    assert is_problem(refused, 422, "invalid_request")["message"].startswith(message)


async def test_a_wrong_parameter_is_named(api: httpx2.AsyncClient) -> None:
    refused = await api.get("/api/v1/pairs", params={"page": "0"})
    assert is_problem(refused, 422, "invalid_request")["message"].startswith("page: ")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nothing",
        b"\xff\xfe",
        b'{"name": "a", "size": NaN}',
        b'{"name": "a", "size": 1e999}',
        b'{"name": "a", "size": ' + b"9" * 5_000 + b"}",
        b'{"name": "\\ud800", "size": 1}',
        b'{"name": "a", "size": 1, "\\ud800": 1}',
        b'{"name": "\xed\xa0\x80", "size": 1}',
        b"[" * 100_000,
        b"\0",
    ],
)
async def test_bodies_that_are_no_json_or_cannot_be_kept_are_the_clients_fault(
    api: httpx2.AsyncClient, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    refused = await api.post("/api/v1/pairs", content=body, headers=headers)
    assert refused.status_code in (400, 422), refused.text
    is_problem(refused, refused.status_code, "invalid_request")


async def test_what_is_not_there_is_said_in_the_same_shape(api: httpx2.AsyncClient) -> None:
    problem = is_problem(await api.get("/api/v1/nowhere"), 404, "not_found")
    assert problem["message"] == "there is nothing at /api/v1/nowhere"
    assert (await api.get("/nowhere")).headers["content-type"].startswith("text/html")
    assert (await api.get("/api/v1x")).headers["content-type"].startswith("text/html")


async def test_a_method_that_is_not_allowed_names_those_that_are(api: httpx2.AsyncClient) -> None:
    refused = await api.put("/api/v1/conflict")
    is_problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "GET"
    refused = await api.delete("/api/v1/pairs")  # A route each for two of its methods.
    is_problem(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("path", ["/build_hooks/1", "/team/1/nothing"])
async def test_programs_get_json_beside_the_api_too(api: httpx2.AsyncClient, path: str) -> None:
    is_problem(await api.get(path), 404, "not_found")


def test_the_openapi_document_knows_the_shape(app: FastAPI) -> None:
    document = app.openapi()
    conflict = document["paths"]["/api/v1/conflict"]["get"]["responses"]["409"]
    reference = conflict["content"]["application/json"]["schema"]["$ref"]
    assert set(document["components"]["schemas"][reference.rpartition("/")[2]]["required"]) == {
        "code",
        "message",
        "hint",
    }


@given(st.text(alphabet=st.characters(codec=None, exclude_categories=["Co"])), st.booleans())
@example("lone \ud800 surrogate", True)
@example("lone \udfff surrogate", False)
def test_any_message_can_be_sent(text: str, api: bool) -> None:
    response = answer("/api/v1/x" if api else "/x", BlackstartError(text, hint=text))
    assert response.status_code == 500
    if api:
        problem = Problem.model_validate_json(bytes(response.body))
        assert len(problem.message.splitlines()) <= 1
