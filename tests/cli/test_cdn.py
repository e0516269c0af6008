"""The commands that look into a node: what they ask for, what they print, how they fail."""

from __future__ import annotations

import io
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from blackstart.cli.cdn_options import page_of
from blackstart.cli.node_rates import Rates, Sample
from blackstart.cli.units import duration, size
from blackstart.errors import UsageError

if TYPE_CHECKING:
    from tests.cli.conftest import FakeApi

Call = Callable[..., Any]
LIST = "GET /.blackstart/entries"
LOOK = "GET /.blackstart/entry"
PURGE = "POST /.blackstart/purge"
METRICS = "GET /.blackstart/metrics"
NODE = "http://127.0.0.1:8080"
ENTRY = {
    "host": "docs.localhost",
    "target": "/a",
    "status": 200,
    "size": 2048,
    "age_s": 20.0,
    "ttl_s": 3580.0,
    "fresh": True,
    "stale": False,
    "plan": "pro",
    "tags": ["site-1"],
    "vary": {"accept-language": "de"},
    "part": None,
    "memory": True,
    "disk": True,
}
DETAILS = {
    "stored_at": 1_486_000_000.0,
    "lifetime_s": 3600.0,
    "lifetime_by": "CDN-Cache-Control",
    "because": "fresh for another 3580 s of 3600 s",
    "covers_errors": True,
    "rules": ["stale only as the origin allows"],
    "headers": [["etag", '"\x1b[31m"']],
}


@pytest.fixture
def node(fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """A node that says what it is told to say."""
    monkeypatch.setenv("BLACKSTART_NODE_URL", fake_api.url)
    monkeypatch.setenv("BLACKSTART_PURGE_TOKEN", "secret")
    fake_api.answer("GET /.blackstart/healthz", {"status": "ok", "node": "n1"})
    return fake_api


COMMANDS = [["ls"], ["inspect", "/"], ["purge", "/"], ["warm", "-"], ["top", "--once"]]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda each: each[0])
def test_a_node_that_is_not_there_is_told_in_one_line(
    call: Call, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"/\n")))
    monkeypatch.setenv("BLACKSTART_PURGE_TOKEN", "secret")
    gone = call("cdn", *arguments, "--node", "http://127.0.0.1:1")
    assert (gone.code, gone.out) == (1, "")
    assert gone.err.startswith("error: nothing answers at http://127.0.0.1:1: ")
    assert gone.err.count("\n") == 1
    wrong = call("cdn", *arguments, "--node", "127.0.0.1:8080")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith("error: not the address of a node: '127.0.0.1:8080'")


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda each: each[0])
@pytest.mark.parametrize(("status", "body"), [(404, b"<p>Nothing</p>"), (200, b"hello")])
def test_something_else_in_the_place_of_a_node_is_told(
    call: Call,
    fake_api: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    body: bytes,
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"/\n")))
    monkeypatch.setenv("BLACKSTART_PURGE_TOKEN", "secret")
    for page in ("healthz", "metrics", "entries", "entry"):
        fake_api.answer(f"GET /.blackstart/{page}", body, status)
    fake_api.answer(PURGE, body, status)
    ended = call("cdn", *arguments, "--node", fake_api.url)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"error: {fake_api.url} is no node: ")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("arguments", COMMANDS[:3], ids=lambda each: each[0])
