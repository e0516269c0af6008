"""How answers go out: framing, order, keep-alive, and what happens when one breaks off."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from structlog.testing import capture_logs

from blackstart.cdn.message import Headers, Request, Response
from blackstart.errors import HopError

Serve = Callable[..., AbstractAsyncContextManager[Any]]

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
GET_1_0 = b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n"


class Pieces:
    """A body in pieces, which may break off or wait, and which knows whether it was closed."""

    def __init__(self, *pieces: bytes, error: Exception | None = None, waits: bool = False) -> None:
        self.pieces = list(pieces)
        self.error = error
        self.waits = waits
        self.taken = 0
        self.closed = asyncio.Event()

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        if self.pieces:
            self.taken += 1
            return self.pieces.pop(0)
        if self.waits:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed.set()


def later(*responses: Response) -> Callable[[Request], Awaitable[Response]]:
    left = list(responses)

    async def answer(request: Request) -> Response:
        return left.pop(0)

    return answer


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode()


@pytest.fixture(params=["at once", "later"])
def says(request: pytest.FixtureRequest) -> Callable[[Any, Response], None]:
    """Have the node answer so, by `quick` or by `answer`."""

    def says(node: Any, response: Response) -> None:
        node.at_once = (lambda _: response) if request.param == "at once" else (lambda _: None)
        node.later = later(*[response] * 9)

    return says


Says = Callable[[Any, Response], None]


async def test_a_body_of_bytes_goes_out_with_its_length_and_a_date(
    serve: Serve, says: Says
) -> None:
    async with serve() as site:
        says(site.node, Response(200, Headers([("etag", '"1"')]), b"page"))
        status, fields, body = await site.ask(GET)
        assert (status, body) == (200, b"page")
        assert fields == {
            "etag": '"1"',
            "date": "Thu, 02 Feb 2017 01:46:40 GMT",
            "content-length": "4",
        }


async def test_fields_go_out_as_they_are(serve: Serve, says: Says) -> None:
    headers = Headers(
        [
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("x-content-length", "4"),
            ("content-length", "4"),
            ("x-name", "\xe4"),
        ]
    )
    async with serve() as site:
        says(site.node, Response(299, headers, b"page"))
        status, fields, body = await site.ask(GET)
        assert (status, list(fields.items()), body) == (299, list(headers.pairs), b"page")


@pytest.mark.parametrize("status", [200, 204, 304])
async def test_what_has_no_body_sends_none_and_the_connection_goes_on(
    serve: Serve, says: Says, status: int
) -> None:
    headers = Headers([("content-length", "4")])
    async with serve() as site, site.client() as client:
        says(site.node, Response(status, headers, b"" if status == 304 else b"page"))
        await client.send(HEAD + HEAD)
        for _ in range(2):
            found, fields, _ = await client.answer(head_only=True)
            assert found == status
            assert fields.get("content-length") == (None if status == 204 else "4")


async def test_a_head_answered_by_a_stream_closes_it_unread(serve: Serve) -> None:
    async with serve() as site, site.client() as client:
        site.node.at_once = lambda request: None
        body = Pieces(b"page")
        site.node.later = later(Response(200, Headers(), body), Response(200, Headers(), b""))
        await client.send(HEAD + GET)
        _, fields, _ = await client.answer(head_only=True)
        assert "content-length" not in fields
        assert (await client.answer())[0] == 200
        assert body.closed.is_set()
        assert body.taken == 0


async def test_a_stream_without_a_length_is_chunked(serve: Serve, says: Says) -> None:
    async with serve() as site, site.client() as client:
        says(site.node, Response(200, Headers(), Pieces(b"pa", b"", b"ge")))
        await client.send(GET)
        _, fields, body = await client.answer()
        assert fields["transfer-encoding"] == "chunked"
        assert body == b"page"
        await client.send(GET)
        assert (await client.answer())[0] == 200


async def test_a_stream_with_a_length_is_not_chunked(serve: Serve, says: Says) -> None:
    async with serve() as site:
        says(site.node, Response(200, Headers([("content-length", "4")]), Pieces(b"pa", b"ge")))
        _, fields, body = await site.ask(GET)
        assert "transfer-encoding" not in fields
        assert body == b"page"


async def test_a_stream_to_an_old_client_ends_with_the_connection(serve: Serve, says: Says) -> None:
    async with serve() as site, site.client() as client:
        says(site.node, Response(200, Headers(), Pieces(b"pa", b"ge")))
        await client.send(GET_1_0.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"))
        _, fields, body = await client.answer()
        assert "transfer-encoding" not in fields
        assert fields["connection"] == "close"
        assert body == b"page"


@pytest.mark.parametrize(
    "pieces, headers, data",
    [
        (Pieces(b"pa", error=HopError("cut off")), Headers(), GET),
        (Pieces(b"pa", error=HopError("cut off")), Headers(), GET_1_0),
        (Pieces(b"pa", error=HopError("cut off")), Headers([("content-length", "4")]), GET),
        (Pieces(b"pa"), Headers([("content-length", "4")]), GET),
    ],
    ids=["chunked", "until-close", "length", "too-short"],
)
async def test_an_answer_that_breaks_off_ends_with_a_reset(
    serve: Serve, pieces: Pieces, headers: Headers, data: bytes
) -> None:
    async with serve() as site, site.client() as client:
        site.node.at_once = lambda request: Response(200, headers, pieces)
        with capture_logs() as lines:
            await client.send(data)
            with pytest.raises(ConnectionResetError):
                await client.rest()
            assert pieces.closed.is_set()
        assert [line["error"] for line in lines] == [
            "cut off" if pieces.error else "a body shorter than its Content-Length"
        ]


async def test_a_body_longer_than_its_length_is_cut_before_it_can_be_a_next_answer(
    serve: Serve,
) -> None:
    pieces = Pieces(b"page", b"HTTP/1.1 200 OK\r\n", waits=True)
    async with serve() as site, site.client() as client:
        site.node.at_once = lambda _: Response(200, Headers([("content-length", "4")]), pieces)
        await client.send(GET)
        assert (await client.answer())[2] == b"page"
        with pytest.raises(ConnectionResetError):
            assert await client.rest() == b""


@pytest.mark.parametrize(
    "bad",
    [
        Response(200, Headers([("content-length", "5")]), b"page"),
        Response(200, Headers([("content-length", "x")]), b"page"),
        Response(101, Headers(), b""),
    ],
)
async def test_a_bad_answer_of_the_node_is_a_500(serve: Serve, says: Says, bad: Response) -> None:
    async with serve() as site:
        says(site.node, bad)
        status, _, body = await site.ask(GET)
        assert (status, body) == (500, b"500 Internal Server Error: the node failed\n")


@pytest.mark.parametrize("fails", ["quick", "answer"])
async def test_a_node_that_raises_is_a_500_or_asked_the_longer_way(
    serve: Serve, fails: str
) -> None:
    def raises(request: Request) -> Response:
        raise RuntimeError("a mistake")

    async def raises_later(request: Request) -> Response:
        raise RuntimeError("a mistake")

    async with serve() as site, site.client() as client:
        site.node.at_once = raises if fails == "quick" else lambda _: None
        if fails == "answer":
            site.node.later = raises_later
        await client.send(GET)
        assert (await client.answer())[0] == (200 if fails == "quick" else 500)


async def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    async with serve() as site, site.client() as client:
        first = asyncio.Event()
        echo = site.node.at_once

        async def answer(request: Request) -> Response:
            await first.wait()
            return echo(request)  # type: ignore[no-any-return]

        site.node.at_once = lambda r: None if r.target in ("/1", "/3") else echo(r)
        site.node.later = answer
        await client.send(get("/1") + get("/2") + get("/3") + get("/4"))
        await asyncio.sleep(0.01)
        assert [request.target for request in site.node.requests] == ["/1"]
        first.set()
        bodies = [(await client.answer())[2] for _ in range(4)]
        assert bodies == [b"GET a.example /%d" % n for n in (1, 2, 3, 4)]


async def test_thousands_of_pipelined_requests_wait_for_the_client_to_read(serve: Serve) -> None:
    page = Response(200, Headers(), b"x" * 100_000)
    async with serve() as site, site.client() as client:
        site.node.at_once = lambda request: page
        client.writer.write(GET * 2000)
        await asyncio.sleep(0.05)
        asked = site.node.requests
        waiting = len(asked)
        assert 0 < waiting < 500
        for _ in range(2000):
            assert len((await client.answer())[2]) == 100_000
        assert len(asked) == 2000


@pytest.mark.parametrize(
    "data, closes, says",
    [
        (GET, False, None),
        (GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), True, "close"),
        (GET.replace(b"\r\n\r\n", b"\r\nConnection: TE, Close\r\n\r\n"), True, "close"),
        (GET_1_0, True, "close"),
        (GET_1_0.replace(b"\r\n\r\n", b"\r\nConnection: Keep-Alive\r\n\r\n"), False, "keep-alive"),
        (GET.replace(b"HTTP/1.1", b"HTTP/1.2"), False, None),
    ],
)
@pytest.mark.parametrize("how", ["at once", "later"])
async def test_a_connection_is_kept_or_closed_as_asked(
    serve: Serve, data: bytes, closes: bool, says: str | None, how: str
) -> None:
    async with serve() as site, site.client() as client:
        if how == "later":
            site.node.at_once = lambda _: None
        await client.send(data + get("/next"))
        _, fields, _ = await client.answer()
        assert fields.get("connection") == says
        if closes:
            assert await client.rest() == b""
            assert len(site.node.requests) == 1
        else:
            assert (await client.answer())[2] == b"GET a.example /next"


async def test_a_client_that_leaves_ends_the_node_s_work(serve: Serve) -> None:
    cancelled = asyncio.Event()
    began = asyncio.Event()

    async def answer(request: Request) -> Response:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with serve() as site:
        site.node.at_once = lambda _: None
        site.node.later = answer
        async with site.client() as client:
            await client.send(GET)
            await asyncio.wait_for(began.wait(), 5)
        await asyncio.wait_for(cancelled.wait(), 5)


async def test_a_client_that_leaves_closes_the_body(serve: Serve) -> None:
    body = Pieces(b"pa", waits=True)
    async with serve() as site:
        site.node.at_once = lambda _: Response(200, Headers(), body)
        async with site.client() as client:
            await client.send(GET)
            await client.reader.readuntil(b"pa")
        await asyncio.wait_for(body.closed.wait(), 5)


async def test_a_piece_that_was_sent_is_let_go_of_while_the_next_is_awaited(serve: Serve) -> None:
    piece = bytes(1000)
    body = Pieces(piece, waits=True)
    async with serve() as site, site.client() as client:
        site.node.at_once = lambda _: Response(200, Headers(), body)
        before = sys.getrefcount(piece)
        await client.send(GET)
        await client.reader.readuntil(b"3e8\r\n")
        await client.reader.readexactly(1000)
        assert sys.getrefcount(piece) == before - 1, "only this test has it"


async def test_a_client_that_does_not_read_holds_the_stream_back(serve: Serve) -> None:
    body = Pieces(*[b"x" * 65536] * 300)
    async with serve() as site, site.client() as client:
        site.node.at_once = lambda _: Response(200, Headers(), body)
        await client.send(GET)
        await asyncio.sleep(0.1)
        assert 0 < body.taken < 200
        assert len((await client.answer())[2]) == 65536 * 300


async def test_early_answers_go_to_new_clients_only(serve: Serve) -> None:
    link = Headers([("link", "</a.css>; rel=preload")])

    async def answer(request: Request) -> Response:
        if request.interim is not None:
            request.interim(103, link)
        return Response(200, Headers(), b"page")

    async with serve() as site, site.client() as client:
        site.node.at_once = lambda _: None
        site.node.later = answer
        await client.send(GET + GET_1_0)
        status, fields, _ = await client.answer()
        assert (status, fields) == (103, {"link": "</a.css>; rel=preload"})
        assert (await client.answer())[0] == 200
        assert (await client.answer())[0] == 200


async def test_an_early_answer_that_comes_too_late_is_dropped(serve: Serve) -> None:
    async with serve() as site, site.client() as client:
        site.node.at_once = lambda _: None
        await client.send(GET)
        await client.answer()
        site.node.requests[0].interim(103, Headers())
        waiting = Pieces(b"pa", waits=True)
        site.node.later = later(Response(200, Headers(), waiting))
        await client.send(GET)
        assert await client.reader.readuntil(b"\r\n\r\n") == (
            b"HTTP/1.1 200 OK\r\ndate: Thu, 02 Feb 2017 01:46:40 GMT\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        site.node.requests[0].interim(103, Headers())
        site.node.requests[1].interim(103, Headers())
        assert await client.reader.readexactly(7) == b"2\r\npa\r\n"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.readexactly(1), 0.02)


async def test_an_early_answer_for_a_request_before_is_dropped(serve: Serve) -> None:
    answers, second = asyncio.Event(), asyncio.Event()

    async def answer(request: Request) -> Response:
        if request.target == "/2":
            second.set()
            await answers.wait()
        return Response(200, Headers(), b"page")

    async with serve() as site, site.client() as client:
        site.node.at_once = lambda _: None
        site.node.later = answer
        await client.send(get("/1") + get("/2"))
        await client.answer()
        await asyncio.wait_for(second.wait(), 5)
        site.node.requests[0].interim(103, Headers())
        answers.set()
        assert (await client.answer())[0] == 200


async def test_generators_are_bodies_too(serve: Serve) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"pa"
        yield b"ge"

    async with serve() as site:
        site.node.at_once = lambda _: Response(200, Headers(), body())
        assert (await site.ask(GET))[2] == b"page"
