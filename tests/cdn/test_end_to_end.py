"""One visit over real sockets: visitor, node and origin, each its own server."""

import asyncio
import socket
from contextlib import asynccontextmanager

import httpx2
import uvicorn

from blackstart.cdn.serving import serve_node
from blackstart.cdn.settings import CdnSettings

VERSIONS = {"/": b"first"}


async def origin_app(scope, receive, send) -> None:
    assert scope["type"] == "http"
    host = dict(scope["headers"])[b"host"]
    headers = [
        (b"cdn-cache-control", b"max-age=3600"),
        (b"cache-control", b"public, max-age=0, must-revalidate"),
        (b"cache-tag", b"site-1"),
        (b"blackstart-plan", b"pro"),
        (b"etag", b'"' + VERSIONS["/"] + b'"'),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part in (host, b" ", VERSIONS["/"]):
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})


@asynccontextmanager
async def serving(app, *, lifespan: str, own_headers: bool):
    """A real server on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        config = uvicorn.Config(
            app,
            lifespan=lifespan,
            log_level="warning",
            ws="none",
            date_header=own_headers,
            server_header=own_headers,
        )
        server = uvicorn.Server(config)
        running = asyncio.ensure_future(server.serve([bound]))
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running


@asynccontextmanager
async def node_at(settings):
    """A node on a port of its own, ended as SIGTERM ends it."""
    ready = asyncio.get_running_loop().create_future()
    with socket.create_server(("127.0.0.1", 0)) as bound:
        bound.setblocking(False)
        running = asyncio.ensure_future(serve_node(settings, bound, ready=ready.set_result))
        try:
            yield await ready
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_a_page_is_cached_purged_and_fetched_anew_over_real_sockets(tmp_path) -> None:
    async with serving(origin_app, lifespan="off", own_headers=True) as origin_url:
        settings = CdnSettings(
            origin_url=origin_url, purge_token="secret", node_name="n1", cache_dir=tmp_path
        )
        async with (
            node_at(settings) as node_url,
            httpx2.AsyncClient(base_url=node_url, headers={"Host": "site.example"}) as visitor,
        ):
            first = await visitor.get("/")
            assert first.content == b"site.example first"
            assert first.headers["cache-status"] == "n1; fwd=uri-miss; fwd-status=200; stored"
            assert first.headers.get_list("date") == [first.headers["date"]]
            assert "blackstart-plan" not in first.headers

            VERSIONS["/"] = b"second"
            held = await visitor.get("/")
            assert held.content == b"site.example first"
            assert held.headers["cache-status"].startswith("n1; hit; ttl=35")
            assert (await visitor.head("/")).headers["content-length"] == "18"
            asked = await visitor.get("/", headers={"If-None-Match": '"first"'})
            assert asked.status_code == 304

            purged = await visitor.post(
                "/.blackstart/purge",
                json={"tags": ["site-1"]},
                headers={"Authorization": "Bearer secret"},
            )
            assert purged.json() == {"purged": 1}
            assert (await visitor.get("/")).content == b"site.example second"
        async with (
            node_at(settings) as node_url,
            httpx2.AsyncClient(base_url=node_url, headers={"Host": "site.example"}) as visitor,
        ):
            again = await visitor.get("/")
            assert again.content == b"site.example second"
            assert again.headers["cache-status"].startswith("n1; hit"), "it outlives a restart"
        settings.node_lease_s = 60
        async with (
            node_at(settings) as node_url,
            httpx2.AsyncClient(base_url=node_url, headers={"Host": "site.example"}) as visitor,
        ):
            again = await visitor.get("/")
            assert again.headers["cache-status"].startswith("n1; fwd=stale"), (
                "who may have missed a purge asks first"
            )
