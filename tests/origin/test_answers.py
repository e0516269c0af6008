"""Tests of sites with rules of their own, over HTTP in this process."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import httpx2
import pytest

from blackstart.control.purge import custom_tag
from blackstart.model import Deploy, Plan, Site
from blackstart.origin import Origin
from blackstart.routing.fields import MAX_TAG_CHARS, MAX_TAGS
from blackstart.routing.rules import MAX_HEADER_NAMES

if TYPE_CHECKING:
    from tests.conftest import Bench, Client

HOME = b"<h1>home</h1>"
REDIRECTS = b"""
/old /new 301
/spa/* /index.html 200
/gone /sorry 410
/missing /sorry 404
/nothing-at-all /nowhere 410
/out/* https://example.org/:splat 302
/* /:splat/ 301
"""
HEADERS = b"""
/*
  X-Frame-Options: DENY
  Cache-Tag: Everything
/spa/*
  Cache-Control: public, max-age=60
  Netlify-CDN-Cache-Control: public, max-age=120
  Content-Type: text/plain
/missing
  Cache-Control: public, max-age=31536000, immutable
  CDN-Cache-Control: max-age=31536000
"""
FILES = {"index.html": HOME, "sorry.html": b"sorry", "_redirects": REDIRECTS, "_headers": HEADERS}


def sha1_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@pytest.fixture
async def site(bench: Bench) -> Site:
    return await bench.site("docs", plan=Plan.GLOBAL)


@pytest.fixture
async def deploy(bench: Bench, site: Site) -> Deploy:
    return await bench.release(site, FILES)


@pytest.fixture
def origin(bench: Bench) -> Origin:
    return bench.origin()


@pytest.fixture
def visitor(origin: Origin, client_of: Client) -> httpx2.AsyncClient:
    return client_of(origin)


def counted(origin: Origin, reason: str) -> float | None:
    return origin.metrics.registry.get_sample_value(
        "blackstart_origin_requests_total", {"reason": reason}
    )


async def test_a_redirect_may_be_kept_like_a_file_and_is_purged_like_one(
    visitor: httpx2.AsyncClient, site: Site, deploy: Deploy, origin: Origin
) -> None:
    answer = await visitor.get("/old?q=1")
    assert (answer.status_code, answer.headers["location"]) == (301, "/new?q=1")
    assert answer.headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert answer.headers["cdn-cache-control"] == "public, max-age=31536000"
    assert answer.headers["cache-tag"] == f"site-{site.id},deploy-{deploy.id}"
    assert answer.headers["blackstart-plan"] == "global"
    assert "x-frame-options" not in answer.headers, "header rules are for pages"
    assert counted(origin, "redirected") == 1
    head = await visitor.head("/old?q=1")
    assert (head.content, dict(head.headers)) == (b"", dict(answer.headers))


async def test_a_rewritten_file_is_a_file_in_every_way(
    visitor: httpx2.AsyncClient, deploy: Deploy, origin: Origin
) -> None:
    answer = await visitor.get("/spa/deep/link")
    etag = f'"{sha1_of(HOME)}"'
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, HOME, etag)
    part = await visitor.get("/spa/x", headers={"range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, HOME[1:3])
    same = await visitor.get("/spa/x", headers={"if-none-match": etag})
    assert (same.status_code, same.headers["cache-control"]) == (304, "public, max-age=60")
    head = await visitor.head("/spa/deep/link")
    assert (head.content, dict(head.headers)) == (b"", dict(answer.headers))
    assert counted(origin, "served") == 3


async def test_header_rules_apply_to_the_path_that_was_asked_for(
    visitor: httpx2.AsyncClient, site: Site, deploy: Deploy
) -> None:
    headers = (await visitor.get("/spa/x")).headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["content-type"] == "text/plain"
    assert headers["cache-control"] == "public, max-age=60"
    assert headers["cdn-cache-control"] == "public, max-age=120"
    assert "netlify-cdn-cache-control" not in headers
    tags = [f"site-{site.id}", f"deploy-{deploy.id}", f"{site.id}:everything"]
    assert headers["cache-tag"] == ",".join(tags)
    home = (await visitor.get("/")).headers
    assert home["cache-control"] == "public, max-age=0, must-revalidate"
    assert home["cdn-cache-control"] == "public, max-age=31536000"


@pytest.mark.parametrize(
    ("path", "status", "reason"), [("/gone", 410, "gone"), ("/missing", 404, "no_such_path")]
)
async def test_a_page_for_what_is_missing_is_never_kept_for_long(
    visitor: httpx2.AsyncClient, deploy: Deploy, origin: Origin, path: str, status: int, reason: str
) -> None:
    answer = await visitor.get(path, headers={"range": "bytes=0-1"})
    assert (answer.status_code, answer.content) == (status, b"sorry")
    assert answer.headers["cdn-cache-control"] == "public, max-age=60"
    assert answer.headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert answer.headers["x-frame-options"] == "DENY"
    assert (counted(origin, reason), origin.metrics.failed()) == (1, 0)


async def test_a_rule_without_its_page_is_a_plain_answer(
    visitor: httpx2.AsyncClient, deploy: Deploy
) -> None:
    answer = await visitor.get("/nothing-at-all")
    assert (answer.status_code, answer.text) == (410, "Gone.\n")


@pytest.mark.parametrize("path", ["//evil.example", "/%5Cevil.example", "/%0D%0ASet-Cookie:a=b"])
async def test_no_path_leads_off_the_site(
    visitor: httpx2.AsyncClient, deploy: Deploy, path: str
) -> None:
    answer = await visitor.get(f"http://docs.localhost{path}/x")
    assert answer.headers.get("location", "/x").startswith("/")
    assert not answer.headers.get("location", "/x").startswith("//")
    assert "set-cookie" not in answer.headers


async def test_only_a_url_of_the_authors_leads_elsewhere(
    visitor: httpx2.AsyncClient, deploy: Deploy
) -> None:
    answer = await visitor.get("/out/a%20b?c=d")
    assert (answer.status_code, answer.headers["location"]) == (
        302,
        "https://example.org/a%20b?c=d",
    )


async def test_an_address_too_long_to_pass_on_is_414(
    visitor: httpx2.AsyncClient, deploy: Deploy, origin: Origin
) -> None:
    assert (await visitor.get(f"/old?{'q' * 9_000}")).status_code == 414
    assert (counted(origin, "too_long"), origin.metrics.failed()) == (1, 0)


async def test_an_answer_with_all_that_a_site_may_add_still_fits_through_a_node(
    bench: Bench, site: Site, visitor: httpx2.AsyncClient
) -> None:
    tags = [f"t{number:0{MAX_TAG_CHARS - 1}}" for number in range(MAX_TAGS)]
    names = [f"X-{number}" for number in range(MAX_HEADER_NAMES)]
    one = "/*\n  Cache-Tag: " + ",".join(tags[:250]) + "".join(f"\n  {name}: 1" for name in names)
    more = '[[headers]]\nfor = "/"\nvalues = {Cache-Tag = "' + ",".join(tags[250:]) + '"}'
    files = {"index.html": HOME, "_headers": one.encode(), "netlify.toml": more.encode()}
    await bench.release(site, files)
    headers = (await visitor.get("/")).headers
    lines = headers.get_list("cache-tag")
    assert ",".join(lines).split(",")[2:] == [custom_tag(site.id, tag) for tag in tags]
    assert {name.lower() for name in names} <= headers.keys()
    assert max(len(value) for _, value in headers.multi_items()) <= 8_190
    assert len(headers.multi_items()) < 128


async def test_one_sites_tags_never_name_anothers(
    bench: Bench, site: Site, client_of: Client, origin: Origin
) -> None:
    other = await bench.site("blog")
    wanted = [f"site-{other.id}", f"{other.id}:mine", "mine"]
    rule = f"/*\n  Cache-Tag: {','.join(wanted)}\n"
    await bench.release(site, {"index.html": HOME, "_headers": rule.encode()})
    await bench.release(other, {"index.html": b"blog", "_headers": b"/*\n Cache-Tag: mine\n"})
    visitor = client_of(origin)
    ours = set((await visitor.get("/")).headers["cache-tag"].split(","))
    theirs = (await visitor.get("/", headers={"host": "blog.localhost"})).headers["cache-tag"]
    assert len(ours) == 5
    assert ours.isdisjoint(theirs.split(","))
