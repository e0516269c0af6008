"""Tests of a node as an ASGI application."""

import httpx2
import pytest

from blackstart.cdn.app import PURGE_LIMIT_BYTES, NodeApp
from blackstart.cdn.asgi import CdnApp, target_of
from blackstart.errors import HopError

TOKEN = {"Authorization": "Bearer secret"}
KEEP = {"cache_control": "max-age=60", "cache_tag": "site-1"}


@pytest.fixture
async def client(node):
    transport = httpx2.ASGITransport(CdnApp(NodeApp(node, "secret")))
    async with httpx2.AsyncClient(transport=transport, base_url="http://a.example") as client:
        yield client


async def test_a_visitor_reaches_the_origin_with_path_and_query_as_written(client, origin) -> None:
    origin.says()
    response = await client.get("/a%2Fb?q=%20")
    assert response.content == b"page"
    [request] = origin.requests
    assert (request.target, request.host) == ("/a%2Fb?q=%20", "a.example")


async def test_a_body_in_chunks_streams_through(client, origin, stream) -> None:
    source = stream([b"a", b"b"])
    origin.says(200, source)
    assert (await client.get("/")).content == b"ab"
    assert source.closed


async def test_a_body_that_breaks_off_breaks_the_connection(client, origin, stream) -> None:
    source = stream([b"a"], error=HopError("gone"))
    origin.says(200, source)
    with pytest.raises(HopError):
        await client.get("/")
    assert source.closed


async def test_a_purge_with_the_token_is_carried_out(client, origin) -> None:
    origin.says(**KEEP)
    await client.get("/")
    for expected in (1, 0):
        response = await client.post("/.blackstart/purge", json={"tags": ["site-1"]}, headers=TOKEN)
        assert (response.status_code, response.json()) == (200, {"purged": expected})


@pytest.mark.parametrize("presented", [None, "Bearer wrong", "secret", "Bearer \xe9", "Bearer "])
async def test_a_purge_without_the_token_is_refused(client, node, origin, presented) -> None:
    origin.says(**KEEP)
    await client.get("/")
    headers = {} if presented is None else {"Authorization": presented.encode("latin-1")}
    response = await client.post("/.blackstart/purge", json={"tags": ["site-1"]}, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert len(node.cache) == 1


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
async def test_the_scheme_of_a_token_has_no_case(client, scheme) -> None:
    headers = {"Authorization": f"{scheme} secret"}
    response = await client.post("/.blackstart/purge", json={"tags": []}, headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is no JSON"),
        (b"{}", "it names nothing"),
        (b"[]", "Input should be"),
        (b'{"tags": "a"}', "tags: Input should be a valid list"),
        (b'{"tags": [], "x": 1}', "x: Extra inputs are not permitted"),
        (b'{"urls": ["http://a.example/", "/b"]}', "urls.1: not the URL of a page"),
        (b'{"tags": [], "\\ud800": 1}', "Input should be a valid string"),
        (b'{"tags": [], "\\n": 1}', "Extra inputs are not permitted"),
    ],
)
async def test_a_purge_that_makes_no_sense_is_refused_with_the_reason(client, body, reason) -> None:
    response = await client.post("/.blackstart/purge", content=body, headers=TOKEN)
    assert response.status_code == 400
    assert response.text.startswith(f"400 Bad Request: {reason}")
    assert response.text.endswith('or {"everything": true}\n')
    assert response.text.count("\n") == 1


async def test_without_a_token_nobody_purges(node) -> None:
    transport = httpx2.ASGITransport(CdnApp(NodeApp(node, None)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://a.example") as client:
        response = await client.post("/.blackstart/purge", json={"tags": []}, headers=TOKEN)
    assert response.status_code == 403


async def test_an_order_to_purge_is_bounded(client) -> None:
    huge = b"x" * (PURGE_LIMIT_BYTES + 1)
    response = await client.post("/.blackstart/purge", content=huge, headers=TOKEN)
    assert response.status_code == 413


async def test_the_node_tells_its_health_and_its_metrics(client) -> None:
    assert (await client.get("/.blackstart/healthz")).json() == {"status": "ok", "node": "n1"}
    assert "blackstart_cdn_hits_total" in (await client.get("/.blackstart/metrics")).text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/.blackstart/purge", 405),
        ("POST", "/.blackstart/healthz", 405),
        ("GET", "/.blackstart/other", 404),
        ("GET", "/%2Eblackstart/other", 404),
    ],
)
async def test_the_reserved_paths_never_reach_the_origin(
    client, origin, method, path, status
) -> None:
    assert (await client.request(method, path)).status_code == status
    assert origin.requests == []


async def test_a_target_that_is_no_path_is_refused(node) -> None:
    sent = []

    async def send(event) -> None:
        sent.append(event)

    scope = {
        "type": "http",
        "method": "OPTIONS",
        "path": "*",
        "raw_path": b"*",
        "query_string": b"",
        "headers": [(b"host", b"a.example")],
    }
    await CdnApp(NodeApp(node, "secret"))(scope, None, send)
    assert sent[0]["status"] == 400


def test_a_server_that_gives_no_raw_path_gets_it_quoted() -> None:
    assert target_of({"path": "/a b", "query_string": b""}) == "/a%20b"


async def test_the_end_of_the_server_frees_the_hop(node, origin) -> None:
    events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = []

    async def receive():
        return events.pop(0)

    async def send(event) -> None:
        sent.append(event["type"])

    await CdnApp(NodeApp(node, "secret"))({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert origin.closed
