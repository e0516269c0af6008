"""Tests of the pages that tell what a node has stored."""

import httpx2
import pytest

from blackstart.cdn import pages
from blackstart.cdn.app import NodeApp
from blackstart.cdn.asgi import CdnApp
from blackstart.cdn.message import Headers, Request

KEEP = {"cache_control": "max-age=60", "cache_tag": "Site-1", "etag": '"1"'}


@pytest.fixture
async def client(node):
    transport = httpx2.ASGITransport(CdnApp(NodeApp(node, "secret")))
    async with httpx2.AsyncClient(
        transport=transport,
        base_url="http://n1/.blackstart/",
        headers={"Authorization": "Bearer secret"},
    ) as client:
        yield client


async def visit(node, target, host="a.example", **fields) -> None:
    pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
    await node.answer(Request("GET", target, host, Headers(pairs)))


async def entry(client, target="/", **more):
    response = await client.get("entry", params={"host": "A.example", "target": target, **more})
    assert response.status_code == 200
    return response.json()


@pytest.mark.parametrize("page", ["entries", "entry?host=a&target=/"])
async def test_what_is_stored_is_told_to_those_with_the_token_only(client, node, page) -> None:
    refused = await client.get(page, headers={"Authorization": "Bearer wrong"})
    assert refused.status_code == 401
    assert "a.example" not in refused.text
    assert (await client.post(page)).status_code == 405
    transport = httpx2.ASGITransport(CdnApp(NodeApp(node, None)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://n1") as anybody:
        assert (await anybody.get(f"/.blackstart/{page}")).status_code == 403


async def test_an_entry_is_listed_with_all_that_is_known(client, node, origin, clock) -> None:
    origin.says(body=b"12345", **KEEP, vary="Accept-Language", blackstart_plan="enterprise")
    await visit(node, "/x?y", accept_language="de")
    clock.advance(20)
    assert (await client.get("entries")).json() == {
        "entries": [
            {
                "host": "a.example",
                "target": "/x?y",
                "status": 200,
                "size": 5,
                "age_s": 20.0,
                "ttl_s": 40.0,
                "fresh": True,
                "stale": False,
                "plan": "enterprise",
                "tags": ["site-1"],
                "vary": {"accept-language": "de"},
                "part": None,
                "memory": True,
                "disk": False,
            }
        ],
        "next": None,
        "held": 1,
    }


async def test_a_long_list_comes_in_pages_that_split_no_variants(
    client, node, origin, monkeypatch
) -> None:
    monkeypatch.setattr(pages, "AT_ONCE", 3)
    origin.says(**KEEP, vary="Accept-Language")
    for language in ("de", "en"):
        for number in range(5):
            await visit(node, f"/{number}", accept_language=language)
    seen, after, turns = [], "", 0
    while after is not None:
        answer = (await client.get("entries", params={"limit": 2, "after": after})).json()
        seen += [(each["target"], each["vary"]["accept-language"]) for each in answer["entries"]]
        after, turns = answer["next"], turns + 1
    assert turns == 3
    assert len(seen) == len(set(seen)) == 10
    assert [target for target, _ in seen] == sorted(target for target, _ in seen)


async def test_a_list_may_be_of_a_part_of_a_site(client, node, origin) -> None:
    origin.says(**KEEP)
    for target in ("/blog/1", "/blog/2", "/shop"):
        await visit(node, target)
        await visit(node, target, "b.example")
    answer = (await client.get("entries", params={"prefix": "a.example/blog/"})).json()
    assert [each["target"] for each in answer["entries"]] == ["/blog/1", "/blog/2"]
    assert {each["host"] for each in answer["entries"]} == {"a.example"}
    assert answer["held"] == 6


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "unknown=1",
        "=",
        "prefix=%ff",
        "nothing",
    ],
)
async def test_a_list_that_makes_no_sense_is_refused_in_one_line(client, query) -> None:
    response = await client.get(f"entries?{query}")
    assert response.status_code == 400
    assert response.text.startswith("400 Bad Request: ")
    assert response.text.count("\n") == 1


@pytest.mark.parametrize("query", ["", "host=a", "host=&target=/", "host=a&target=x"])
async def test_a_look_at_no_page_is_refused(client, query) -> None:
    assert (await client.get(f"entry?{query}")).status_code == 400


