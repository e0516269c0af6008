"""Attempts to make a node keep or send what it must not, over real sockets on both sides.

Each row is sent raw to a node in front of an origin that believes whatever it
is told; what the next visitor gets, and what the origin saw, is asserted.
"""

from __future__ import annotations

import re

import pytest
from tests.cdn.raw_site import FRESH, Asked, answer, echo, parsed

LONG_UNCHANGED = b"Last-Modified: Wed, 01 Jan 2014 00:00:00 GMT\r\n"


def gullible(asked: Asked) -> bytes:
    """An origin that believes any field about what is asked for, as WSGI spells them."""
    told = {name.replace("_", "-"): value for name, value in asked.headers}
    return answer(" ".join(value for value in told.values() if "evil" in value).encode() or b"page")


# What is read in two ways is refused, and nothing of it reaches the origin

POST = b"POST /page HTTP/1.1\r\nHost: a.example\r\n"
SMUGGLED = b"GET /evil HTTP/1.1\r\nHost: a.example\r\n\r\n"
AMBIGUOUS = {
    "length-and-coding": POST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "coding-and-length": POST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "two-lengths": POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + SMUGGLED,
    "equal-lengths": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "two-codings": POST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "coding-with-a-tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "coding-and-a-space": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "coding-in-1.0": POST.replace(b"1.1", b"1.0")
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "chunk-size-overflow": POST
    + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "folded": b"GET /page HTTP/1.1\r\nHost: a.example\r\nA: b\r\n Content-Length: 44\r\n\r\n"
    + SMUGGLED,
    "two-hosts": b"GET /page HTTP/1.1\r\nHost: a.example\r\nHost: evil.example\r\n\r\n" + SMUGGLED,
    "bare-lf": b"GET /page HTTP/1.1\r\nHost: a.example\r\nA: b\nC: d\r\n\r\n" + SMUGGLED,
    "bare-cr": b"GET /page HTTP/1.1\r\nHost: a.example\r\nA: b\rC: d\r\n\r\n" + SMUGGLED,
    "control-in-a-value": b"GET /page HTTP/1.1\r\nHost: a.example\r\nA: \x01\r\n\r\n" + SMUGGLED,
    "nul-in-the-target": b"GET /page\x00 HTTP/1.1\r\nHost: a.example\r\n\r\n" + SMUGGLED,
    "space-in-the-target": b"GET /pa ge HTTP/1.1\r\nHost: a.example\r\n\r\n" + SMUGGLED,
    "fragment": b"GET /page#evil HTTP/1.1\r\nHost: a.example\r\n\r\n" + SMUGGLED,
    "host-with-a-path": b"GET /page HTTP/1.1\r\nHost: a.example/evil\r\n\r\n" + SMUGGLED,
    "host-with-a-user": b"GET /page HTTP/1.1\r\nHost: evil@a.example\r\n\r\n" + SMUGGLED,
    "other-scheme": b"GET file:///page HTTP/1.1\r\nHost: a.example\r\n\r\n" + SMUGGLED,
    "large-head": b"GET /page HTTP/1.1\r\nHost: a.example\r\nA: "
    + b"a" * 40_000
    + b"\r\n\r\n"
    + SMUGGLED,
    "many-fields": b"GET /page HTTP/1.1\r\nHost: a.example\r\n"
    + b"A: b\r\n" * 200
    + b"\r\n"
    + SMUGGLED,
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_what_is_ambiguous_is_refused_and_ends_the_connection(site, data) -> None:
    raw = await site.send(data)
    assert parsed(raw).status in (400, 431)
    assert raw.count(b"HTTP/1.1 ") == 1
    assert site.origin.asked == []
    assert (await site.ask()).body == b"GET a.example /page "


# Fields that are no part of the key

TOLD = [
    *(f"X-Forwarded-{name}: evil.example" for name in ("Host", "Server", "Prefix", "Path", "URI")),
    *(f"X-Forwarded-{name}: evil" for name in ("Proto", "Protocol", "Scheme", "Port", "SSL")),
    "X-Forwarded-For: evil",
    "X-Real-IP: evil",
    "Forwarded: host=evil.example",
    "X-Host: evil.example",
    "X-Original-Host: evil.example",
    "X-HTTP-Host-Override: evil.example",
    "X-Original-URL: /evil",
    "X-Original-URI: /evil",
    "X-Rewrite-URL: /evil",
    "X-HTTP-Method: evil",
    "X-HTTP-Method-Override: evil",
    "X-Method-Override: evil",
    # Spelled so that CGI and WSGI take them for the same.
    "X_Forwarded_Host: evil.example",
    "X-Forwarded_Host: evil.example",
    "X_Original_URL: /evil",
    "X_HTTP_Method_Override: evil",
    "Transfer_Encoding: evil",
    "Content_Length: evil",
    # What concerns the connection only.
    "Proxy-Authorization: evil",
    "Upgrade: evil",
    "TE: evil",
    "Trailer: evil",
    "Keep-Alive: evil",
]


@pytest.mark.parametrize("line", TOLD)
async def test_a_field_that_could_turn_the_answer_never_reaches_the_origin(site, line) -> None:
    site.origin.says = gullible
    assert (await site.ask("/page", line)).body == b"page"
    got = await site.ask("/page")
    assert (got.body, len(site.origin.asked)) == (b"page", 1)
    assert "evil" not in repr(site.origin.asked[0])


async def test_another_method_may_be_named_where_nothing_is_kept(site) -> None:
    await site.ask("/page", "X-HTTP-Method-Override: DELETE", method="POST")
    assert site.origin.asked[0].headers.get("x-http-method-override") == "DELETE"
    await site.ask("/page", "X-Original-URL: /evil", method="POST")
    assert "x-original-url" not in site.origin.asked[1].headers


async def test_what_connection_names_is_neither_sent_nor_part_of_what_is_kept(site) -> None:
    site.origin.says = lambda asked: answer(
        (asked.headers.get("accept-language") or "none").encode(),
        FRESH + b"Vary: accept-language\r\n",
    )
    raw = await site.send(
        b"GET /page HTTP/1.1\r\nHost: a.example\r\nAccept-Language: de\r\n"
        b"Connection: close, accept-language\r\n\r\n"
    )
    assert parsed(raw).body == b"none"
    assert (await site.ask("/page", "Accept-Language: de")).body == b"de"
    assert (await site.ask("/page")).body == b"none"
    assert len(site.origin.asked) == 2


async def test_an_upgrade_does_not_open_a_tunnel(site) -> None:
    site.origin.says = lambda _: (
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
    )
    raw = await site.send(
        b"GET /page HTTP/1.1\r\nHost: a.example\r\nConnection: close, Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
    )
    assert parsed(raw).status == 502
    assert not site.origin.asked[0].headers.has_any({"upgrade", "http2-settings", "connection"})


# Host

HOSTS = [
    # line, Host field, what the origin sees
    ("/page", "A.Example", "a.example", "/page"),
    ("/page", "a.example:", "a.example", "/page"),
    ("/page", "a.example:80", "a.example:80", "/page"),
    ("/page", "a.example.", "a.example.", "/page"),
    ("http://b.example/page", "a.example", "b.example", "/page"),
    ("HTTP://B.Example/page", "a.example", "b.example", "/page"),
    ("http://b.example", "a.example", "b.example", "/"),
    ("http://b.example?page", "a.example", "b.example", "/?page"),
]


@pytest.mark.parametrize(("target", "host", "seen", "path"), HOSTS)
async def test_each_host_has_pages_of_its_own(site, target, host, seen, path) -> None:
    got = await site.ask(target, host=host)
    assert got.body == f"GET {seen} {path} ".encode()
    got = await site.ask("/page")
    assert got.body == b"GET a.example /page "
    assert ("hit" in got.cache_status) is (seen == "a.example")


# Paths and queries

TARGETS = [
    "/account/../page",
    "/account/%2e%2e/page",
    "/account/..%2fpage",
    "/account/..;/page",
    "/account/..\\page",
    "/account/%5c../page",
    "//page",
    "/./page",
    "/page/",
    "/page;x.css",
    "/page%3bx.css",
    "/page%00",
    "/page%00.css",
    "/page%0a",
    "/page%0d%0aX:%20evil",
    "/page%20",
    "/page%23evil",
    "/page%3fx",
    "/%70age",
    "/%7page",
    "/PAGE",
    "/page?",
    "/page?x",
    "/page?utm_source=x",
    "/page?a=1&a=2",
    "/page?a=1;b=2",
    "/page?a=1%26b=2",
    "/page?a[]=1",
    "/page?_=%00",
]


@pytest.mark.parametrize("target", TARGETS)
async def test_each_spelling_is_a_page_of_its_own_and_is_passed_on_as_it_is(site, target) -> None:
    """No two targets share a page, so an origin that reads them alike can't be played off."""
    got = await site.ask(target)
    assert got.body == f"GET a.example {target} ".encode()
    assert (await site.ask("/page")).body == b"GET a.example /page "
    got = await site.ask(target)
    assert got.body == f"GET a.example {target} ".encode()
    assert [asked.target for asked in site.origin.asked] == [target, "/page"]


# Content where none belongs


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("stored", [False, True])
async def test_content_in_a_get_is_for_who_sent_it(site, method, stored) -> None:
    if stored:
        await site.ask()
    head = f"{method} /page HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n".encode()
    for body in (
        b"Content-Length: 4\r\n\r\nevil",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
        b"Content-Length: %d\r\n\r\n%b" % (len(SMUGGLED), SMUGGLED),
    ):
        got = parsed(await site.send(head + body))
        assert "fwd=bypass" in got.cache_status
        assert b"evil" in site.origin.asked[-1].body
        assert (await site.ask()).body == b"GET a.example /page "
    assert {asked.target for asked in site.origin.asked} == {"/page"}


# Answers that are not for everybody

UNSHARED = {
    "vary-star": b"Cache-Control: max-age=60\r\nVary: *\r\n",
    "vary-star-in-a-list": b"Cache-Control: max-age=60\r\nVary: accept, *\r\n",
    "cookie-and-a-guess": b"Set-Cookie: id=evil\r\n" + LONG_UNCHANGED,
    "cookie": b"Set-Cookie: id=evil\r\n",
    "cookie-and-private": b"Set-Cookie: id=evil\r\nCache-Control: private, max-age=60\r\n",
    "private": b"Cache-Control: private, max-age=60\r\n",
    "no-store": b"Cache-Control: no-store, max-age=60\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("fields", UNSHARED.values(), ids=UNSHARED)
@pytest.mark.parametrize("target", ["/account", "/account/x.css", "/account;x.css", "/x.css?y.jpg"])
async def test_a_path_that_looks_static_makes_no_page_shared(site, fields, target) -> None:
    """Cache deception: what is kept is told by the answer's fields, never by the path."""
    site.origin.says = lambda asked: answer(
        (asked.headers.get("cookie") or "nobody").encode(), fields
    )
    assert (await site.ask(target, "Cookie: alice")).body == b"alice"
    got = await site.ask(target)
    assert got.body == b"nobody"
    assert "hit" not in got.cache_status


async def test_an_answer_to_credentials_is_not_shared(site) -> None:
    site.origin.says = lambda asked: answer(
        (asked.headers.get("authorization") or "nobody").encode()
    )
    assert (await site.ask("/page", "Authorization: alice")).body == b"alice"
    assert (await site.ask("/page")).body == b"nobody"
    assert (await site.ask("/page", "Authorization: bob")).body == b"bob"


FAILURES = {
    "400": (b"400 Bad Request", b""),
    "400-unchanged": (b"400 Bad Request", LONG_UNCHANGED),
    "412": (b"412 Precondition Failed", FRESH),
    "413": (b"413 Content Too Large", FRESH),
    "416": (b"416 Range Not Satisfiable", FRESH),
    "417": (b"417 Expectation Failed", FRESH),
    "428": (b"428 Precondition Required", FRESH),
    "429": (b"429 Too Many Requests", FRESH),
    "431": (b"431 Request Header Fields Too Large", FRESH),
    "500": (b"500 Internal Server Error", b""),
}


@pytest.mark.parametrize(("status", "fields"), FAILURES.values(), ids=FAILURES)
async def test_an_error_that_one_visitor_caused_is_that_one_s(site, status, fields) -> None:
    """A head that the node takes and the origin doesn't, a condition, a range."""
    site.origin.says = lambda asked: (
        answer(b"no", fields, status) if "x-bad" in asked.headers else answer(b"page")
    )
    got = await site.ask("/page", "X-Bad: " + "x" * 10_000)
    assert (got.status, got.body) == (int(status[:3]), b"no")
    assert (await site.ask("/page")).body == b"page"


# Answers that are read in two ways

SPLIT = {
    "length-and-coding": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two-lengths": b"Content-Length: 0\r\nContent-Length: 4\r\n\r\nevil",
    "folded": b"X: a\r\n b\r\nContent-Length: 4\r\n\r\nevil",
    "bare-lf": b"X: a\nSet-Cookie: evil\r\nContent-Length: 4\r\n\r\nevil",
    "bare-cr": b"X: a\rSet-Cookie: evil\r\nContent-Length: 4\r\n\r\nevil",
    "nul": b"X: a\0b\r\nContent-Length: 4\r\n\r\nevil",
    "space-before-colon": b"Content-Length : 0\r\nContent-Length: 4\r\n\r\nevil",
    "space-in-coding": b"Content-Length: 4\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "unknown-coding": b"Transfer-Encoding: gzip\r\n\r\nevil",
}


@pytest.mark.parametrize("rest", SPLIT.values(), ids=SPLIT)
async def test_an_ambiguous_answer_is_a_502_and_not_kept(site, rest) -> None:
    site.origin.says = lambda _: b"HTTP/1.1 200 OK\r\n" + FRESH + rest
    got = await site.ask()
    assert got.status == 502
    assert b"evil" not in got.body
    site.origin.says = echo
    assert (await site.ask()).body == b"GET a.example /page "


@pytest.mark.parametrize("status", [b"100 Continue", b"103 Early Hints", b"150 Other"])
@pytest.mark.parametrize("fields", [b"Content-Length: 4", b"Transfer-Encoding: chunked"])
async def test_no_content_of_an_interim_answer_becomes_the_page_s(site, status, fields) -> None:
    page = FRESH + b"Transfer-Encoding: chunked\r\n\r\n4\r\npage\r\n0\r\n\r\n"
    before = b"HTTP/1.1 " + status + b"\r\n" + fields + b"\r\n\r\nevil"
    site.origin.says = lambda _: before + b"HTTP/1.1 200 OK\r\n" + page
    raw = await site.send(b"GET /page HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
    assert parsed(raw).status == 502
    assert b"evil" not in raw
    site.origin.says = echo
    assert (await site.ask()).body == b"GET a.example /page "


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_length_with_zeros_before_it_is_a_length(site, method) -> None:
    site.origin.says = lambda asked: (
        b"HTTP/1.1 200 OK\r\nContent-Length: 004\r\n\r\n" + b"page" * (asked.method != "HEAD")
    )
    got = await site.ask(method=method)
    assert (got.status, got.headers.all("content-length")) == (200, ["4"])


async def test_what_follows_an_answer_is_nobody_s_answer(site) -> None:
    """Response splitting: the origin wrote a visitor's line breaks into its answer."""
    site.origin.says = lambda _: answer(b"page") + answer(b"evil")
    assert (await site.ask("/page")).body == b"page"
    site.origin.says = echo
    assert (await site.ask("/other")).body == b"GET a.example /other "


# Amplification


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-,0-,0-,0-",
        "bytes=" + ",".join(["0-"] * 1000),
        "bytes=" + ",".join(f"{n}-{n + 1}" for n in range(100)),
        "bytes=-1,-2,-3",
        "bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(500)),
    ],
)
@pytest.mark.parametrize("stored", [False, True])
async def test_ranges_make_no_answer_longer_than_the_page(site, asked, stored) -> None:
    page = bytes(1000)
    site.origin.says = lambda asked: (
        answer(page * 1000) if "range" in asked.headers else answer(page)
    )
    if stored:
        await site.ask()
    got = await site.ask("/page", f"Range: {asked}")
    assert (got.status, got.body) == (200, page)
    assert len(site.origin.asked) == 1


async def test_few_ranges_are_bounded_too(site) -> None:
    """Sixteen parts cost their heads beside the page, and no more."""
    site.origin.says = lambda _: answer(bytes(1000))
    await site.ask()
    got = await site.ask("/page", "Range: bytes=" + ",".join(f"{2 * n}-{2 * n}" for n in range(16)))
    assert got.status == 206
    assert got.body.count(b"Content-Range") == 16
    assert len(got.body) < 16 * 150


# Purges from outside

PURGES = [
    ("POST", "/.blackstart/purge", ()),
    ("POST", "/.blackstart/purge", ("Authorization: Bearer",)),
    ("POST", "/.blackstart/purge", ("Authorization: Bearer wrong",)),
    ("POST", "/.blackstart/purge", ("Authorization: Basic c2VjcmV0",)),
    ("POST", "/%2eblackstart/purge", ()),
    ("POST", "/.blackstart/%70urge", ()),
    ("GET", "/.blackstart/purge", ("Authorization: Bearer secret",)),
    ("POST", "/.blackstart/purge?x", ("X-Forwarded-For: 127.0.0.1",)),
    ("POST", "http://a.example/.blackstart/purge", ()),
]


@pytest.mark.parametrize(("method", "target", "lines"), PURGES)
async def test_nobody_purges_without_the_token(site, method, target, lines) -> None:
    site.origin.says = lambda _: answer(b"page", FRESH + b"Cache-Tag: t\r\n")
    await site.ask()
    body = '{"tags": ["t"]}'
    raw = await site.send(
        "\r\n".join(
            [
                f"{method} {target} HTTP/1.1",
                "Host: a.example",
                *lines,
                "Connection: close",
                f"Content-Length: {len(body)}",
                "",
                body,
            ]
        ).encode()
    )
    assert parsed(raw).status in (401, 405)
    assert "hit" in (await site.ask()).cache_status
    assert len(site.origin.asked) == 1


@pytest.mark.parametrize("method", ["PURGE", "BAN", "REFRESH", "DELETE"])
async def test_a_method_purges_only_what_the_origin_let_it_change(site, method) -> None:
    """RFC 9111 section 4.4: what the origin refuses changes nothing."""
    await site.ask()
    site.origin.says = lambda _: answer(b"no", b"", b"405 Method Not Allowed")
    assert (await site.ask(method=method)).status == 405
    assert "hit" in (await site.ask()).cache_status


async def test_a_location_empties_no_other_site_s_cache(site) -> None:
    await site.ask(host="b.example")
    site.origin.says = lambda _: answer(b"", b"Location: http://b.example/page\r\n", b"201 Created")
    await site.ask(method="POST")
    assert "hit" in (await site.ask(host="b.example")).cache_status


def test_no_row_is_there_twice() -> None:
    rows = [re.sub(r"\s", "", row) for row in [*TOLD, *TARGETS]]
    assert len(set(rows)) == len(rows)
