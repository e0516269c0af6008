"""Tests of the hop to an application in this process."""

import pytest

from blackstart.cdn.hop import AsgiHop
from blackstart.cdn.message import Headers, Request
from blackstart.errors import HopError

HEADERS = Headers(
    [("Connection", "x-mine"), ("X-Mine", "1"), ("Accept-Encoding", "gzip"), ("Expect", "x")]
)


async def test_an_application_is_called_after_the_latency_has_passed(clock) -> None:
    seen: list[dict] = []

    async def app(scope, receive, send) -> None:
        seen.append({**scope, "at": clock.time(), "event": await receive()})
        await send({"type": "http.response.start", "status": 201, "headers": [(b"X-Y", b"z")]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    started = clock.time()
    hop = AsgiHop(app, clock, lambda: 0.25)
    response = await hop.send(Request("PUT", "/a%20b?c=d", "a.example", HEADERS, b"form"))
    await hop.close()
    assert (response.status, response.body) == (201, b"ab")
    assert response.headers == Headers([("x-y", "z")])
    [scope] = seen
    assert scope["at"] == started + 0.25
    assert scope["event"]["body"] == b"form"
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"c=d")
    assert scope["headers"] == [
        (b"host", b"a.example"),
        (b"accept-encoding", b"gzip"),
        (b"content-length", b"4"),
    ]


async def test_an_application_that_breaks_off_is_a_hop_error(clock) -> None:
    async def app(_scope, _receive, send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    with pytest.raises(HopError, match="broke off"):
        await AsgiHop(app, clock, lambda: 0.0).send(Request("GET", "/", "a.example"))


async def test_a_bug_in_the_application_is_not_mistaken_for_an_incident(clock) -> None:
    async def app(_scope, _receive, _send) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await AsgiHop(app, clock, lambda: 0.0).send(Request("GET", "/", "a.example"))
