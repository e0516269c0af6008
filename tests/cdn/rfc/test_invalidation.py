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
        ("http://a.example:81/made", True),
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
