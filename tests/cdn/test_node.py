"""Tests of a node: what visitors get, and when the origin is asked."""

import contextlib

import pytest

from blackstart.cdn.disk import DiskTier
from blackstart.cdn.message import Headers, Request, Response
from blackstart.cdn.node import DAY_S, Node
from blackstart.cdn.store import Cache
from blackstart.errors import HopError

PAGE = Request("GET", "/", "a.example")
KEEP = {"cdn_cache_control": "max-age=60", "cache_control": "max-age=0", "cache_tag": "Site-1, d-1"}


def get(**fields: str) -> Request:
    return Request(
        "GET", "/", "a.example", Headers((k.replace("_", "-"), v) for k, v in fields.items())
    )


def status_of(response: Response) -> str | None:
    return response.headers.get("cache-status")


async def test_the_second_visitor_gets_the_stored_copy(node, origin, clock) -> None:
    origin.says(404, b"gone", **KEEP)
    first = await node.handle(PAGE)
    clock.advance(7)
    second = await node.handle(PAGE)
    assert status_of(first) == "n1; fwd=miss; fwd-status=404; stored"
    assert status_of(second) == "n1; hit"
    assert second.headers.get("age") == "7"
    assert (second.status, second.body) == (404, b"gone")
    assert len(origin.requests) == 1


async def test_what_the_origin_says_to_nodes_never_leaves_the_node(node, origin) -> None:
    origin.says(**KEEP, blackstart_plan="enterprise")
    for response in (await node.handle(PAGE), await node.handle(PAGE)):
        assert "blackstart-plan" not in response.headers
        assert "cdn-cache-control" not in response.headers
        assert response.headers.get("cache-control") == "max-age=0"
    assert node.cache.memory.quotas.used_bytes("enterprise") > 0
    assert node.cache.memory.quotas.used_bytes("free") == 0


async def test_an_answer_without_a_lifetime_is_not_stored(node, origin) -> None:
    origin.says()
    await node.handle(PAGE)
    response = await node.handle(PAGE)
    assert status_of(response) == "n1; fwd=miss; fwd-status=200"
    assert len(origin.requests) == 2


async def test_sites_never_share_a_page(node, origin) -> None:
    origin.answer = lambda request: Response(
        200, Headers([("cache-control", "max-age=60")]), request.host.encode()
    )
    for host in ("a.example", "b.example", "a.example", "b.example"):
        assert (await node.handle(Request("GET", "/", host))).body == host.encode()
    assert len(origin.requests) == 2


async def test_head_is_answered_from_a_stored_get(node, origin) -> None:
    origin.says(**KEEP)
    await node.handle(PAGE)
    response = await node.handle(Request("HEAD", "/", "a.example"))
    assert status_of(response) == "n1; hit"
    assert response.body == b""
    assert response.headers.get("content-length") == "4"


async def test_a_visitor_who_holds_the_page_gets_304(node, origin) -> None:
    origin.says(**KEEP, etag='"1"')
    asked = get(if_none_match='"1"')
    first, second = await node.handle(asked), await node.handle(asked)
    assert (first.status, second.status) == (304, 304)
    assert second.body == b""
    assert status_of(second) == "n1; hit"
    assert (await node.handle(get(if_none_match='"2"'))).status == 200
    assert "if-none-match" not in origin.requests[0].headers, "the node wants the page itself"


async def test_an_expired_copy_is_confirmed_with_its_entity_tag(node, origin, clock) -> None:
    origin.says(**KEEP, etag='"1"')
    await node.handle(PAGE)
    clock.advance(60)
    origin.says(304, b"", **KEEP, etag='"1"')
    confirmed = await node.handle(PAGE)
    assert origin.requests[1].headers.get("if-none-match") == '"1"'
    assert (confirmed.status, confirmed.body) == (200, b"page")
    assert status_of(confirmed) == "n1; fwd=stale; fwd-status=304"
    clock.advance(59)
    assert status_of(await node.handle(PAGE)) == "n1; hit"


