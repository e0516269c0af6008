"""Tests of the origin over HTTP, in this process: what a visitor gets, and what is counted."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from tests.conftest import manifest_of

from blackstart.errors import StorageError
from blackstart.model import Context, Deploy, Plan, Site, Tree
from blackstart.origin import Origin
from blackstart.origin.answers import WHOLE_BYTES
from blackstart.store import ObjectStore
from blackstart.store.objects import blob_key, one_chunk, tree_key

if TYPE_CHECKING:
    from tests.conftest import Bench, Client

HOME = b"<h1>home</h1>"
GONE = b"<h1>gone</h1>"
LARGE = bytes(range(256)) * (WHOLE_BYTES // 256 + 1)
FILES = {
    "index.html": HOME,
    "about.html": b"about us",
    "blog/index.html": b"the blog",
    "empty.txt": b"",
    "large.bin": LARGE,
}


def etag_of(data: bytes) -> str:
    return f'"{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"'


@pytest.fixture
async def site(bench: Bench) -> Site:
    return await bench.site("docs", plan=Plan.ENTERPRISE)


@pytest.fixture
async def deploy(bench: Bench, site: Site) -> Deploy:
    return await bench.release(site, FILES)


@pytest.fixture
def origin(bench: Bench) -> Origin:
    return bench.origin()


@pytest.fixture
def visitor(origin: Origin, client_of: Client) -> httpx2.AsyncClient:
    return client_of(origin)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", HOME),
        ("/index.html", HOME),
        ("/about", b"about us"),
        ("/about/", b"about us"),
        ("/blog", b"the blog"),
        ("/blog/", b"the blog"),
        ("/empty.txt", b""),
        ("/large.bin", LARGE),
    ],
)
async def test_a_published_file_is_served_byte_for_byte(
    visitor: httpx2.AsyncClient, deploy: Deploy, path: str, expected: bytes
) -> None:
    answer = await visitor.get(path)
    assert (answer.status_code, answer.content) == (200, expected)
    assert answer.headers["content-length"] == str(len(expected))
    assert answer.headers["etag"] == etag_of(expected)


async def test_an_answer_says_what_it_is_and_who_may_keep_it(
    visitor: httpx2.AsyncClient, site: Site, deploy: Deploy
) -> None:
    headers = (await visitor.get("/")).headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert headers["cdn-cache-control"] == "public, max-age=31536000"
    assert headers["cache-tag"] == f"site-{site.id},deploy-{deploy.id}"
    assert headers["blackstart-plan"] == "enterprise"
    assert headers["accept-ranges"] == "bytes"


async def test_the_sites_own_404_page_comes_with_status_404(
    bench: Bench, site: Site, visitor: httpx2.AsyncClient
) -> None:
    await bench.release(site, {"index.html": HOME, "404.html": GONE})
    answer = await visitor.get("/nothing")
    assert (answer.status_code, answer.content) == (404, GONE)
    assert answer.headers["cdn-cache-control"] == "public, max-age=60"
    conditional = {"if-none-match": etag_of(GONE), "range": "bytes=0-1"}
    again = await visitor.get("/nothing", headers=conditional)
    assert (again.status_code, again.content) == (404, GONE)
    assert (await visitor.get("/404.html")).status_code == 200


async def test_a_path_that_is_not_in_the_tree_is_404_and_not_the_platforms_fault(
    visitor: httpx2.AsyncClient, origin: Origin, deploy: Deploy
) -> None:
    answer = await visitor.get("/nothing")
    assert answer.status_code == 404
    assert answer.headers["cdn-cache-control"] == "no-store"
    assert (origin.metrics.total(), origin.metrics.failed()) == (1, 0)


@pytest.mark.parametrize(
    "field", [etag_of(HOME), f"W/{etag_of(HOME)}", "*", f'"x", {etag_of(HOME)}']
)
async def test_what_the_client_has_already_is_304_without_bytes(
    visitor: httpx2.AsyncClient, deploy: Deploy, field: str
) -> None:
    answer = await visitor.get("/", headers={"if-none-match": field})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == etag_of(HOME)
    assert "cache-tag" in answer.headers


async def test_what_the_client_has_is_old_after_the_next_publish(
    bench: Bench, site: Site, visitor: httpx2.AsyncClient, deploy: Deploy
) -> None:
    await bench.release(site, {"index.html": b"new"})
    answer = await visitor.get("/", headers={"if-none-match": etag_of(HOME)})
    assert (answer.status_code, answer.content) == (200, b"new")


@pytest.mark.parametrize("path", ["/", "/large.bin", "/nothing"])
async def test_head_is_get_without_the_bytes(
    visitor: httpx2.AsyncClient, deploy: Deploy, path: str
) -> None:
    head, get = await visitor.head(path), await visitor.get(path)
    assert head.content == b""
    assert (head.status_code, dict(head.headers)) == (get.status_code, dict(get.headers))


async def test_head_has_no_ranges(visitor: httpx2.AsyncClient, deploy: Deploy) -> None:
    """RFC 9110 section 14.2: a range is defined for GET alone."""
    answer = await visitor.head("/", headers={"range": "bytes=0-1"})
    assert answer.status_code == 200
    assert answer.headers["content-length"] == str(len(HOME))


@pytest.mark.parametrize(("path", "data"), [("/", HOME), ("/large.bin", LARGE)])
@pytest.mark.parametrize(
    ("field", "start", "end"), [("0-0", 0, 1), ("3-", 3, None), ("-4", -4, None)]
)
async def test_a_range_is_206_with_exactly_those_bytes(
    visitor: httpx2.AsyncClient,
    deploy: Deploy,
    path: str,
    data: bytes,
    field: str,
    start: int,
    end: int | None,
) -> None:
    answer = await visitor.get(path, headers={"range": f"bytes={field}"})
    expected = data[start:end]
    first = data.index(expected) if start >= 0 else len(data) + start
    assert (answer.status_code, answer.content) == (206, expected)
    assert answer.headers["content-length"] == str(len(expected))
    assert (
        answer.headers["content-range"] == f"bytes {first}-{first + len(expected) - 1}/{len(data)}"
    )


@pytest.mark.parametrize("path", ["/", "/empty.txt", "/large.bin"])
async def test_a_range_behind_the_end_is_416_and_says_how_long_the_file_is(
    visitor: httpx2.AsyncClient, deploy: Deploy, path: str
) -> None:
    answer = await visitor.get(path, headers={"range": "bytes=999999999-"})
    assert (answer.status_code, answer.content) == (416, b"")
    size = len(FILES[path.lstrip("/") or "index.html"])
    assert answer.headers["content-range"] == f"bytes */{size}"


@pytest.mark.parametrize("field", ["bytes=4-2", "bytes=0-1,4-5", "lines=1-2"])
async def test_a_range_that_makes_no_sense_is_ignored(
    visitor: httpx2.AsyncClient, deploy: Deploy, field: str
) -> None:
    answer = await visitor.get("/", headers={"range": field})
    assert (answer.status_code, answer.content) == (200, HOME)


@pytest.mark.parametrize(
    ("field", "status"), [(etag_of(HOME), 206), ('"other"', 200), (f"W/{etag_of(HOME)}", 200)]
)
async def test_a_range_is_only_for_the_version_that_if_range_names(
    visitor: httpx2.AsyncClient, deploy: Deploy, field: str, status: int
) -> None:
    answer = await visitor.get("/", headers={"range": "bytes=0-3", "if-range": field})
    assert answer.status_code == status
    assert answer.content == (HOME[:4] if status == 206 else HOME)


async def test_a_permalink_shows_its_deploy_whatever_is_published(
    bench: Bench, site: Site, deploy: Deploy, visitor: httpx2.AsyncClient
) -> None:
    await bench.release(site, {"index.html": b"new"})
    assert (await visitor.get("/")).content == b"new"
    answer = await visitor.get("/", headers={"host": f"{deploy.id}--docs.localhost"})
    assert (answer.status_code, answer.content) == (200, HOME)
    assert answer.headers["cache-tag"] == f"site-{site.id},deploy-{deploy.id}"


async def branch_deploy(bench: Bench, site: Site, branch: str, data: bytes) -> Deploy:
    deploy = await bench.deploys.create(
        site.id, manifest_of({"index.html": data}), branch=branch, context=Context.BRANCH
    )
    await bench.deploys.upload(deploy.metadata.pending_uploads[0], one_chunk(data))
    await bench.deploys.finish(deploy.id)
    await bench.publisher.publish(deploy.id)
    return deploy


async def test_a_branchs_address_shows_its_newest_ready_deploy(
    bench: Bench, site: Site, deploy: Deploy, visitor: httpx2.AsyncClient
) -> None:
    host = {"host": "x--docs.localhost"}
    assert (await visitor.get("/", headers=host)).status_code == 404
    for data in (b"one", b"two"):
        newest = await branch_deploy(bench, site, "x", data)
        assert (await visitor.get("/", headers=host)).content == data
    await branch_deploy(bench, site, "y", b"another branch")
    await branch_deploy(bench, await bench.site("blog"), "x", b"another site")
    await bench.deploys.create(
        site.id, manifest_of({"a": b"to come"}), branch="x", context=Context.BRANCH
    )
    answer = await visitor.get("/", headers=host)
    assert (answer.status_code, answer.content) == (200, b"two")
    tags = f"site-{site.id},deploy-{newest.id},branch-{site.id}-x"
    assert answer.headers["cache-tag"] == tags
    assert (await visitor.get("/")).content == HOME


async def test_the_site_s_own_branch_and_unknown_ones_have_no_address_of_their_own(
    deploy: Deploy, visitor: httpx2.AsyncClient, origin: Origin
) -> None:
    for host in ("main--docs.localhost", "nothing--docs.localhost", "x--nobody.localhost"):
        answer = await visitor.get("/", headers={"host": host})
        assert (answer.status_code, answer.headers["cdn-cache-control"]) == (404, "no-store")
    assert origin.metrics.failed() == 0


async def test_a_branchs_address_whose_deploy_lost_its_pointer_is_a_failure(
    bench: Bench, site: Site, visitor: httpx2.AsyncClient, origin: Origin
) -> None:
    bench.safeguards.enable("honest-origin")
    await bench.destroy((await branch_deploy(bench, site, "x", b"one")).id)
    answer = await visitor.get("/", headers={"host": "x--docs.localhost"})
    assert answer.status_code == 503
    assert origin.metrics.failed() == 1


async def test_a_permalink_never_shows_another_sites_deploy(
    bench: Bench, deploy: Deploy, visitor: httpx2.AsyncClient
) -> None:
    await bench.release(await bench.site("blog"), {"index.html": b"blog"})
    answer = await visitor.get("/", headers={"host": f"{deploy.id}--blog.localhost"})
    assert answer.status_code == 404
    assert HOME not in answer.content


@pytest.mark.parametrize("whose", ["another site's", "nobody's"])
async def test_a_site_that_shows_no_deploy_of_its_own_is_a_failure_and_shows_nothing(
    bench: Bench,
    site: Site,
    deploy: Deploy,
    visitor: httpx2.AsyncClient,
    origin: Origin,
    whose: str,
) -> None:
    foreign = await bench.release(await bench.site("blog"), {"index.html": b"foreign"})
    shown = foreign.id if whose == "another site's" else "f" * 24
    assert await bench.store.sites.publish(await bench.store.sites.get(site.id), shown, 2)
    answer = await visitor.get("/")
    assert answer.status_code == 404
    assert b"foreign" not in answer.content
    assert origin.metrics.failed() == 1


async def test_a_permalink_of_no_deploy_is_404_and_not_the_platforms_fault(
    bench: Bench, deploy: Deploy, visitor: httpx2.AsyncClient, origin: Origin
) -> None:
    bench.safeguards.enable("honest-origin")
    answer = await visitor.get("/", headers={"host": f"{'f' * 24}--docs.localhost"})
    assert answer.status_code == 404
    assert origin.metrics.failed() == 0


@pytest.mark.parametrize("host", ["nobody.localhost", "example.org", "localhost", ""])
async def test_an_unknown_host_is_404(
    visitor: httpx2.AsyncClient, origin: Origin, deploy: Deploy, host: str
) -> None:
    answer = await visitor.get("/", headers={"host": host})
    assert answer.status_code == 404
    assert origin.metrics.failed() == 0


async def test_a_site_without_a_deploy_is_404(
    site: Site, visitor: httpx2.AsyncClient, origin: Origin
) -> None:
    assert (await visitor.get("/")).status_code == 404
    assert origin.metrics.failed() == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_only_get_and_head_are_served(
    visitor: httpx2.AsyncClient, deploy: Deploy, method: str
) -> None:
    answer = await visitor.request(method, "/")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(("safeguards", "status"), [([], 404), (["honest-origin"], 503)])
async def test_a_missing_pointer_is_404_or_honestly_503_and_always_a_failure(
    bench: Bench,
    deploy: Deploy,
    visitor: httpx2.AsyncClient,
    origin: Origin,
    safeguards: list[str],
    status: int,
) -> None:
    for name in safeguards:
        bench.safeguards.enable(name)
    await bench.destroy(deploy.id)
    answer = await visitor.get("/")
    assert answer.status_code == status
    assert answer.headers["cdn-cache-control"] == "no-store"
    assert (origin.metrics.total(), origin.metrics.failed()) == (1, 1)


@pytest.mark.parametrize("metadata", [None, 7, "text", [], {}, {"tree": 7}, {"tree": None}])
async def test_damage_of_any_kind_is_a_missing_pointer_and_no_crash(
    bench: Bench, deploy: Deploy, visitor: httpx2.AsyncClient, metadata: Any
) -> None:
    await bench.destroy(deploy.id, metadata)
    assert (await visitor.get("/")).status_code == 404


async def test_an_invalid_deploy_that_still_has_its_pointer_is_served(
    bench: Bench, deploy: Deploy, visitor: httpx2.AsyncClient
) -> None:
    await bench.destroy(deploy.id, {"tree": deploy.metadata.tree})
    assert (await visitor.get("/")).content == HOME


async def test_a_file_that_never_arrived_is_500_and_a_failure(
    bench: Bench, deploy: Deploy, visitor: httpx2.AsyncClient, origin: Origin
) -> None:
    await bench.objects.delete([blob_key(etag_of(data).strip('"')) for data in (HOME, LARGE)])
    for number, path in enumerate(["/", "/large.bin"], start=1):
        answer = await visitor.get(path)
        assert answer.status_code == 500
        assert answer.headers["cdn-cache-control"] == "no-store"
        assert origin.metrics.failed() == number
    assert (await visitor.get("/about")).status_code == 200


@pytest.mark.parametrize("damage", ["gone", "altered"])
async def test_a_tree_that_is_gone_or_altered_is_500_and_a_failure(
    bench: Bench, deploy: Deploy, visitor: httpx2.AsyncClient, origin: Origin, damage: str
) -> None:
    key = tree_key(deploy.metadata.tree or "")
    if damage == "gone":
        await bench.objects.delete([key])
    else:
        await bench.objects.put(key, Tree({}).encode())
    assert (await visitor.get("/")).status_code == 500
    assert origin.metrics.failed() == 1


async def test_a_tree_is_read_once(
    bench: Bench, deploy: Deploy, visitor: httpx2.AsyncClient
) -> None:
    assert (await visitor.get("/")).content == HOME
    await bench.objects.delete([tree_key(deploy.metadata.tree or "")])
    assert (await visitor.get("/")).content == HOME


class BrokenStore(ObjectStore):
    """Fails at every read."""

    async def get(self, key: str) -> bytes:
        raise StorageError("the disk is on fire")


async def test_a_store_that_fails_is_503_and_a_failure(
    bench: Bench, deploy: Deploy, client_of: Client
) -> None:
    bench.objects = BrokenStore.open("memory://")
    origin = bench.origin()
    answer = await client_of(origin).get("/")
    assert answer.status_code == 503
    assert b"fire" not in answer.content
    assert origin.metrics.failed() == 1


async def test_health_and_metrics_are_for_hosts_that_are_no_sites(
    visitor: httpx2.AsyncClient, deploy: Deploy, client_of: Client, origin: Origin
) -> None:
    await visitor.get("/")
    await visitor.get("/nothing")
    operator = client_of(origin, "http://127.0.0.1:8080")
    assert (await operator.get("/.blackstart/healthz")).text == "ok\n"
    metrics = (await operator.get("/.blackstart/metrics")).text
    assert 'blackstart_origin_requests_total{reason="served"} 1.0' in metrics
    assert 'blackstart_origin_requests_total{reason="no_such_path"} 1.0' in metrics
    assert (await operator.get("/.blackstart/other")).status_code == 404
    assert (await visitor.get("/.blackstart/metrics")).status_code == 404
    assert origin.metrics.total() == 3, "only visitors are counted"


async def test_the_servers_start_and_end_are_acknowledged(origin: Origin) -> None:
    received = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await origin({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
