"""Tests of a node: what visitors get, and when the origin is asked."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from blackstart.cdn.message import Headers, Request, Response
from blackstart.cdn.node import Node
from blackstart.cdn.rules.policy import DAY_S, Policy
from blackstart.cdn.storage.cache import Cache
from blackstart.errors import HopError

PAGE = Request("GET", "/", "a.example")
KEEP = {"cdn_cache_control": "max-age=60", "cache_control": "max-age=0", "cache_tag": "Site-1, d-1"}


def get(**fields: str) -> Request:
    return Request(
        "GET", "/", "a.example", Headers((k.replace("_", "-"), v) for k, v in fields.items())
    )


def status_of(response: Response) -> str | None:
    return response.headers.get("cache-status")


async def body_of(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([chunk async for chunk in response.body])


async def test_the_second_visitor_gets_the_stored_copy(node, origin, clock) -> None:
    origin.says(404, b"gone", **KEEP)
    first = await node.answer(PAGE)
    clock.advance(7)
    second = await node.answer(PAGE)
    assert status_of(first) == "n1; fwd=uri-miss; fwd-status=404; stored"
    assert status_of(second) == "n1; hit; ttl=53"
    assert second.headers.get("age") == "7"
    assert (second.status, second.body) == (404, b"gone")
    assert len(origin.requests) == 1


async def test_a_fresh_page_in_memory_needs_no_waiting(node, origin, clock) -> None:
    origin.says(**KEEP)
    assert node.quick(PAGE) is None
    await node.answer(PAGE)
    quick = node.quick(PAGE)
    assert (quick.status, quick.body) == (200, b"page")
    assert quick.headers == (await node.answer(PAGE)).headers
    assert node.quick(replace(PAGE, method="HEAD")).body == b""
    assert node.quick(get(cache_control="no-cache")) is None
    assert node.quick(get(if_none_match="*")).status == 304
    clock.advance(60)
    assert node.quick(PAGE) is None
    assert len(origin.requests) == 1


async def test_which_plan_a_site_has_never_leaves_the_node(node, origin) -> None:
    origin.says(**KEEP, blackstart_plan="enterprise")
    for response in (await node.answer(PAGE), await node.answer(PAGE)):
        assert "blackstart-plan" not in response.headers
        assert response.headers.get("cache-control") == "max-age=0"
    assert node.cache.memory.quotas.used_bytes("enterprise") > 0
    assert node.cache.memory.quotas.used_bytes("free") == 0


async def test_sites_never_share_a_page(node, origin) -> None:
    origin.answer = lambda request: Response(
        200, Headers([("cache-control", "max-age=60")]), request.host.encode()
    )
    for _ in range(2):
        for host in ("a.example", "b.example"):
            assert (await node.answer(replace(PAGE, host=host))).body == host.encode()


async def test_a_body_streams_to_all_who_wait_and_is_then_stored(node, origin, stream) -> None:
    origin.says(200, stream([b"one ", b"two"]), **KEEP, content_length="7")
    answers = await asyncio.gather(*(node.answer(PAGE) for _ in range(5)))
    assert [await body_of(answer) for answer in answers] == [b"one two"] * 5
    assert len(origin.requests) == 1
    assert [status_of(a) for a in answers].count("n1; fwd=uri-miss; fwd-status=200; stored") == 1
    assert sum("collapsed" in status_of(a) for a in answers) == 4
    assert status_of(await node.answer(PAGE)) == "n1; hit; ttl=60"


async def test_a_slow_visitor_does_not_hold_up_the_others(node, origin, stream) -> None:
    origin.says(200, stream([b"x" * 300] * 3), **KEEP)
    slow, fast = await asyncio.gather(node.answer(PAGE), node.answer(PAGE))
    first = await anext(aiter(slow.body))
    assert await body_of(fast) == b"x" * 900
    assert first + await body_of(slow) == b"x" * 900


async def test_an_error_is_not_multiplied(node, origin) -> None:
    origin.says(503, b"sorry", cache_control="no-store")
    answers = await asyncio.gather(*(node.answer(PAGE) for _ in range(5)))
    assert [answer.status for answer in answers] == [503] * 5
    assert len(origin.requests) == 1
    assert sum(answer.body == b"sorry" for answer in answers) == 1, "what is private stays so"
    origin.answer = HopError("down")
    answers = await asyncio.gather(*(node.answer(PAGE) for _ in range(5)))
    assert [answer.status for answer in answers] == [502] * 5
    assert len(origin.requests) == 2


async def test_an_answer_for_one_is_not_given_to_those_who_waited(node, origin) -> None:
    count = iter(range(9))
    origin.answer = lambda request: Response(
        200, Headers([("cache-control", "private")]), str(next(count)).encode()
    )
    answers = await asyncio.gather(*(node.answer(PAGE) for _ in range(4)))
    assert sorted(answer.body for answer in answers) == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("later_s", [11, pytest.param(-3600, id="the clock is set back")])
async def test_nobody_waits_twice_for_what_is_private(node, origin, clock, later_s) -> None:
    origin.says(200, b"mine", cache_control="private")
    await node.answer(PAGE)
    origin.meanwhile = asyncio.Barrier(3).wait
    async with asyncio.timeout(5):
        await asyncio.gather(*(node.answer(PAGE) for _ in range(3)))
    origin.meanwhile = None
    origin.says(200, b"ours", **KEEP)
    clock.advance(later_s)
    await asyncio.gather(*(node.answer(PAGE) for _ in range(3)))
    assert len(origin.requests) == 1 + 3 + 1, "later it is tried again"


async def test_those_who_waited_for_another_variant_ask_for_their_own(node, origin) -> None:
    origin.answer = lambda request: Response(
        200,
        Headers([("cache-control", "max-age=60"), ("vary", "accept-language")]),
        request.headers.get("accept-language").encode(),
    )
    languages = ["de", "fr", "de", "fr"]
    asked = [node.answer(get(accept_language=language)) for language in languages]
    answers = await asyncio.gather(*asked)
    assert [answer.body.decode() for answer in answers] == languages
    assert len(origin.requests) == 2


async def test_those_who_want_different_variants_do_not_wait_for_one_another(node, origin) -> None:
    languages = ["de", "en", "fr", "it"]
    origin.answer = lambda request: Response(
        200,
        Headers([("cache-control", "max-age=60"), ("vary", "accept-language")]),
        request.headers.get("accept-language").encode(),
    )
    all_others_asked = asyncio.Event()

    async def meanwhile() -> None:
        if len(origin.requests) == len(languages):
            all_others_asked.set()
        if len(origin.requests) > 1:
            await all_others_asked.wait()

    origin.meanwhile = meanwhile
    asked = [node.answer(get(accept_language=language)) for language in languages]
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*asked)
    assert [answer.body.decode() for answer in answers] == languages
    assert len(origin.requests) == len(languages)


async def test_a_visitor_who_leaves_takes_nobody_along(node, origin, stream) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def meanwhile() -> None:
        arrived.set()
        await go_on.wait()

    origin.meanwhile = meanwhile
    origin.says(200, b"page", **KEEP)
    leaver = asyncio.ensure_future(node.answer(PAGE))
    await arrived.wait()
    stayer = asyncio.ensure_future(node.answer(PAGE))
    await asyncio.sleep(0)
    leaver.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leaver
    go_on.set()
    assert (await stayer).body == b"page"
    assert len(origin.requests) == 1


async def test_a_body_nobody_waits_for_any_more_is_closed(node, origin, clock, stream) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def meanwhile() -> None:
        arrived.set()
        await go_on.wait()

    origin.meanwhile = meanwhile
    source = stream([b"page"])
    origin.says(200, source, cache_control="private")
    leaver = asyncio.ensure_future(node.answer(PAGE))
    await arrived.wait()
    leaver.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leaver
    go_on.set()
    await asyncio.gather(*clock.spawned)
    assert source.closed


@pytest.mark.parametrize("failure", [HopError("down"), Response(503), Response(500)])
async def test_a_failing_origin_is_covered_by_the_stale_copy(node, origin, clock, failure) -> None:
    origin.says(**KEEP)
    await node.answer(PAGE)
    clock.advance(60 + DAY_S - 1)
    origin.answer = failure
    response = await node.answer(PAGE)
    assert (response.status, response.body) == (200, b"page")
    assert status_of(response).startswith("n1; fwd=stale")
    assert status_of(response).endswith("detail=stale-if-error")
    clock.advance(1)
    assert (await node.answer(PAGE)).status >= 500, "a day past its lifetime is the limit"


async def test_the_body_of_an_error_that_is_covered_is_closed(node, origin, clock, stream) -> None:
    origin.says(**KEEP)
    await node.answer(PAGE)
    clock.advance(60)
    source = stream([b"sorry"])
    origin.says(503, source)
    assert (await node.answer(PAGE)).body == b"page"
    assert source.closed


async def test_without_the_safeguard_an_error_is_passed_on(node, origin, clock) -> None:
    origin.says(**KEEP)
    await node.answer(PAGE)
    clock.advance(60)
    node.policy = Policy(stale_if_error=False)
    origin.says(503, b"sorry")
    response = await node.answer(PAGE)
    assert (response.status, response.body) == (503, b"sorry")
    assert status_of(response) == "n1; fwd=stale; fwd-status=503"


async def test_a_404_is_no_error_that_a_stale_copy_covers(node, origin, clock) -> None:
    origin.says(**KEEP)
    await node.answer(PAGE)
    clock.advance(60)
    origin.says(404, b"not here", cache_control="no-store")
    assert (await node.answer(PAGE)).status == 404
    origin.answer = HopError("down")
    assert (await node.answer(PAGE)).status == 502, "the 404 proved the copy wrong"


async def test_an_origin_that_gives_no_answer_becomes_a_502_in_one_line(node, origin) -> None:
    origin.answer = HopError("connection refused by 10.0.0.1")
    response = await node.answer(PAGE)
    assert response.status == 502
    assert response.body == b"502 Bad Gateway: no answer from the origin (node n1)\n"
    assert response.headers.get("content-type") == "text/plain; charset=utf-8"


async def test_a_body_that_breaks_off_breaks_off_and_is_not_stored(node, origin, stream) -> None:
    origin.says(200, stream([b"half"], error=HopError("gone")), **KEEP)
    response = await node.answer(PAGE)
    with pytest.raises(HopError):
        await body_of(response)
    origin.says(200, b"half", **KEEP, content_length="8")
    assert (await node.answer(PAGE)).status == 502
    assert len(node.cache) == 0


@pytest.mark.parametrize("length", [{}, {"content_length": "1600"}])
async def test_a_large_body_streams_through_and_is_not_stored(node, origin, stream, length) -> None:
    source = stream([b"x" * 800, b"y" * 800])
    origin.says(200, source, **KEEP, **length)
    response = await node.answer(PAGE)
    assert status_of(response) == "n1; fwd=uri-miss; fwd-status=200; detail=too-long"
    assert await body_of(response) == b"x" * 800 + b"y" * 800
    assert len(node.cache) == 0


async def test_a_body_too_large_to_keep_that_comes_at_once_has_its_length(node, origin) -> None:
    origin.says(200, b"x" * 5000, cache_control="max-age=60")
    for count in (1, 2):
        response = await node.answer(PAGE)
        assert (response.headers.all("content-length"), response.body) == (["5000"], b"x" * 5000)
        assert len(origin.requests) == count


async def test_a_purge_drops_what_carries_the_tag(node, origin) -> None:
    origin.says(**KEEP)
    await node.answer(PAGE)
    assert await node.purge(["other"]) == 0
    assert await node.purge(["SITE-1", "d-1"]) == 1
    assert status_of(await node.answer(PAGE)) == "n1; fwd=uri-miss; fwd-status=200; stored"
    assert await node.purge_all() == 1


async def test_a_soft_purge_leaves_a_copy_for_bad_times(node, origin) -> None:
    origin.says(**KEEP)
    await node.answer(PAGE)
    assert await node.purge(["site-1"], soft=True) == 1
    origin.answer = HopError("down")
    response = await node.answer(PAGE)
    assert response.body == b"page"
    assert status_of(response) == "n1; fwd=stale; detail=stale-if-error"


@pytest.mark.parametrize("wish", ["max-stale", "max-stale=3600", "max-stale, only-if-cached"])
async def test_no_wish_of_a_visitor_brings_out_what_a_soft_purge_left(node, origin, wish) -> None:
    origin.says(200, b"older", **KEEP)
    await node.answer(PAGE)
    await node.purge(["site-1"], soft=True)
    origin.says(200, b"newer", **KEEP)
    asking = replace(PAGE, headers=Headers([("cache-control", wish)]))
    assert node.quick(asking) is None
    assert (await node.answer(asking)).body != b"older"


async def test_a_purge_during_a_miss_keeps_the_older_page_out(node, origin) -> None:
    origin.says(200, b"older", **KEEP)
    origin.meanwhile = lambda: node.purge(["site-1"])
    assert status_of(await node.answer(PAGE)).endswith("; fwd-status=200; detail=purged")
    origin.meanwhile = None
    origin.says(200, b"newer", **KEEP)
    assert (await node.answer(PAGE)).body == b"newer"


async def test_nobody_joins_a_fetch_that_began_before_a_purge(node, origin) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def meanwhile() -> None:
        arrived.set()
        await go_on.wait()

    origin.meanwhile = meanwhile
    origin.says(200, b"older", **KEEP)
    before = asyncio.ensure_future(node.answer(PAGE))
    await arrived.wait()
    origin.meanwhile = None
    await node.purge(["site-1"])
    older = origin.answer
    origin.says(200, b"newer", **KEEP)
    assert (await node.answer(PAGE)).body == b"newer"
    origin.answer = older
    go_on.set()
    assert (await before).body == b"older"
    assert (await node.answer(PAGE)).body == b"newer", "what was older is not stored"


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
    await node.answer(PAGE)
    clock.advance(60)
    answers = iter([answer])
    whole = Response(200, Headers([("cache-control", "no-store")]), b"newer")
    origin.answer = lambda request: _given(next(answers, whole))
    origin.meanwhile = lambda: node.purge(["site-1"])
    response = await node.answer(PAGE)
    assert "stale-if-error" not in status_of(response)
    assert response.body != b"page"
    assert len(node.cache) == 0


def _given(answer: Response | Exception) -> Response:
    if isinstance(answer, Exception):
        raise answer
    return answer


async def test_a_request_only_the_origin_can_judge_bypasses_the_cache(node, origin) -> None:
    origin.says(**KEEP)
    await node.answer(PAGE)
    response = await node.answer(get(if_match='"1"'))
    assert status_of(response) == "n1; fwd=bypass; fwd-status=200"
    assert "if-match" in origin.requests[-1].headers


async def test_a_page_that_begins_to_vary_is_found_again(node, origin, clock) -> None:
    origin.says(200, b"plain", cache_control="max-age=60")
    await node.answer(get(accept="x"))
    clock.advance(60)
    origin.says(200, b"varied", cache_control="max-age=60", vary="accept")
    await node.answer(get(accept="x"))
    response = await node.answer(get(accept="x"))
    assert (status_of(response), response.body) == ("n1; hit; ttl=60", b"varied")
    assert status_of(await node.answer(get(accept="y"))).startswith("n1; fwd=vary-miss")


async def test_an_origin_is_told_who_asks(node, origin) -> None:
    origin.says()
    await node.answer(PAGE)
    await node.answer(Request("POST", "/", "a.example"))
    assert [request.headers.get("via") for request in origin.requests] == ["1.1 n1", "1.1 n1"]


async def test_a_request_that_comes_back_is_a_loop(node, origin) -> None:
    origin.says()
    await node.answer(PAGE)
    assert (await node.answer(origin.requests[0])).status == 508
    assert len(origin.requests) == 1


async def test_a_condition_asked_twice_is_worth_a_copy(node, origin) -> None:
    def answer(request: Request) -> Response:
        fields = Headers([("etag", '"1"'), ("cache-control", "max-age=60")])
        if request.headers.get("if-none-match") == '"1"':
            return Response(304, fields)
        return Response(200, fields, b"page")

    origin.answer = answer
    for _ in range(3):
        assert (await node.answer(get(if_none_match='"1"'))).status == 304
    assert len(origin.requests) == 2
    assert (await node.answer(PAGE)).body == b"page"
    assert len(origin.requests) == 2


async def test_nothing_is_left_of_a_fetch_however_it_ends(node, origin, clock) -> None:
    for answer in (Response(200), HopError("down"), ZeroDivisionError()):
        origin.answer = answer
        with contextlib.suppress(ZeroDivisionError):
            await node.answer(PAGE)
    await asyncio.gather(*clock.spawned)
    assert not node.cache._fetches


async def test_a_busy_free_site_never_pushes_an_enterprise_page_out(clock, origin) -> None:
    node = Node(clock, origin, Cache(clock, {"free": 20_000, "enterprise": 20_000}), name="n1")
    origin.says(**KEEP, blackstart_plan="enterprise")
    await node.answer(PAGE)
    origin.says(**KEEP)
    for number in range(60):
        await node.answer(Request("GET", f"/{number}", "free.example"))
    assert status_of(await node.answer(PAGE)) == "n1; hit; ttl=60"
    text = node.metrics.text().decode()
    assert 'blackstart_cdn_evictions_total{plan="free",tier="memory"}' in text
    assert 'evictions_total{plan="enterprise"' not in text


async def test_everything_is_counted(node, origin, clock) -> None:
    origin.says(**KEEP, blackstart_plan="enterprise")
    await node.answer(PAGE)
    await node.answer(PAGE)
    clock.advance(60)
    origin.answer = HopError("down")
    await node.answer(PAGE)
    text = node.metrics.text().decode()
    for line in (
        'hits_total{plan="enterprise"} 1.0',
        'misses_total{plan="enterprise"} 1.0',
        'stale_total{plan="enterprise"} 1.0',
        'sent_bytes_total{plan="enterprise"} 12.0',
        'errors_total{kind="hop"} 1.0',
        "origin_seconds_count 1.0",
        "entries 1.0",
    ):
        assert f"blackstart_cdn_{line}" in text