async def test_an_expired_copy_is_replaced_by_a_newer_page(node, origin, clock) -> None:
    origin.says(**KEEP, etag='"1"')
    await node.handle(PAGE)
    clock.advance(60)
    origin.says(200, b"newer", **KEEP, etag='"2"')
    assert status_of(await node.handle(PAGE)) == "n1; fwd=stale; fwd-status=200; stored"
    assert (await node.handle(PAGE)).body == b"newer"


async def test_a_304_for_another_version_confirms_nothing(node, origin, clock) -> None:
    origin.says(**KEEP, etag='"1"')
    await node.handle(PAGE)
    clock.advance(60)
    answers = [
        Response(304, Headers([("etag", '"2"')])),
        Response(200, Headers([("etag", '"2"')]), b"newer"),
    ]
    origin.answer = lambda _request: answers.pop(0)
    assert (await node.handle(PAGE)).body == b"newer"


async def test_a_304_that_forbids_storing_ends_the_stored_copy(node, origin, clock) -> None:
    origin.says(**KEEP, etag='"1"')
    await node.handle(PAGE)
    clock.advance(60)
    origin.says(304, b"", cache_control="no-store")
    assert (await node.handle(PAGE)).body == b"page"
    assert len(node.cache) == 0


async def test_a_304_changes_what_it_says_and_leaves_the_rest(node, origin, clock) -> None:
    origin.says(**KEEP, etag='"1"', x_build="1", blackstart_plan="enterprise")
    await node.handle(PAGE)
    clock.advance(60)
    origin.says(304, b"", x_build="2", content_length="0", set_cookie="a=1")
    await node.handle(PAGE)
    held = await node.handle(PAGE)
    assert status_of(held) == "n1; hit"
    assert held.headers.joined("x-build") == "2"
    assert held.headers.joined("content-length") == "4"
    assert "set-cookie" not in held.headers
    assert node.cache.memory.quotas.used_bytes("free") == 0, "it stays with its plan"


@pytest.mark.parametrize("failure", [HopError("down"), Response(503), Response(500)])
async def test_a_failing_origin_is_covered_by_the_stale_copy(node, origin, clock, failure) -> None:
    origin.says(**KEEP)
    await node.handle(PAGE)
    clock.advance(60 + DAY_S - 1)
    origin.answer = failure
    response = await node.handle(PAGE)
    assert (response.status, response.body) == (200, b"page")
    assert status_of(response) == "n1; hit; fwd=stale"
    clock.advance(1)
    assert (await node.handle(PAGE)).status >= 500, "a day past its lifetime is the limit"


async def test_the_body_of_an_error_that_is_covered_is_closed(node, origin, clock, stream) -> None:
    origin.says(**KEEP)
    await node.handle(PAGE)
    clock.advance(60)
    source = stream([b"sorry"])
    origin.says(503, source)
    assert (await node.handle(PAGE)).body == b"page"
    assert source.closed


async def test_without_the_safeguard_an_error_is_passed_on(node, origin, clock) -> None:
    origin.says(**KEEP)
    await node.handle(PAGE)
    clock.advance(60)
    node.stale_if_error = False
    origin.says(503, b"sorry")
    response = await node.handle(PAGE)
    assert (response.status, response.body) == (503, b"sorry")
    assert status_of(response) == "n1; fwd=stale; fwd-status=503"


async def test_a_404_is_no_error_that_a_stale_copy_covers(node, origin, clock) -> None:
    origin.says(**KEEP)
    await node.handle(PAGE)
    clock.advance(60)
    origin.says(404, b"not here")
    assert (await node.handle(PAGE)).status == 404
    origin.answer = HopError("down")
    assert (await node.handle(PAGE)).status == 502, "the 404 proved the copy wrong"


async def test_an_origin_that_gives_no_answer_becomes_a_502_in_one_line(node, origin) -> None:
    origin.answer = HopError("connection refused by 10.0.0.1")
    response = await node.handle(PAGE)
    assert response.status == 502
    assert response.body == b"502 Bad Gateway: node n1 got no answer from its origin\n"
    assert response.headers.get("content-type") == "text/plain; charset=utf-8"


