"""What a front does not take: each row is sent raw, is refused, and ends the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import pytest

from blackstart.cdn.front import Limits

Serve = Callable[..., AbstractAsyncContextManager[Any]]

HOST = b"Host: a.example\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LIMITS = Limits(
    head_bytes=2048, header_count=10, target_bytes=256, body_bytes=1000, connections_per_client=2
)


def get(fields: bytes = b"", target: bytes = b"/", host: bytes = HOST) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + host + fields + b"\r\n"


def post(fields: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


REFUSED: list[tuple[str, int, bytes]] = [
    # The length of the body.
    ("length-and-coding", 400, post(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\n")),
    ("coding-and-length", 400, post(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n")),
    ("two-lengths", 400, post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"12345")),
    ("equal-lengths", 400, post(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"12345")),
    ("listed-lengths", 400, post(b"Content-Length: 5,5\r\n", b"12345")),
    ("signed-length", 400, post(b"Content-Length: +5\r\n", b"12345")),
    ("negative-length", 400, post(b"Content-Length: -1\r\n")),
    ("hexadecimal-length", 400, post(b"Content-Length: 0x5\r\n", b"12345")),
    ("underscored-length", 400, post(b"Content-Length: 1_0\r\n", b"1234567890")),
    ("spaced-length", 400, post(b"Content-Length: 1 0\r\n", b"1234567890")),
    ("superscript-length", 400, post(b"Content-Length: \xb2\r\n", b"12")),
    ("empty-length", 400, post(b"Content-Length:\r\n")),
    ("endless-length", 413, post(b"Content-Length: 9999999999999999999999\r\n")),
    ("long-body", 413, post(b"Content-Length: 1001\r\n")),
    ("long-chunked-body", 413, post(CHUNKED, b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n")),
    (
        "long-chunked-body-in-parts",
        413,
        post(
            CHUNKED, b"190\r\n" + b"x" * 400 + b"\r\n" + b"259\r\n" + b"x" * 601 + b"\r\n0\r\n\r\n"
        ),
    ),
    ("unknown-coding", 400, post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n")),
    ("unknown-coding-before", 501, post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n")),
    ("chunked-twice", 400, post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n")),
    ("chunked-in-two-fields", 400, post(CHUNKED + CHUNKED, b"0\r\n\r\n")),
    ("chunked-not-last", 400, post(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n")),
    ("identity", 400, post(b"Transfer-Encoding: identity\r\n")),
    ("quoted-chunked", 400, post(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n")),
    ("empty-coding", 400, post(b"Transfer-Encoding: \r\n", b"0\r\n\r\n")),
    ("half-empty-coding", 400, post(b"Transfer-Encoding: , chunked\r\n", b"0\r\n\r\n")),
    ("vertical-tab-coding", 400, post(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n")),
    ("no-break-space-coding", 400, post(b"Transfer-Encoding: \xa0chunked\r\n", b"0\r\n\r\n")),
    ("coding-in-1.0", 400, b"POST / HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n"),
    # The chunked body.
    ("chunk-size-word", 400, post(CHUNKED, b"zz\r\n")),
    ("chunk-size-signed", 400, post(CHUNKED, b"+5\r\n12345\r\n0\r\n\r\n")),
    ("chunk-size-0x", 400, post(CHUNKED, b"0x5\r\n12345\r\n0\r\n\r\n")),
    ("chunk-size-empty", 400, post(CHUNKED, b"\r\n0\r\n\r\n")),
    ("chunk-size-spaced", 400, post(CHUNKED, b"5 \r\n12345\r\n0\r\n\r\n")),
    ("chunk-size-spaced-extension", 400, post(CHUNKED, b"5 ;a\r\n12345\r\n0\r\n\r\n")),
    ("chunk-extension-empty", 400, post(CHUNKED, b"5;\r\n12345\r\n0\r\n\r\n")),
    ("chunk-size-overflow", 400, post(CHUNKED, b"10000000000000005\r\n12345\r\n0\r\n\r\n")),
    ("chunk-size-lf", 400, post(CHUNKED, b"5\n12345\r\n0\r\n\r\n")),
    ("chunk-size-lf-alone", 400, post(CHUNKED, b"5\n")),
    ("chunk-longer", 400, post(CHUNKED, b"5\r\n123456\r\n0\r\n\r\n")),
    ("chunk-end-lf", 400, post(CHUNKED, b"5\r\n12345\n0\r\n\r\n")),
    ("chunk-extension-long", 400, post(CHUNKED, b"5;a=" + b"x" * 1100 + b"\r\n12345\r\n")),
    ("chunk-extensions-many", 400, post(CHUNKED, (b"1;a=" + b"x" * 900 + b"\r\n1\r\n") * 6)),
    ("chunk-extension-control", 400, post(CHUNKED, b"5;a=\x00\r\n12345\r\n0\r\n\r\n")),
    ("chunk-extension-lf", 400, post(CHUNKED, b"5;a\n\r\n12345\r\n0\r\n\r\n")),
    ("trailer-folded", 400, post(CHUNKED, b"0\r\nA: b\r\n c\r\n\r\n")),
    ("trailer-no-field", 400, post(CHUNKED, b"0\r\nGET / HTTP/1.1\r\n\r\n")),
    ("trailers-long", 431, post(CHUNKED, b"0\r\n" + b"A: bcdefgh\r\n" * 200 + b"\r\n")),
    # Header lines.
    ("folded", 400, get(b"A: b\r\n c\r\n")),
    ("folded-by-tab", 400, get(b"A: b\r\n\tc\r\n")),
    ("folded-first", 400, b"GET / HTTP/1.1\r\n A: b\r\n" + HOST + b"\r\n"),
    ("space-before-colon", 400, get(b"Transfer-Encoding : chunked\r\n")),
    ("tab-before-colon", 400, get(b"A\t: b\r\n")),
    ("space-in-name", 400, get(b"A b: c\r\n")),
    ("no-colon", 400, get(b"A\r\n")),
    ("no-name", 400, get(b": b\r\n")),
    ("name-not-a-token", 400, get(b"A(): b\r\n")),
    ("name-not-ascii", 400, get(b"\xc3\xa4: b\r\n")),
    ("nul-in-value", 400, get(b"A: b\x00c\r\n")),
    ("nul-in-name", 400, get(b"A\x00: b\r\n")),
    ("control-in-value", 400, get(b"A: b\x01c\r\n")),
    ("delete-in-value", 400, get(b"A: b\x7fc\r\n")),
    ("bare-cr-in-value", 400, get(b"A: b\rc\r\n")),
    ("bare-cr-hides-a-field", 400, get(b"A: b\rTransfer-Encoding: chunked\r\n")),
    ("bare-lf-in-value", 400, get(b"A: b\nC: d\r\n")),
    ("bare-lf-everywhere", 400, b"GET / HTTP/1.1\nHost: a.example\n\n"),
    ("bare-lf-at-the-end", 400, b"GET / HTTP/1.1\r\nHost: a.example\r\n\nGET / HTTP/1.1\r\n\r\n"),
    ("many-fields", 431, get(b"A: b\r\n" * 10)),
    ("long-field", 431, get(b"A: " + b"b" * 2048 + b"\r\n")),
    ("long-field-unfinished", 431, get()[:-2] + b"A: " + b"b" * 2048),
    ("long-head", 431, get(b"A: " + b"b" * 800 + b"\r\nC: " + b"d" * 1600 + b"\r\n")),
    # Host.
    ("no-host", 400, get(host=b"")),
    ("no-host-in-1.0", 400, b"GET / HTTP/1.0\r\n\r\n"),
    ("no-host-beside-absolute", 400, get(target=b"http://a.example/", host=b"")),
    ("two-hosts", 400, get(b"Host: b.example\r\n")),
    ("equal-hosts", 400, get(HOST)),
    ("empty-host", 400, get(host=b"Host:\r\n")),
    ("host-userinfo", 400, get(host=b"Host: me@a.example\r\n")),
    ("host-space", 400, get(host=b"Host: a.example b.example\r\n")),
    ("host-list", 400, get(host=b"Host: a.example, b.example\r\n")),
    ("host-path", 400, get(host=b"Host: a.example/b\r\n")),
    ("host-query", 400, get(host=b"Host: a.example?b\r\n")),
    ("host-url", 400, get(host=b"Host: http://a.example\r\n")),
    ("host-bad-port", 400, get(host=b"Host: a.example:8o\r\n")),
    ("host-large-port", 400, get(host=b"Host: a.example:65536\r\n")),
    ("host-two-ports", 400, get(host=b"Host: a.example:80:80\r\n")),
    ("host-port-alone", 400, get(host=b"Host: :80\r\n")),
    ("host-bad-ipv6", 400, get(host=b"Host: [::1::]\r\n")),
    ("host-open-ipv6", 400, get(host=b"Host: [::1\r\n")),
    ("host-percent", 400, get(host=b"Host: a%2eexample\r\n")),
    ("host-not-ascii", 400, get(host=b"Host: \xe4.example\r\n")),
    ("host-long", 400, get(host=b"Host: " + b"a" * 300 + b"\r\n")),
    # The request line.
    ("target-space", 400, get(target=b"/a b")),
    ("target-tab", 400, get(target=b"/a\tb")),
    ("target-control", 400, get(target=b"/a\x01b")),
    ("target-nul", 400, get(target=b"/a\x00b")),
    ("target-cr", 400, get(target=b"/a\rb")),
    ("target-not-ascii", 400, get(target="/ä".encode())),
    ("target-fragment", 400, get(target=b"/a#b")),
    ("target-absolute-fragment", 400, get(target=b"http://a.example/#b")),
    ("target-relative", 400, get(target=b"a")),
    ("target-query-alone", 400, get(target=b"?a")),
    ("target-asterisk", 400, get(target=b"*")),
    ("target-other-scheme", 400, get(target=b"https://a.example/")),
    ("target-file", 400, get(target=b"file:///etc/passwd")),
    ("target-authority", 400, get(target=b"a.example:80")),
    ("target-absolute-no-authority", 400, get(target=b"http:///a")),
    ("target-absolute-userinfo", 400, get(target=b"http://me@a.example/")),
    ("target-absolute-port", 400, get(target=b"http://a.example:99999/")),
    ("target-backslash-authority", 400, get(target=b"http://a.example\\@b.example/")),
    ("target-long", 414, get(target=b"/" + b"a" * 256)),
    ("target-very-long", 414, get(target=b"/" + b"a" * 4096)),
    ("target-unfinished", 414, b"GET /" + b"a" * 1000),
    ("two-spaces", 400, b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("tab-for-space", 400, b"GET\t/\tHTTP/1.1\r\n" + HOST + b"\r\n"),
    ("space-first", 400, b" GET / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("space-last", 400, b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n"),
    ("no-version", 400, b"GET /\r\n" + HOST + b"\r\n"),
    ("small-http", 400, b"GET / http/1.1\r\n" + HOST + b"\r\n"),
    ("version-letters", 400, b"GET / HTTP/1.x\r\n" + HOST + b"\r\n"),
    ("version-digits", 400, b"GET / HTTP/1.10\r\n" + HOST + b"\r\n"),
    ("version-0.9", 505, b"GET / HTTP/0.9\r\n" + HOST + b"\r\n"),
    ("version-2", 505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("version-3", 505, b"GET / HTTP/3.0\r\n" + HOST + b"\r\n"),
    ("method-no-token", 400, b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("method-long", 501, b"A" * 33 + b" / HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("connect", 501, b"CONNECT a.example:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
    ("tls", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ("proxy-header", 400, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + get()),
    # What is expected of us.
    ("expectation", 417, get(b"Expect: tea\r\n")),
    (
        "expectations",
        417,
        post(b"Expect: 100-continue\r\nExpect: tea\r\nContent-Length: 1\r\n", b"1"),
    ),
]


@pytest.mark.parametrize("status, data", [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED])
async def test_a_request_is_refused_and_nothing_after_it_is_read(
    serve: Serve, status: int, data: bytes
) -> None:
    async with serve(LIMITS) as site, site.client() as client:
        await client.send(data + get(target=b"/smuggled"))
        found, fields, body = await client.answer()
        assert found == status
        assert fields["connection"] == "close"
        assert fields["content-type"] == "text/plain; charset=utf-8"
        assert body.startswith(b"%d " % status)
        assert body.count(b"\n") == 1
        assert await client.rest() == b""
        assert [request.target for request in site.node.requests if request.method != "POST"] == []


@pytest.mark.parametrize("data", [row[2] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_a_refusal_is_the_same_however_the_bytes_arrive(serve: Serve, data: bytes) -> None:
    async with serve(LIMITS) as site:
        at_once, _, _ = await site.ask(data)
        async with site.client() as client:
            for at in range(0, len(data), 1 + len(data) // 40):
                if client.reader.at_eof():
                    break
                await client.send(data[at : at + 1 + len(data) // 40])
            assert (await client.answer())[0] == at_once


async def test_too_many_connections_of_one_client_are_refused(serve: Serve) -> None:
    async with serve(LIMITS) as site, site.client() as first, site.client() as second:
        for client in (first, second):
            await client.send(get())
            assert (await client.answer())[0] == 200
        async with site.client() as third:
            assert (await third.answer())[0] == 503
            assert await third.rest() == b""
        await first.send(get())
        assert (await first.answer())[0] == 200


async def test_too_many_connections_in_all_are_refused(serve: Serve) -> None:
    async with serve(Limits(connections=1)) as site, site.client() as first:
        await first.send(get())
        assert (await first.answer())[0] == 200
        async with site.client() as second:
            status, _, body = await second.answer()
            assert status == 503
            assert b"too many connections" in body


async def test_only_some_of_a_crowd_are_told_why_they_are_refused(serve: Serve) -> None:
    limits = Limits(connections=1, linger_s=60)
    async with serve(limits) as site, AsyncExitStack() as crowd:
        first = await crowd.enter_async_context(site.client())
        await first.send(get())
        assert (await first.answer())[0] == 200
        for _ in range(64):
            told = await crowd.enter_async_context(site.client())
            assert (await told.answer())[0] == 503
        last = await crowd.enter_async_context(site.client())
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await last.answer()
        await first.send(get())
        assert (await first.answer())[0] == 200
