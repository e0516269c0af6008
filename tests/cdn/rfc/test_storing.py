"""What may be stored, and which fields of it (RFC 9111 sections 3, 5.2.1.5, 5.2.2, 7.3)."""

from dataclasses import replace

import pytest

FRESH = "max-age=3600"


@pytest.mark.parametrize(
    ("value", "reused"),
    [
        ("no-store", False),
        ("no-store, max-age=3600", False),
        ("No-StOrE, max-age=3600", False),
        ("max-age=3600, no-store", False),
        ("private, max-age=3600", False),
        ("PrIvAtE, max-age=3600", False),
        ("private, s-maxage=3600", False),
        ("no-cache, max-age=3600", False),
        ("No-CaChE, max-age=3600", False),
        ("must-revalidate, max-age=3600", True),
        ("proxy-revalidate, max-age=3600", True),
        ("no-transform, max-age=3600", True),
        # A cache that understands the status code ignores no-store (5.2.2.3).
        ("must-understand, no-store, max-age=3600", True),
        # An argument where none belongs changes nothing.
        ('no-store="foo", max-age=3600', False),
        # The qualified forms let the rest be kept (5.2.2.4, 5.2.2.7).
        ('no-cache="x-a", max-age=3600', True),
        ('private="x-a", max-age=3600', True),
        ("private=x-a, max-age=3600", True),
        # What names no field is the unqualified form.
        ('no-cache="", max-age=3600', False),
        ('private="@", max-age=3600', False),
    ],
)
async def test_response_directives(is_reused, value, reused) -> None:
    assert await is_reused({"cache-control": value}) is reused


async def test_must_understand_with_an_unknown_status(is_reused) -> None:
    assert not await is_reused({"cache-control": "must-understand, max-age=3600"}, status=299)


@pytest.mark.parametrize("status", [200, 206, 301, 307, 400, 403, 404, 409, 451, 500, 503, 504])
async def test_must_understand_with_a_known_status(is_reused, status) -> None:
    """Section 5.2.2.3: errors have no caching requirements that could be missed."""
    fields = {"cache-control": "must-understand, no-store, max-age=3600"}
    if status == 206:
        fields |= {"content-range": "bytes 0-3/10"}
    asking = {"range": "bytes=0-3"} if status == 206 else {}
    assert await is_reused(fields, status=status, asking=asking)


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "DELETE", "TRACE", "HEAD", "FOO"])
async def test_only_answers_to_get_are_stored(is_reused, method) -> None:
    assert not await is_reused({"cache-control": FRESH}, method=method)


@pytest.mark.parametrize("status", [101, 304])
async def test_what_is_no_whole_answer_is_not_stored(is_reused, status) -> None:
    assert not await is_reused({"cache-control": FRESH}, status=status)


@pytest.mark.parametrize("status", [412, 413, 416, 417, 428, 429, 431, 511])
async def test_what_is_about_one_request_is_not_stored(is_reused, status) -> None:
    """RFC 6585 sections 3 to 6 forbid it for four of these; the others would mislead as well."""
    assert not await is_reused({"cache-control": FRESH}, status=status)


async def test_no_store_in_a_request(is_reused) -> None:
    """Section 5.2.1.5: nothing of the exchange is kept, though what is stored may be used."""
    assert not await is_reused(
        {"cache-control": FRESH}, asking={"cache-control": "no-store"}, then={}
    )
    assert await is_reused({"cache-control": FRESH}, then={"cache-control": "no-store"})


async def test_what_varies_on_what_only_the_origin_sees_is_not_stored(bench) -> None:
    """The hop tells the origin of the visitor, whose request has no such field."""
    varying = {"cache-control": FRESH, "vary": "Accept, X-Forwarded-For"}
    assert await bench.is_reused(varying)
    bench.node.policy = replace(bench.node.policy, told=frozenset({"x-forwarded-for"}))
    assert not await bench.is_reused(varying)
    assert await bench.is_reused({"cache-control": FRESH, "vary": "Accept"})