def test_what_is_stored_needs_the_token(
    call: Call, node: FakeApi, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    node.answer(LIST, b"401 Unauthorized: this needs the token\n", 401)
    node.answer(LOOK, b"401 Unauthorized: this needs the token\n", 401)
    node.answer(PURGE, b"401 Unauthorized: this needs the token\n", 401)
    refused = call("cdn", *arguments)
    assert refused.code == 1
    assert "the node says 401 Unauthorized" in refused.err
    assert "is BLACKSTART_PURGE_TOKEN what" in refused.err
    assert node.fields[-1]["authorization"] == "Bearer secret"
    monkeypatch.setenv("BLACKSTART_PURGE_TOKEN", " ")
    missing = call("cdn", *arguments)
    assert missing.code == 2
    assert missing.err.startswith("error: BLACKSTART_PURGE_TOKEN is not set (")


def test_a_list_shows_what_each_copy_is(call: Call, node: FakeApi) -> None:
    stale = {**ENTRY, "target": "/" + "long/" * 20, "fresh": False, "vary": {}, "disk": False}
    node.answer(LIST, {"entries": [ENTRY, stale], "next": None, "held": 2})
    listed = call("cdn", "ls")
    assert (listed.code, listed.err) == (0, "")
    lines = listed.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["page", "status", "size", "age", "left", "plan", "in"]
    first = ["docs.localhost/a", "(de)", "200", "2.0", "KiB", "20s", "59m", "pro", "memory+disk"]
    assert lines[2].split() == first
    assert lines[3].split()[1:] == ["200", "2.0", "KiB", "20s", "stale", "pro", "memory"]


def test_a_list_goes_on_where_the_page_before_ended(call: Call, node: FakeApi) -> None:
    node.answer(LIST, {"entries": [ENTRY], "next": "docs.localhost /a", "held": 2})
    node.answer(LIST, {"entries": [{**ENTRY, "target": "/b"}], "next": None, "held": 2})
    listed = call("cdn", "ls", "http://docs.localhost/", "--json")
    assert [each["target"] for each in json.loads(listed.out)] == ["/a", "/b"]
    asked = [each for each in node.asked if "entries" in each]
    assert "prefix=docs.localhost%2F&after=&limit=1000" in asked[0]
    assert "after=docs.localhost+%2Fa" in asked[1]


def test_that_nothing_is_stored_is_said(call: Call, node: FakeApi) -> None:
    node.answer(LIST, {"entries": [], "next": None, "held": 0})
    listed = call("cdn", "ls")
    assert (listed.code, listed.out, listed.err) == (0, "", "nothing is stored\n")
    below = call("cdn", "ls", "a.example/x")
    assert below.err == "nothing is stored that begins with a.example/x\n"
    assert json.loads(call("cdn", "ls", "--json").out) == []


def test_a_list_that_is_cut_says_so(call: Call, node: FakeApi) -> None:
    node.answer(LIST, {"entries": [ENTRY] * 3, "next": "x", "held": 9})
    listed = call("cdn", "ls", "--limit", "2", "--json")
    assert len(json.loads(listed.out)) == 2
    assert node.asked[-1].endswith("limit=3")
    assert listed.err == "there are more than 2: give --limit or a prefix\n"


def test_a_look_shows_what_the_node_would_do_and_each_variant(call: Call, node: FakeApi) -> None:
    found = {"node": "n1", "host": "docs.localhost", "target": "/a", "now": "hit: send it"}
    node.answer(LOOK, {**found, "variants": [{**ENTRY, **DETAILS}] * 2})
    shown = call("cdn", "inspect", "docs.localhost/a", "-H", "Accept-Language: de")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("docs.localhost/a at node n1\nnow: hit: send it\n")
    for text in ("1 of 2", "2 of 2", "accept-language: de", "2.0 KiB in memory+disk"):
        assert text in shown.out
    assert "2017-02-02 01:46:40 UTC, age 20s" in shown.out
    assert "yes, fresh for another 3580 s of 3600 s" in shown.out
    assert re.search(r"^lifetime +3600 s: CDN-Cache-Control *$", shown.out, re.MULTILINE)
    assert "\x1b" not in shown.out
    assert node.asked[-1].endswith("target=%2Fa&header=Accept-Language%3A+de")


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ("Last-Modified", "3600 s: a tenth of its age at the origin, which names none"),
        (None, "none: the origin names none"),
    ],
)
def test_a_lifetime_that_the_origin_did_not_name_is_told_to_be_none_of_its_own(
    call: Call, node: FakeApi, by: str | None, told: str
) -> None:
    variant = {**ENTRY, **DETAILS, "lifetime_by": by}
    node.answer(LOOK, {"node": "n1", "now": "hit: send it", "variants": [variant]})
    assert told in call("cdn", "inspect", "/a").out


def test_a_page_of_which_nothing_is_held_is_told_to_be_so(call: Call, node: FakeApi) -> None:
    node.answer(LOOK, {"node": "n1", "now": "fwd=uri-miss: ask the origin", "variants": []})
    shown = call("cdn", "inspect", "http://a.example/")
    head, now, nothing = shown.out.splitlines()
    assert (head, now) == ("a.example/ at node n1", "now: fwd=uri-miss: ask the origin")
    assert nothing.startswith("nothing is held of it: ")


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("/", "127.0.0.1:8080", "/"),
        ("/a%2Fb?c d", "127.0.0.1:8080", "/a%2Fb?c%20d"),
        ("http://Docs.Localhost", "docs.localhost", "/"),
        ("http://docs.localhost:80/x#y", "docs.localhost", "/x"),
        ("https://docs.localhost:443/x?", "docs.localhost", "/x"),
        ("https://docs.localhost:80/x", "docs.localhost:80", "/x"),
        ("docs.localhost:9000/ü", "docs.localhost:9000", "/%C3%BC"),
        ("http://[::1]:80/a/../b", "[::1]", "/a/../b"),
    ],
)
def test_a_page_is_named_as_visitors_name_it(url: str, host: str, target: str) -> None:
    assert page_of(url, NODE) == (host, target)


