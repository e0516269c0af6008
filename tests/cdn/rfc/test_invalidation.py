"""What unsafe requests make invalid (RFC 9111 section 4.4)."""

import pytest

FRESH = {"cache-control": "max-age=100"}


async def is_still_stored(bench, target: str = "/", host: str = "a.example") -> bool:
    before = bench.asked
    bench.says(200, FRESH)
    await bench.visit(target=target, host=host)
    return bench.asked == before


async def fill(bench, *targets: str, host: str = "a.example") -> None:
    bench.says(200, FRESH)
    for target in targets:
        await bench.visit(target=target, host=host)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "FOO"])
@pytest.mark.parametrize(("status", "stored"), [(200, False), (204, False), (302, False)]
                         + [(status, True) for status in (400, 403, 404, 500, 503)])  # fmt: skip
async def test_an_unsafe_method(bench, method, status, stored) -> None:
    await fill(bench, "/")
    bench.says(status)
    await bench.visit(method=method, body=b"x")
    assert await is_still_stored(bench) is stored


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
async def test_a_safe_method(bench, method) -> None:
    await fill(bench, "/")
    bench.says(200, {"location": "/", "content-location": "/"})
    await bench.visit(method=method, target="/other")
    await bench.visit(method=method if method != "HEAD" else "OPTIONS")
    assert await is_still_stored(bench)


@pytest.mark.parametrize("field", ["location", "content-location"])
@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("/made", False),
        ("http://a.example/made", False),
        ("http://A.EXAMPLE/made", False),
        ("made", False),
        ("../made", False),
        ("/made#there", False),
        ("/other", True),
        ("http://b.example/made", True),
        ("http://a.example:80/made", False),
        ("https://a.example:443/made", False),
        ("http://a.example:81/made", True),
        ("http://a.example:443/made", True),
        ("http://[", True),
    ],
)
async def test_where_the_answer_points(bench, field, value, stored) -> None:
    await fill(bench, "/made")
    bench.says(201, {field: value})
    await bench.visit(method="POST", target="/form")
    assert await is_still_stored(bench, "/made") is stored


async def test_nobody_empties_another_site_s_cache(bench) -> None:
    await fill(bench, "/", host="b.example")
    bench.says(201, {"location": "http://b.example/"})
    await bench.visit(method="POST")
    assert await is_still_stored(bench, host="b.example")


async def test_all_variants_become_invalid(bench) -> None:
    bench.says(200, {**FRESH, "vary": "foo"})
    for value in "12":
        await bench.visit({"foo": value})
    await bench.visit(method="POST")
    before = bench.asked
    for value in "12":
        await bench.visit({"foo": value})
    assert bench.asked == before + 2


async def test_a_fetch_under_way_is_not_stored_after_a_write(bench) -> None:
    bench.says(200, FRESH, b"older")

    async def write() -> None:
        bench.origin.meanwhile = None
        await bench.visit(method="POST", body=b"x")

    bench.origin.meanwhile = write
    await bench.visit()
    assert not await is_still_stored(bench)


# Answers to POST that are kept for GET (RFC 9110 section 9.3.3)


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"content-location": "/form"}, True),
        ({"content-location": "http://a.example/form"}, True),
        ({}, False),
        ({"content-location": "/other"}, False),
        ({"content-location": "http://b.example/form"}, False),
        ({"content-location": "/form", "cache-control": "public"}, False),
        ({"content-location": "/form", "cache-control": "max-age=0"}, False),
        ({"content-location": "/form", "cache-control": "private, max-age=9"}, False),
        ({"content-location": "/form", "set-cookie": "a=b"}, False),
        ({"content-location": "/form", "vary": "*"}, False),
    ],
)
async def test_the_answer_to_a_post_that_says_it_is_the_page_is_kept(bench, fields, kept) -> None:
    await fill(bench, "/form")
    bench.says(200, {**FRESH, **fields}, b"posted")
    await bench.visit(method="POST", target="/form", body=b"x")
    bench.says(200, FRESH, b"page")
    asked = bench.asked
    response = await bench.visit(target="/form")
    assert (response.body, bench.asked) == ((b"posted", asked) if kept else (b"page", asked + 1))


@pytest.mark.parametrize(("status", "method"), [(201, "POST"), (404, "POST"), (200, "PUT")])
async def test_no_other_answer_to_a_write_is_kept(bench, status, method) -> None:
    bench.says(status, {**FRESH, "content-location": "/"}, b"posted")
    await bench.visit(method=method, body=b"x")
    bench.says(200, FRESH, b"page")
    assert (await bench.visit()).body == b"page"


@pytest.mark.parametrize("purged", ["tag", "key", "all", "written"])
async def test_a_purge_while_it_was_under_way_keeps_the_answer_to_a_post_out(bench, purged) -> None:
    async def meanwhile() -> None:
        bench.origin.meanwhile = None
        if purged == "tag":
            await bench.node.purge(["site-1"])
        elif purged == "key":
            await bench.node.purge_keys(["a.example /"])
        elif purged == "all":
            await bench.node.purge_all()
        else:
            await bench.visit(method="PUT", body=b"y")

    bench.says(200, {**FRESH, "content-location": "/", "cache-tag": "site-1"}, b"posted")
    bench.origin.meanwhile = meanwhile
    await bench.visit(method="POST", body=b"x")
    bench.says(200, FRESH, b"page")
    assert (await bench.visit()).body == b"page"


async def test_what_nodes_alone_may_see_is_not_kept_of_the_answer_to_a_post(bench) -> None:
    bench.says(200, {**FRESH, "content-location": "/", "blackstart-plan": "pro"}, b"posted")
    for method in ("POST", "GET"):
        response = await bench.visit(method=method)
        assert "blackstart-plan" not in response.headers
