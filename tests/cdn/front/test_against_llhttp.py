"""The front's own reading beside llhttp's: whatever the front takes, both read alike."""

from __future__ import annotations

import contextlib

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.cdn.front.chunks import Chunks
from blackstart.cdn.front.limits import Limits
from blackstart.cdn.front.refusal import Refusal
from blackstart.cdn.front.requests import CHUNKED, read_head

LIMITS = Limits()

# Parts of which good requests are made, and bad ones far more often.
LINES = st.sampled_from(
    [
        "Host: a.example",
        "Content-Length: 4",
        "Content-Length: 4, 4",
        "content-length:\t4 ",
        "Transfer-Encoding: chunked",
        "transfer-encoding:CHUNKED",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\x0b",
        "Transfer-Encoding : chunked",
        " folded: yes",
        "X: a\rb",
        "X: a\nb",
        "X: a\x00b",
        "X: \x80\xff",
        "X:",
        ":",
        "X",
        "Connection: close",
        "Connection: keep-alive, x",
        "Connection: upgrade",
        "Upgrade: h2c",
    ]
)
STARTS = st.sampled_from(
    [
        "GET / HTTP/1.1",
        "POST /a?b=c HTTP/1.1",
        "POST / HTTP/1.0",
        "GET http://b.example/x HTTP/1.1",
        "GET //x HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "PURGE / HTTP/1.1",
        "GET / HTTP/2.0",
    ]
)
ENDS = st.sampled_from(["\r\n"] * 9 + ["\n", "\r", "\r\r\n"])
CHUNK_PARTS = st.sampled_from(
    [
        "4",
        "04",
        "A",
        "a",
        "0",
        " ",
        ";a=b",
        ";",
        "\r\n",
        "\n",
        "\r",
        "abcd",
        "0123456789",
        "+",
        "0x",
    ]
)


class Seen:
    """What llhttp tells of one message."""

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[str, str]] = []
        self.heads = 0
        self.complete = 0
        self.body = b""
        self.keep_alive = False
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.heads:
            self.fields.append(
                (name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t"))
            )

    def on_headers_complete(self) -> None:
        self.heads += 1
        self.keep_alive = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


def read(data: bytes) -> Seen:
    seen = Seen()
    with contextlib.suppress(httptools.HttpParserUpgrade):
        seen.parser.feed_data(data)
    return seen


@given(start=STARTS, lines=st.lists(st.tuples(LINES, ENDS), max_size=6), end=ENDS)
def test_a_head_that_is_taken_is_read_as_llhttp_reads_it(
    start: str, lines: list[tuple[str, str]], end: str
) -> None:
    text = start + end + "Host: a.example\r\n" + "".join(a + b for a, b in lines) + "\r\n"
    raw = text.encode("latin-1")
    try:
        head = read_head(raw, LIMITS)
    except Refusal:
        return
    seen = read(raw)
    assert seen.heads == 1
    assert head.method.encode() == seen.parser.get_method()
    assert seen.url.decode().endswith(head.target)
    assert set(head.headers.pairs) <= set(seen.fields)
    assert seen.complete == (head.length == 0)
    if "upgrade" not in {name for name, _ in seen.fields}:
        # Asked for both, an HTTP/1.0 connection closes (RFC 9112 section 9.3); llhttp keeps it.
        assert seen.keep_alive or not head.keep_alive
    if head.length > 0:
        assert read(raw + b"x" * head.length).complete == 1
    if head.length == CHUNKED:
        assert read(raw + b"0\r\n\r\n").complete == 1


@given(parts=st.lists(CHUNK_PARTS, max_size=12), cut=st.integers(0, 40))
def test_a_chunked_body_that_is_taken_is_read_as_llhttp_reads_it(
    parts: list[str], cut: int
) -> None:
    body = "".join([*parts, "0\r\n\r\n"]).encode()
    chunks = Chunks(1000)
    taken: list[bytes] = []
    fed = 0
    try:
        for piece in (body[:cut], body[cut:]):
            if chunks.rest is None:
                taken += chunks.feed(piece)
                fed += len(piece)
    except Refusal:
        return
    if chunks.rest is None:
        return
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    end = fed - len(chunks.rest)
    assert read(head + body[: end - 1]).complete == 0
    seen = read(head + body[:end])
    assert (seen.complete, seen.body) == (1, b"".join(taken))


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=30), max_size=5),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=20),
)
def test_a_chunked_body_comes_out_as_it_went_in_however_it_is_cut(
    pieces: list[bytes], cuts: list[int]
) -> None:
    coded = b"".join(b"%x;n=v\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    data = coded + b"0\r\nA: b\r\n\r\n"
    chunks = Chunks(1000)
    found = b""
    at = turn = 0
    while at < len(data):
        assert chunks.rest is None
        step = cuts[turn % len(cuts)]
        found += b"".join(chunks.feed(data[at : at + step]))
        at += step
        turn += 1
    assert found == b"".join(pieces)
    assert chunks.rest == b""


def test_the_comparison_takes_something() -> None:
    good = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4\r\n\r\n"
    assert read_head(good, LIMITS).length == 4
    with pytest.raises(Refusal):
        read_head(good.replace(b"4", b"4,4"), LIMITS)