@pytest.mark.parametrize(
    "url", ["", "ftp://a/b", "http://", "http://a@b/", "http://a b/", "http://a:x/", "http://[::1/"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not a URL"):
        page_of(url, NODE)


@pytest.mark.parametrize(
    ("given", "prefix"),
    [
        ("/blog", "HOST/blog"),
        ("/ü", "HOST/%C3%BC"),
        ("Docs.Loc", "docs.loc"),
        ("https://Docs.Localhost", "docs.localhost"),
        ("http://Docs.Localhost:80/A?b", "docs.localhost/A?b"),
    ],
)
def test_pages_are_listed_as_they_are_named_elsewhere(
    call: Call, node: FakeApi, given: str, prefix: str
) -> None:
    node.answer(LIST, {"entries": [], "next": None})
    listed = call("cdn", "ls", given)
    wanted = prefix.replace("HOST", node.url.removeprefix("http://"))
    assert listed.err == f"nothing is stored that begins with {wanted}\n"
    assert parse_qs(node.asked[-1].partition("?")[2])["prefix"] == [wanted]


def test_no_field_names_another_host(call: Call, node: FakeApi) -> None:
    refused = call("cdn", "inspect", "/", "-H", "host: b.example")
    assert (refused.code, node.asked) == (2, [])
    assert refused.err.startswith("error: the page names its host (")


def test_tls_with_a_node_is_told_from_nobody_there(call: Call, fake_api: FakeApi) -> None:
    secure = fake_api.url.replace("http:", "https:")
    refused = call("cdn", "top", "--once", "--node", secure)
    assert refused.code == 1
    assert refused.err.startswith(f"error: no TLS with {secure}: ")


@pytest.mark.parametrize("field", ["x", ": y", "a: b\nc: d"])
def test_what_is_no_field_is_refused(call: Call, node: FakeApi, field: str) -> None:
    refused = call("cdn", "inspect", "/", "-H", field)
    assert refused.code == 2
    assert "not a field" in refused.err


def test_warming_tells_what_became_of_each_page(call: Call, node: FakeApi, tmp_path: Path) -> None:
    said = {
        "/new": "shield; hit, n1; fwd=uri-miss; fwd-status=200; stored",
        "/held": "n1; hit; ttl=5",
        "/confirmed": "n1; fwd=stale; fwd-status=304",
        "/private": "shield; hit; ttl=3, n1; fwd=uri-miss; fwd-status=200; detail=private",
        "/undeclared": 'n1; fwd=stale; stored; detail=no-lifetime; key="a /x,y;hit"',
        "/stranger": "",
        "/stranger-still": "?; hit",
    }
    for path, status in said.items():
        node.answer(f"GET {path}", b"x", 200, cache_status=status)
    node.answer("GET /gone", b"x", 404, cache_status="n1; fwd=uri-miss; stored")
    pages = tmp_path / "pages"
    pages.write_text("# all\n\n" + "\n".join([*said, "/gone", "/new"]) + "\n")
    warmed = call("cdn", "warm", str(pages), "-H", "Accept-Language: de")
    assert warmed.code == 1
    assert warmed.out == (
        "2 stored (no-lifetime 1), 2 held already, 3 not stored (private 1), 1 failed\n"
    )
    assert warmed.err == f"failed: {node.url.removeprefix('http://')}/gone: 404\n"
    assert sorted(node.asked[1:]) == sorted(f"GET {path}" for path in [*said, "/gone"])
    assert {each["accept-language"] for each in node.fields[1:]} == {"de"}


def test_warming_names_the_site_and_leaves_the_path_as_it_is(
    call: Call, node: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sys.stdin", io.TextIOWrapper(io.BytesIO(b"https://docs.localhost/a/../%7Eb?c[]=%2f\n"))
    )
    node.answer("GET /a/../%7Eb", b"x", cache_status="n1; hit")
    warmed = call("cdn", "warm", "-")
    assert (warmed.code, warmed.out) == (0, "0 stored, 1 held already, 0 not stored, 0 failed\n")
    assert node.asked[-1] == "GET /a/../%7Eb?c%5B%5D=%2f"
    assert node.fields[-1]["host"] == "docs.localhost"


def test_many_failures_are_told_in_few_lines(call: Call, node: FakeApi, tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.write_text("".join(f"/{number}\n" for number in range(15)))
    warmed = call("cdn", "warm", str(pages))
    assert (warmed.code, warmed.out) == (1, "0 stored, 0 held already, 0 not stored, 15 failed\n")
    assert warmed.err.count("failed: ") == 10
    assert warmed.err.endswith("... and 5 more failed\n")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"/a\nftp://b\n", "line 2: not a URL: 'ftp://b'"),
        (b"# none\n\n", "lists no pages"),
        (b"\xff", "it is not text"),
        (None, "No such file"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_before_anything_is_asked(
    call: Call, node: FakeApi, tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    if content is not None:
        (tmp_path / "pages").write_bytes(content)
    refused = call("cdn", "warm", str(tmp_path / "pages"))
    assert (refused.code, refused.out) == (2, "")
    assert complaint in refused.err
    assert node.asked == []


def test_a_list_on_stdin_is_called_so(
    call: Call, node: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"/a\nftp://b\n")))
    assert "error: standard input, line 2: not a URL" in call("cdn", "warm", "-").err


def test_a_list_is_bounded(
    call: Call, node: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("blackstart.cli.cdn_warm.LIST_BYTES", 4)
    (tmp_path / "pages").write_bytes(b"/a\n/b\n")
    refused = call("cdn", "warm", str(tmp_path / "pages"))
    assert refused.code == 2
    assert node.asked == []


def metrics(hits: int, misses: int, quick: int = 0, slow: int = 0, errors: int = 0) -> bytes:
    text = f"""\
# TYPE blackstart_cdn_hits counter
blackstart_cdn_hits_total{{plan="free"}} {hits}
blackstart_cdn_hits_total{{plan="pro"}} {2 * hits}
# TYPE blackstart_cdn_misses counter
blackstart_cdn_misses_total{{plan="free"}} {misses}
# TYPE blackstart_cdn_origin_seconds histogram
blackstart_cdn_origin_seconds_bucket{{le="0.01"}} {quick}
blackstart_cdn_origin_seconds_bucket{{le="2.5"}} {quick + slow}
blackstart_cdn_origin_seconds_bucket{{le="+Inf"}} {quick + slow}
blackstart_cdn_origin_seconds_count {quick + slow}
# TYPE blackstart_cdn_errors counter
blackstart_cdn_errors_total{{kind="timeout"}} {errors}
blackstart_cdn_errors_total{{kind="hop"}} 0
# TYPE blackstart_cdn_entries gauge
blackstart_cdn_entries 1234567
"""
    return text.encode()


def test_a_look_at_a_busy_node_fits_in_80_columns(call: Call, node: FakeApi) -> None:
    node.answer(METRICS, metrics(10**9, 5))
    node.answer(METRICS, metrics(2 * 10**9, 10, quick=98, slow=2, errors=3))
    looked = call("cdn", "top", "--once", "--every", "0.01")
    assert (looked.code, looked.err) == (0, "")
    lines = looked.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == f"node at {node.url}"
    for text in ("1,234,567", "100.0 %", "half within", "10 ms", "2.5 s"):
        assert text in looked.out
    assert [line.split()[0] for line in lines[8:10]] == ["free", "pro"]
    assert lines[-1].startswith("errors of the origin: timeout ")
    assert "hop" not in lines[-1]


def rates(before: bytes, after: bytes, seconds: float = 2.0) -> Rates:
    return Rates(Sample(before.decode(), 100.0), Sample(after.decode(), 100.0 + seconds))


def test_rates_are_what_happened_between_two_looks() -> None:
    found = rates(metrics(0, 10), metrics(30, 20, quick=98, slow=2))
    assert found.requests_per_second() == 50
    assert found.requests_per_second(plan="free") == 20
    assert found.hit_ratio() == 0.9
    assert found.hit_ratio(plan="free") == 0.75
    assert (found.latency_s(0.98), found.latency_s(0.99)) == (0.01, 2.5)


def test_of_nothing_there_is_no_ratio_and_no_latency() -> None:
    found = rates(metrics(5, 5), metrics(5, 5), seconds=0.0)
    assert (found.hit_ratio(), found.latency_s(0.5), found.requests_per_second()) == (None, None, 0)


def test_a_node_that_started_anew_has_no_negative_rates() -> None:
    found = rates(metrics(1000, 1000), metrics(6, 0))
    assert found.requests_per_second(plan="free") == 3


def test_ctrl_c_ends_a_look(call: Call, node: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    node.answer(METRICS, metrics(1, 1))
    answer = node.handle

    def handle(handler: Any) -> None:
        if len(node.asked) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        answer(handler)

    monkeypatch.setattr(node, "handle", handle)
    ended = call("cdn", "top", "--every", "0.01")
    assert ended.code == 130
    assert ended.err == ""


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (200 * 1024, "200 KiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_bytes_as_people_read_them(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d"), (-5.5, "-5s")]
)
def test_seconds_as_people_read_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
