"""Tests of `detail` in Cache-Status: in one word, why the cache did not help."""

from __future__ import annotations

import http_sf
import pytest

from blackstart.cdn.hop.failures import broken_off, no_answer, timed_out, unanswered, unreachable
from blackstart.cdn.hop.guarded import ShutError
from blackstart.cdn.message import Headers, Request, Response

PAGE = Request("GET", "/", "a.example")


def told(response: Response) -> dict[str, object]:
    [(_, parameters)] = http_sf.parse(
        response.headers.joined("cache-status").encode(), tltype="list"
    )
    return parameters


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"cache_control": "no-store"}, "no-store"),
        ({"cache_control": "private, max-age=9"}, "private"),
        ({"cache_control": "max-age=9", "vary": "*"}, "vary"),
        ({"set_cookie": "a=b"}, "set-cookie"),
        ({}, "no-lifetime"),
        ({"cache_control": "no-cache"}, "no-validator"),
        ({"cache_control": "no-cache, max-age=9"}, "no-validator"),
        ({"cache_control": "max-age=0, must-revalidate"}, "no-lifetime"),
        ({"cdn_cache_control": "no-store", "cache_control": "max-age=9"}, "no-store"),
    ],
)
async def test_an_answer_that_is_not_kept_says_why(node, origin, fields, word) -> None:
    origin.says(**fields)
    said = told(await node.answer(PAGE))
    assert (str(said["detail"]), "stored" in said) == (word, False)
    assert len(node.cache) == 0


@pytest.mark.parametrize(
    ("status", "fields", "word"),
    [
        (429, {"cache_control": "max-age=9"}, "status"),
        (202, {}, "no-lifetime"),
        (299, {"cache_control": "max-age=9, must-understand"}, "must-understand"),
    ],
)
async def test_nor_is_one_with_such_a_status(node, origin, status, fields, word) -> None:
    origin.says(status, **fields)
    assert str(told(await node.answer(PAGE))["detail"]) == word


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (Request("HEAD", "/", "a.example"), "head"),
        (Request("GET", "/", "a.example", Headers([("authorization", "x")])), "authorization"),
        (
            Request("GET", "/", "a.example", Headers([("cache-control", "no-store")])),
            "request-no-store",
        ),
    ],
)
async def test_the_request_may_be_why(node, origin, request_, word) -> None:
    origin.says(cache_control="max-age=9")
    assert str(told(await node.answer(request_))["detail"]) == word


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"etag": '"1"'}, "no-lifetime"),
        ({"cache_control": "max-age=0", "etag": '"1"'}, "no-lifetime"),
        ({"cache_control": "no-cache, max-age=9", "etag": '"1"'}, "no-cache"),
        ({"cache_control": "max-age=9", "age": "9"}, "aged"),
    ],
)
async def test_nor_does_a_kept_one_help_that_has_to_be_confirmed(
    node, origin, fields, word
) -> None:
    origin.says(**fields)
    said = told(await node.answer(PAGE))
    assert (str(said["detail"]), said.get("stored")) == (word, True)


@pytest.mark.parametrize(
    "failure",
    [
        unreachable("refused"),
        unanswered("closed"),
        timed_out("30 s", head_came=False),
        broken_off("closed"),
        no_answer("nonsense"),
        ShutError("left alone", 5.0),
    ],
)
async def test_a_page_that_the_origin_owes_says_how_it_failed(node, origin, failure) -> None:
    origin.answer = failure
    response = await node.answer(PAGE)
    said = told(response)
    assert (str(said["detail"]), "fwd-status" in said) == (failure.kind, False)
    posted = told(await node.answer(Request("POST", "/", "a.example")))
    assert str(posted["detail"]) == failure.kind
    origin.says(503)
    assert "detail" not in told(await node.answer(PAGE)), "the origin's own error says enough"


@pytest.mark.parametrize(("wait_s", "said"), [(4.2, "5"), (5.0, "5"), (0.1, "1")])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_who_comes_while_the_origin_is_left_alone_hears_when_to_come_back(
    node, origin, method, wait_s, said
) -> None:
    """RFC 9110 sections 10.2.3 and 15.6.4."""
    origin.answer = ShutError("left alone", wait_s)
    response = await node.answer(Request(method, "/", "a.example"))
    assert (response.status, response.headers.joined("retry-after")) == (503, said)
    origin.answer = unreachable("refused")
    response = await node.answer(Request(method, "/", "a.example"))
    assert (response.status, "retry-after" in response.headers) == (502, False)