async def test_a_body_that_breaks_off_is_never_stored_or_served(node, origin, stream) -> None:
    origin.says(200, stream([b"half"], error=HopError("gone")), **KEEP)
    assert (await node.handle(PAGE)).status == 502
    origin.says(200, b"half", **KEEP, content_length="8")
    assert (await node.handle(PAGE)).status == 502
    assert len(node.cache) == 0


@pytest.mark.parametrize("length", [{}, {"content_length": "1600"}])
async def test_a_large_body_streams_through_and_is_not_stored(node, origin, stream, length) -> None:
    source = stream([b"x" * 800, b"y" * 800])
    origin.says(200, source, **KEEP, **length)
    response = await node.handle(PAGE)
    assert not isinstance(response.body, bytes)
    assert len(source.chunks) == (2 if length else 0), "an announced size needs no reading ahead"
    assert b"".join([chunk async for chunk in response.body]) == b"x" * 800 + b"y" * 800
    assert status_of(response) == "n1; fwd=miss; fwd-status=200"
    assert len(node.cache) == 0


async def test_a_body_that_nobody_will_read_is_closed(node, origin, stream) -> None:
    source = stream([b"page"])
    origin.says(200, source)
    await node.handle(Request("HEAD", "/", "a.example"))
    assert source.closed


async def test_a_purge_drops_what_carries_the_tag(node, origin) -> None:
    origin.says(**KEEP)
    await node.handle(PAGE)
    assert await node.purge(["other"]) == 0
    assert await node.purge(["SITE-1", "d-1"]) == 1
    assert status_of(await node.handle(PAGE)) == "n1; fwd=miss; fwd-status=200; stored"
    assert await node.purge_all() == 1


async def test_a_purge_during_a_miss_keeps_the_older_page_out(node, origin) -> None:
    origin.says(200, b"older", **KEEP)
    origin.meanwhile = lambda: node.purge(["site-1"])
    assert status_of(await node.handle(PAGE)) == "n1; fwd=miss; fwd-status=200"
    origin.meanwhile = None
    origin.says(200, b"newer", **KEEP)
    assert (await node.handle(PAGE)).body == b"newer"


@pytest.mark.parametrize(
    "answer",
    [
        Response(304),
        Response(304, Headers([("cache-tag", "renamed")])),
        Response(503),
        HopError("down"),
    ],
)
async def test_a_purge_during_a_confirmation_does_not_bring_the_copy_back(
    node, origin, clock, answer
) -> None:
    origin.says(**KEEP, etag='"1"')
    await node.handle(PAGE)
    clock.advance(60)
    origin.answer = answer
    origin.meanwhile = lambda: node.purge(["site-1"])
    response = await node.handle(PAGE)
    assert status_of(response) != "n1; hit; fwd=stale"
    assert len(node.cache) == 0


async def test_a_write_goes_to_the_origin_and_ends_the_stored_page(node, origin) -> None:
    origin.says(**KEEP)
    await node.handle(PAGE)
    response = await node.handle(Request("POST", "/", "a.example", body=b"form"))
    assert origin.requests[-1].body == b"form"
    assert status_of(response) == "n1; fwd=method; fwd-status=200"
    assert len(node.cache) == 0


async def test_a_write_that_failed_leaves_the_stored_page(node, origin) -> None:
    origin.says(**KEEP)
    await node.handle(PAGE)
    origin.says(403)
    await node.handle(Request("DELETE", "/", "a.example"))
    origin.answer = HopError("down")
    assert (await node.handle(Request("PUT", "/", "a.example"))).status == 502
    assert status_of(await node.handle(PAGE)) == "n1; hit"


@pytest.mark.parametrize("name", ["authorization", "range", "if_match"])
async def test_a_request_only_the_origin_can_answer_bypasses_the_cache(node, origin, name) -> None:
    origin.says(**KEEP)
    await node.handle(PAGE)
    response = await node.handle(get(**{name: "x"}))
    assert status_of(response) == "n1; fwd=bypass; fwd-status=200"
    assert name.replace("_", "-") in origin.requests[-1].headers


