"""Tests of what bodies are taken: how long they may be, and what JSON is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from blackstart.control.bodies import BodyLimit, StrictRoute
from blackstart.control.paths import is_upload
from blackstart.control.problems import install_problems

if TYPE_CHECKING:
    from tests.conftest import Client

LIMIT = 10


def limit_of(scope: Scope) -> int | None:
    return None if is_upload(scope["method"], scope["path"]) else LIMIT


class Reader:
    """An application that notes what it was given, and answers what it is told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.seen = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.calls += 1
        more = True
        while more:
            message = await receive()
            self.seen += message["body"]
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def client(reader: Reader, client_of: Client) -> httpx2.AsyncClient:
    app = BodyLimit(reader, limit_of=limit_of)
    return client_of(app, "http://control.test/api/v1")


async def chunks(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


async def test_an_announced_length_over_the_limit_never_reaches_the_route(
    client: httpx2.AsyncClient, reader: Reader
) -> None:
    refused = await client.post("/sites", content=b"x" * (LIMIT + 1))
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert reader.calls == 0
    assert (await client.post("/sites", content=b"x" * LIMIT)).status_code == 200


@pytest.mark.parametrize("announced", ["9" * 40, "9" * 5_000])
async def test_an_absurd_length_is_refused(client: httpx2.AsyncClient, announced: str) -> None:
    refused = await client.post("/sites", content=b"", headers={"Content-Length": announced})
    assert refused.status_code == 413


@pytest.mark.parametrize("announced", ["", "-1", "x", "1_0", "٣"])
async def test_a_length_that_is_no_number_does_not_open_the_door(announced: str) -> None:
    answers = await ask(Reader(), [b"x" * (LIMIT + 1)], announced.encode())
    assert answers[0]["status"] == 413


async def test_a_body_that_turns_out_too_long_is_not_read_on(
    client: httpx2.AsyncClient, reader: Reader
) -> None:
    refused = await client.post("/sites", content=chunks(4, 4, 4, 4))
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert len(reader.seen) == 8


async def test_files_are_of_any_length(client: httpx2.AsyncClient, reader: Reader) -> None:
    sent = await client.put("/deploys/d/files/a", content=b"x" * 1000)
    assert (sent.status_code, len(reader.seen)) == (200, 1000)
    assert (await client.post("/deploys/d/files/a", content=b"x" * 1000)).status_code == 413
    assert (await client.put("/deploys/d/files", content=b"x" * 1000)).status_code == 413


async def test_a_route_that_swallows_the_break_gets_no_other_answer_out() -> None:
    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
        except Exception:
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b"a bad body"})

    answers = await ask(stubborn, [b"x" * (LIMIT + 1)])
    assert [answer.get("status") for answer in answers] == [413, None]


async def test_an_answer_that_has_begun_goes_on_to_its_end() -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await receive()
        except Exception:
            await send({"type": "http.response.body", "body": b"done"})

    answers = await ask(early, [b"x" * (LIMIT + 1)])
    assert answers[-1]["body"] == b"done"


async def ask(app: Any, body: list[bytes], announced: bytes | None = None) -> list[Message]:
    """What is sent back when a body comes in these pieces."""
    pieces = [{"type": "http.request", "body": piece, "more_body": True} for piece in body]
    sent: list[Message] = []

    async def receive() -> Message:
        return pieces.pop(0) if pieces else {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [] if announced is None else [(b"content-length", announced)]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/sites", "headers": headers}
    await BodyLimit(app, limit_of=limit_of)(scope, receive, send)
    return sent


@pytest.fixture
def strict(client_of: Client) -> httpx2.AsyncClient:
    router = APIRouter(route_class=StrictRoute)

    @router.post("/any")
    async def anything(body: dict[str, Any]) -> dict[str, Any]:
        return body

    @router.post("/raw")
    async def raw(request: Request) -> str:
        return (await request.body()).decode("latin-1")

    app = FastAPI()
    install_problems(app)
    app.include_router(router, prefix="/api/v1")
    return client_of(app, "http://control.test/api/v1")


@pytest.mark.parametrize(
    "body",
    [
        '{"a": NaN}',
        '{"a": [-Infinity]}',
        '{"a": 1e999}',
        '{"a": "\\ud800"}',
        '{"a": {"\\uDFFF": 1}}',
        '{"a": "\\udc00\\ud800"}',
    ],
)
async def test_what_python_takes_for_json_and_nobody_else_is_refused(
    strict: httpx2.AsyncClient, body: str
) -> None:
    refused = await strict.post("/any", content=body, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert refused.json()["message"].startswith("the body is not JSON: ")


@pytest.mark.parametrize(
    "body", [b'{"a": "\xed\xa0\x80"}', '{"a": 1}'.encode("utf-16"), b'{"a": "\xff"}']
)
async def test_json_is_utf_8(strict: httpx2.AsyncClient, body: bytes) -> None:
    refused = await strict.post("/any", content=body, headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")


async def test_surrogates_in_pairs_are_characters(strict: httpx2.AsyncClient) -> None:
    taken = await strict.post(
        "/any", content='{"a": "\\ud83d\\ude00"}', headers={"Content-Type": "application/json"}
    )
    assert taken.json() == {"a": "\N{GRINNING FACE}"}


async def test_a_body_that_is_no_json_is_none_of_its_business(strict: httpx2.AsyncClient) -> None:
    assert (await strict.post("/raw", content=b"NaN \\ud800")).json() == "NaN \\ud800"


@given(st.text(), st.sampled_from(["PUT", "GET"]))
def test_only_files_of_deploys_stream(rest: str, method: str) -> None:
    assert is_upload(method, f"/api/v1/deploys/d/files/{rest}") == (method == "PUT" and rest != "")
    assert not is_upload(method, f"/api/v1/sites/{rest}")
