"""What a node does to requests and answers that it passes on (RFC 9110 section 7.6, RFC 8586)."""

import pytest

from blackstart.cdn.message import Headers, Request

FRESH = {"cache-control": "max-age=100"}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_via_names_the_version_that_the_request_came_in(bench, version) -> None:
    """Section 7.6.3."""
    bench.says(200, FRESH)
    before = Headers([("via", "1.1 other")])
    await bench.node.answer(Request("GET", "/", "a.example", before, version=version))
    sent = bench.origin.requests[-1].headers
    assert sent.joined("via") == f"1.1 other, {version} n1"


async def test_an_answer_keeps_the_via_it_came_with(bench) -> None:
    bench.says(200, {**FRESH, "via": "1.1 other"})
    for _ in range(2):
        assert (await bench.visit()).headers.all("via") == ["1.1 other"]


@pytest.mark.parametrize(
    ("mark", "loops"),
    [
        ("blackstart;id=n1", True),
        ("other, blackstart;id=n1", True),
        ("blackstart;id=n10", False),
        ("xblackstart;id=n1", False),
        ("n1", False),
    ],
)
async def test_a_loop_is_known_by_the_whole_mark(bench, mark, loops) -> None:
    """RFC 8586 section 2: what others wrote is kept, and the node's own is added."""
    bench.says(200, FRESH)
    response = await bench.visit({"cdn-loop": mark})
    assert (response.status == 508) is loops
    if not loops:
        sent = bench.origin.requests[-1].headers
        assert sent.joined("cdn-loop") == f"{mark}, blackstart;id=n1"


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
@pytest.mark.parametrize(
    ("left", "sent"),
    [("5", "4"), ("1", "0"), ("x", "x"), ("-1", "-1"), (None, None)],
)
async def test_max_forwards_is_counted_down(bench, method, left, sent) -> None:
    """Section 7.6.2."""
    bench.says(200)
    fields = {} if left is None else {"max-forwards": left}
    await bench.visit(fields, method=method)
    assert bench.origin.requests[-1].headers.get("max-forwards") == sent


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 204), ("TRACE", 405)])
async def test_at_zero_a_request_goes_no_further(bench, method, status) -> None:
    response = await bench.visit({"max-forwards": "0"}, method=method)
    assert (response.status, bench.asked) == (status, 0)


@pytest.mark.parametrize("method", ["GET", "POST", "FOO"])
async def test_other_methods_may_go_any_way(bench, method) -> None:
    bench.says(200)
    await bench.visit({"max-forwards": "0"}, method=method)
    assert bench.origin.requests[-1].headers.get("max-forwards") == "0"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("stored", [False, True])
async def test_a_get_with_content_goes_by_the_cache(bench, method, stored) -> None:
    """RFC 9110 section 9.3.1: content has no meaning there; an origin may give it one."""
    if stored:
        bench.says(200, FRESH, b"right")
        await bench.visit()
    bench.says(200, FRESH, b"wrong")
    response = await bench.visit(method=method, body=b"q=1")
    assert bench.origin.requests[-1].body == b"q=1"
    assert "fwd=bypass" in (response.headers.get("cache-status") or "")
    bench.says(200, FRESH, b"right")
    assert (await bench.visit()).body == b"right"


@pytest.mark.parametrize("method", ["get", "Head"])
async def test_methods_are_told_apart_by_case(bench, method) -> None:
    """Section 9.1."""
    bench.says(200, FRESH)
    await bench.visit()
    await bench.visit(method=method)
    assert bench.origin.requests[-1].method == method


@pytest.mark.parametrize("status", [200, 301, 404])
async def test_unknown_fields_go_both_ways(bench, status) -> None:
    """Section 5.1."""
    bench.says(status, {**FRESH, "x-answer": "1"})
    response = await bench.visit({"x-question": "2"})
    assert bench.origin.requests[-1].headers.get("x-question") == "2"
    assert response.headers.get("x-answer") == "1"


async def test_nothing_is_transformed(bench) -> None:
    """Section 7.7: content, its type and its coding stay what they were."""
    fields = {
        "cache-control": "max-age=100, no-transform",
        "content-type": "text/html; charset=latin-1",
        "content-encoding": "gzip",
        "etag": '"1"',
    }
    bench.says(200, fields, b"\x1f\x8b\xff")
    for _ in range(2):
        response = await bench.visit({"accept-encoding": "br"}, target="//a/../b%2f?x=%20")
        assert response.body == b"\x1f\x8b\xff"
        assert {name: response.headers.get(name) for name in fields} == fields
    assert [request.target for request in bench.origin.requests] == ["//a/../b%2f?x=%20"]