async def test_variants_are_stored_apart(node, origin) -> None:
    origin.answer = lambda request: Response(
        200,
        Headers([("cache-control", "max-age=60"), ("vary", "Accept-Language")]),
        (request.headers.get("accept-language") or "none").encode(),
    )
    for _ in range(2):
        for language in ("de", "fr"):
            response = await node.handle(get(accept_language=language))
            assert response.body == language.encode()
        assert (await node.handle(PAGE)).body == b"none"
    assert len(origin.requests) == 3


async def test_a_page_that_begins_to_vary_is_found_again(node, origin, clock) -> None:
    origin.says(200, b"plain", cache_control="max-age=60")
    await node.handle(get(accept="x"))
    clock.advance(60)
    origin.says(200, b"varied", cache_control="max-age=60", vary="accept")
    await node.handle(get(accept="x"))
    response = await node.handle(get(accept="x"))
    assert (status_of(response), response.body) == ("n1; hit", b"varied")
    assert status_of(await node.handle(get(accept="y"))) != "n1; hit"


async def test_an_origin_is_told_who_asks(node, origin) -> None:
    origin.says()
    await node.handle(PAGE)
    await node.handle(Request("POST", "/", "a.example"))
    assert [request.headers.get("via") for request in origin.requests] == ["1.1 n1", "1.1 n1"]


async def test_nothing_is_left_of_a_fetch_however_it_ends(node, origin) -> None:
    for answer in (Response(200), HopError("down"), ZeroDivisionError()):
        origin.answer = answer
        with contextlib.suppress(ZeroDivisionError):
            await node.handle(PAGE)
    assert not node.cache._fetches


async def test_a_busy_free_site_never_pushes_an_enterprise_page_out(clock, origin) -> None:
    node = Node(clock, origin, Cache({"free": 2000, "enterprise": 2000}), name="n1")
    origin.says(**KEEP, blackstart_plan="enterprise")
    await node.handle(PAGE)
    origin.says(**KEEP)
    for number in range(20):
        await node.handle(Request("GET", f"/{number}", "free.example"))
    assert status_of(await node.handle(PAGE)) == "n1; hit"
    text = node.metrics.text().decode()
    assert 'blackstart_cdn_evictions_total{plan="free",tier="memory"} 17.0' in text
    assert 'evictions_total{plan="enterprise"' not in text


async def test_a_restarted_node_asks_before_it_trusts_its_disk(tmp_path, clock, origin) -> None:
    def restarted() -> Node:
        quotas = {"free": 100_000}
        disk = DiskTier(tmp_path, quotas, clock)
        return Node(clock, origin, Cache(quotas, disk=disk), name="n1")

    node = restarted()
    await node.start()
    origin.says(**KEEP, etag='"1"')
    await node.handle(PAGE)
    await node.close()
    assert origin.closed
    node = restarted()
    await node.start()
    origin.says(304, b"", etag='"1"')
    assert status_of(await node.handle(PAGE)) == "n1; fwd=stale; fwd-status=304"
    assert status_of(await node.handle(PAGE)) == "n1; hit"
    await node.close()
    node = restarted()
    await node.start()
    origin.answer = HopError("down")
    assert status_of(await node.handle(PAGE)) == "n1; hit; fwd=stale"
    assert await node.purge(["site-1"]) == 1
    await node.close()


async def test_everything_is_counted(node, origin, clock) -> None:
    origin.says(**KEEP, blackstart_plan="enterprise")
    await node.handle(PAGE)
    await node.handle(PAGE)
    clock.advance(60)
    origin.answer = HopError("down")
    await node.handle(PAGE)
    text = node.metrics.text().decode()
    for line in (
        'hits_total{plan="enterprise"} 1.0',
        'misses_total{plan="enterprise"} 1.0',
        'stale_total{plan="enterprise"} 1.0',
        'sent_bytes_total{plan="enterprise"} 12.0',
        'errors_total{kind="hop"} 1.0',
    ):
        assert f"blackstart_cdn_{line}" in text