@pytest.mark.parametrize(
    ("value", "reused"),
    [
        ("max-age=3600", False),
        ("public, max-age=3600", True),
        ("s-maxage=3600", True),
        ("must-revalidate, max-age=3600", True),
        ("proxy-revalidate, max-age=3600", False),
    ],
)
async def test_authorization(is_reused, value, reused) -> None:
    """Section 3.5."""
    authorized = {"authorization": "Basic eA=="}
    assert await is_reused({"cache-control": value}, asking=authorized) is reused


async def test_who_shows_credentials_gets_only_what_is_meant_for_all(is_reused) -> None:
    authorized = {"authorization": "Basic eA=="}
    assert not await is_reused({"cache-control": FRESH}, then=authorized)
    assert await is_reused({"cache-control": f"public, {FRESH}"}, then=authorized)


async def test_a_cookie_is_one_visitor_s_unless_the_origin_says_how_long_it_may_be_kept(
    is_reused, bench
) -> None:
    """Section 7.3: Set-Cookie does not forbid storing, but a guess is no permission."""
    cookie = ("set-cookie", "a=b")
    old = ("last-modified", "Wed, 01 Jan 2014 00:00:00 GMT")
    assert not await is_reused([cookie, old])
    assert await is_reused([cookie, ("cache-control", FRESH)])
    assert not await is_reused([cookie, ("cache-control", "private, max-age=3600")])


async def test_end_to_end_fields_are_stored_in_order(bench) -> None:
    fields = [("cache-control", FRESH), ("x-one", "1"), ("x-two", "2"), ("x-one", "3")]
    bench.says(200, fields)
    await bench.visit()
    stored = await bench.visit()
    assert [pair for pair in stored.headers if pair[0].startswith("x-")] == fields[1:]
    assert bench.asked == 1


@pytest.mark.parametrize(
    "name",
    [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-listed",
    ],
)
async def test_fields_of_one_connection_are_not_stored(bench, name) -> None:
    """Section 3.1; RFC 9110 section 7.6.1."""
    fields = [("cache-control", FRESH), ("connection", "x-listed"), (name, "value")]
    bench.says(200, fields)
    await bench.visit()
    stored = await bench.visit()
    assert bench.asked == 1
    assert name not in stored.headers


@pytest.mark.parametrize("directive", ['no-cache="X-A, x-b"', 'private="x-a,X-B"', "private=x-a"])
async def test_named_fields_are_not_stored(bench, directive) -> None:
    """Sections 5.2.2.4 and 5.2.2.7."""
    bench.says(200, {"cache-control": f"{directive}, {FRESH}", "x-a": "1", "x-c": "3"})
    first = await bench.visit()
    assert first.headers.get("x-a") == "1", "the first visitor's own"
    stored = await bench.visit()
    assert "x-a" not in stored.headers
    assert stored.headers.get("x-c") == "3"
    assert bench.asked == 1


@pytest.mark.parametrize("sent", [{}, {"date": "what"}, {"date": ""}])
async def test_date_is_added_where_it_lacks(bench, sent) -> None:
    """RFC 9110 section 6.6.1."""
    bench.says(200, {"cache-control": FRESH, **sent})
    await bench.visit()
    bench.clock.advance(5)
    assert (await bench.visit()).headers.all("date") == ["Thu, 02 Feb 2017 01:46:40 GMT"]


async def test_an_incomplete_response_is_not_stored(bench) -> None:
    """Section 3.3."""
    bench.says(200, {"cache-control": FRESH, "content-length": "10"}, b"short")
    assert (await bench.visit()).status == 502
    await bench.visit()
    assert bench.asked == 2


@pytest.mark.parametrize("target", ["/", "/?", "/?a=1", "/?a=2", "/A", "/a", "/%61", "//a"])
async def test_the_whole_target_is_the_key(bench, target) -> None:
    """Section 2. No spelling is taken for another, as an origin may tell them apart."""
    bench.says(200, {"cache-control": FRESH})
    await bench.visit(target="/other")
    await bench.visit(target=target)
    assert bench.asked == 2
    await bench.visit(target=target)
    assert bench.asked == 2
    await bench.visit(target=target, host="b.example")
    assert bench.asked == 3
