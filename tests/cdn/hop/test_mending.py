"""Heads of answers that RFC 9112 has a gateway repair, and those that stay refused."""

import pytest
from tests.cdn.raw_site import FRESH

from blackstart.cdn.hop.exchange import Exchange
from blackstart.cdn.hop.mending import is_mendable, mended

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("fields", "lean"),
    [
        (b"A : 1\r\nB\t :2\r\n", b"A: 1\r\nB:2\r\n"),
        (b"A: x : y\r\nB : 1\r\n", b"A: x : y\r\nB: 1\r\n"),
        (
            b"A: 1\r\nContent-Length: 4\r\nB: 2\r\ncontent-length : 4\r\n",
            b"A: 1\r\nB: 2\r\ncontent-length: 4\r\n",
        ),
        (b"Content-Length: 4, 4 ,4\r\nA: 1\r\n", b"A: 1\r\ncontent-length: 4\r\n"),
    ],
)
def test_what_can_be_mended(fields, lean) -> None:
    head = OK + fields + b"\r\n"
    assert is_mendable(head)
    assert mended(head) == OK + lean + b"\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        b"A: 1\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n",
        b"Content-Length: 4, 5\r\n",
        b"Content-Length: 4, 04\r\n",
        b"Content-Length: 4,\r\n",
        b"Content-Length: +4, +4\r\n",
        b"A: 1\r\n B : 2\r\n",
        b" A : 1\r\n",
        b"A B : 1\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_stays_as_it_is(fields) -> None:
    assert mended(OK + fields + b"\r\n") is None


BROKEN = (
    OK + b"Cache-Control : max-age=60\r\nContent-Length: 4\r\nContent-Length: 4\r\nX-A\t: 1\r\n\r\n"
)


class Carrier:
    """A connection that only remembers how its exchange ended."""

    reusable = aborted = False

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def done(self, *, reusable: bool, promised_s: int | None) -> None:
        self.reusable = reusable

    def abort(self) -> None:
        self.aborted = True


def fed(method: str, *pieces: bytes) -> tuple[Exchange, Carrier]:
    carrier = Carrier()
    exchange = Exchange(carrier, method, None, 1024)
    for piece in pieces:
        exchange.feed(piece)
    return exchange, carrier


@pytest.mark.parametrize(("method", "body"), [("GET", b"page"), ("HEAD", b"")])
def test_a_mended_answer_is_as_good_as_any_wherever_it_is_cut(method, body) -> None:
    whole = BROKEN + body
    for at in range(1, len(whole)):
        exchange, carrier = fed(method, whole[:at], whole[at:])
        assert exchange.failure is None
        assert (exchange.complete, carrier.reusable) == (True, method == "GET")
        assert exchange.take() == body
        assert list(exchange.headers) == [
            ("cache-control", "max-age=60"),
            ("x-a", "1"),
            ("content-length", "4"),
        ]


def test_a_head_that_is_waited_for_is_bounded() -> None:
    exchange, carrier = fed("GET", OK + b"A : 1\r\n", b"B: " + b"x" * 1024)
    assert carrier.aborted
    assert exchange.failure is not None


async def test_a_mended_answer_is_kept(site) -> None:
    site.origin.says = lambda _: BROKEN + b"page"
    for _ in range(2):
        got = await site.ask()
        assert (got.status, got.body) == (200, b"page")
    assert len(site.origin.asked) == 1


@pytest.mark.parametrize(
    "head",
    [
        OK + b"A : 1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\npage",
        OK + b"A : 1\r\nContent-Length : 4\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        OK + b"A : 1\r\n B: 2\r\nContent-Length: 4\r\n\r\npage",
        OK + FRESH + b"A B : 1\r\nContent-Length: 4\r\n\r\npage",
        OK + b"A : 1\r\n: 2\r\nContent-Length: 4\r\n\r\npage",
    ],
)
async def test_what_is_ambiguous_apart_from_it_is_no_answer(site, head) -> None:
    site.origin.says = lambda _: head
    assert (await site.ask()).status == 502