@pytest.mark.parametrize("field", ["x", ": y", "a b: c", "a: b\r\nc: d"])
async def test_a_look_with_a_field_that_is_none_is_refused(client, field) -> None:
    response = await client.get("entry", params={"host": "a", "target": "/", "header": field})
    assert response.status_code == 400


async def test_a_page_that_is_not_stored_would_be_fetched(client) -> None:
    assert await entry(client) == {
        "node": "n1",
        "host": "a.example",
        "target": "/",
        "now": "fwd=uri-miss: ask the origin",
        "variants": [],
    }


async def test_a_look_tells_why_a_copy_is_fresh_and_when_it_is_not(
    client, node, origin, clock
) -> None:
    origin.says(**{**KEEP, "cache_control": "max-age=60, stale-while-revalidate=10"})
    await visit(node, "/")
    clock.advance(59)
    found = await entry(client)
    [variant] = found["variants"]
    assert found["now"] == "hit: send the copy from memory"
    assert variant["because"] == "fresh for another 1 s of 60 s"
    assert ["cache-control", "max-age=60, stale-while-revalidate=10"] in variant["headers"]
    clock.advance(2)
    found = await entry(client)
    [variant] = found["variants"]
    assert found["now"] == "hit: send the stale copy from memory, and ask the origin meanwhile"
    assert variant["because"] == "its lifetime of 60 s is over: it is 61 s old"
    assert (variant["fresh"], variant["covers_errors"]) == (False, True)
    clock.advance(10)
    asks = "fwd=stale: ask the origin whether the copy is still right"
    assert (await entry(client))["now"] == asks


@pytest.mark.parametrize(
    ("control", "because", "rules"),
    [
        (
            "no-cache, max-age=60",
            "no-cache: the origin has to confirm it each time",
            ["never reused without the origin's consent", "stale only as the origin allows"],
        ),
        (
            "public, max-age=60, must-revalidate",
            "fresh for another 60 s of 60 s",
            ["stale only as the origin allows", "may answer requests with Authorization"],
        ),
    ],
)
async def test_a_look_tells_the_rules_that_the_origin_made(
    client, node, origin, control, because, rules
) -> None:
    origin.says(**{**KEEP, "cache_control": control})
    await visit(node, "/")
    [variant] = (await entry(client))["variants"]
    assert (variant["because"], variant["rules"]) == (because, rules)


@pytest.mark.parametrize(
    ("fields", "by"),
    [
        ({"cdn_cache_control": "max-age=9", "cache_control": "max-age=60"}, "CDN-Cache-Control"),
        ({"cache_control": "s-maxage=60", "expires": "0"}, "Cache-Control"),
        ({"cache_control": "public", "expires": "0"}, "Expires"),
        ({"last_modified": "Thu, 02 Feb 2017 01:00:00 GMT"}, "Last-Modified"),
        ({}, None),
    ],
)
async def test_a_look_tells_which_field_the_lifetime_is_from(
    client, node, origin, fields, by
) -> None:
    origin.says(etag='"1"', **fields)
    await visit(node, "/")
    [variant] = (await entry(client))["variants"]
    assert variant["lifetime_by"] == by


async def test_a_look_at_what_a_soft_purge_left(client, node, origin) -> None:
    origin.says(**KEEP)
    await visit(node, "/")
    await node.purge(["site-1"], soft=True)
    [variant] = (await entry(client))["variants"]
    assert variant["stale"]
    assert variant["because"] == "marked stale: the origin has to confirm it"


async def test_a_look_may_ask_with_fields(client, node, origin) -> None:
    origin.says(**KEEP, vary="Accept-Language")
    await visit(node, "/", accept_language="de")
    assert (await entry(client))["now"] == "fwd=vary-miss: ask the origin"
    german = await entry(client, header="Accept-Language: de")
    assert german["now"] == "hit: send the copy from memory"
    refused = await entry(client, header=["Accept-Language: fr", "Cache-Control: only-if-cached"])
    assert refused["now"].startswith("504: ")
    own = await entry(client, header="If-Match: x")
    assert own["now"] == "fwd=bypass: ask the origin"
    assert origin.requests[1:] == [], "a look asks nobody"
