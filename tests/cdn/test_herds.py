"""Visitors who come at once for pages that change, and want all kinds of things of them.

The origin is honest and may fail; what each visitor may get is told by what it
would have said to that one alone, about the version that the answer's ETag names.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, fields, replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cdn.conftest import FakeClock, Stream

from blackstart.cdn.message import Headers, Request, Response, pieces
from blackstart.cdn.node import Node
from blackstart.cdn.storage import Cache
from blackstart.errors import HopError

HOST = "a.example"
OWN = "/own"  # each visitor's own page
SPOKEN = "/spoken"  # in the language that the visitor asks for
PLAIN = "/plain"
VISITORS = ("ann", "ben")
LIFETIMES = (
    "max-age=5",
    "max-age=5, stale-while-revalidate=9",
    "no-cache",
    "max-age=0",
    "s-maxage=2",
)
RANGE = re.compile(r"bytes=(\d*)-(\d*)")
BEYOND = "bytes=9000-"
RANGES = ("bytes=0-9", "bytes=0-", "bytes=-7", "bytes=10-29", "bytes=2-3,7-8", BEYOND, "x=1")


@dataclass
class Pages:
    """An origin, as a hop: its pages have versions, and it may fail in many ways."""

    version: int = 1
    lifetime: str = LIFETIMES[0]
    way: str = "bytes"
    failed: bool = False

    async def send(self, request: Request) -> Response:
        answer = self._answer(request)
        for _ in range(3):
            await asyncio.sleep(0)
        if self.way in ("silent", "failing"):
            self.failed = True
        if self.way == "silent":
            raise HopError("silent")
        if self.way == "failing":
            return Response(503, body=b"sorry")
        return self._sent(request, answer)

    async def close(self) -> None:
        """Nothing is open."""

    def _answer(self, request: Request) -> Response:
        asked, page = request.headers, who(request)
        etag, body = f'"{page}-{self.version}"', body_of(page, self.version)
        lifetime = "private, max-age=5" if request.target == OWN else self.lifetime
        said = [("etag", etag), ("cache-control", lifetime)]
        if request.target == SPOKEN:
            said.append(("vary", "accept-language"))
        if etag in (asked.joined("if-none-match") or ""):
            return Response(304, Headers(said))
        given = None if self.way == "whole" else RANGE.fullmatch(asked.joined("range") or "")
        if given is None or asked.get("if-range") not in (None, etag) or request.method != "GET":
            return Response(200, Headers([*said, ("content-length", str(len(body)))]), body)
        first, end = bounds(given[1], given[2], len(body))
        if first >= end:
            return Response(416, Headers([("content-range", f"bytes */{len(body)}")]))
        place = ("content-range", f"bytes {first}-{end - 1}/{len(body)}")
        return Response(206, Headers([*said, place]), body[first:end])

    def _sent(self, request: Request, answer: Response) -> Response:
        if request.method == "HEAD":
            return Response(answer.status, answer.headers)
        body = answer.body
        assert isinstance(body, bytes)
        if self.way == "bytes" or not body:
            return answer
        half = len(body) // 2
        if self.way in ("stream", "whole"):
            return Response(answer.status, answer.headers, Stream([body[:half], body[half:]]))
        self.failed = True
        broken = Stream([body[:half]], error=HopError("broken off"))
        return Response(answer.status, answer.headers, broken)


def bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1 if last else size)


def who(request: Request) -> str:
    """The page that the origin has for this visitor."""
    name = {OWN: "cookie", SPOKEN: "accept-language"}.get(request.target)
    return request.target[1:] + (f"-{request.headers.get(name)}" if name else "")


def body_of(page: str, version: int) -> bytes:
    """Bytes that no other page or version has in the same place; of some more than is gathered."""
    random = Random(f"{page} {version}")
    return random.randbytes(random.choice([40, 900, 3000]))


def check(request: Request, status: int, headers: Headers, body: bytes, least: int) -> None:
    """Whether this visitor may get this answer; `least` is the oldest version that it may be of."""
    etag = headers.get("etag")
    assert etag is not None, (status, list(headers))
    page, _, version = etag.strip('"').rpartition("-")
    assert page == who(request), "somebody else's page"
    assert int(version) >= least, "older than a purge"
    whole = body_of(page, int(version))
    if status == 304:
        assert etag in (request.headers.joined("if-none-match") or "")
    elif status == 206 and (headers.get("content-type") or "").startswith("multipart"):
        found = re.findall(rb"Content-Range: bytes (\d+)-(\d+)/\d+\r\n\r\n", body)
        parts = [whole[int(first) : int(last) + 1] for first, last in found]
        assert len(parts) == 2
        assert all(part in body for part in parts)
    elif status == 206:
        place = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("content-range") or "")
        assert place is not None
        first, end = int(place[1]), int(place[2]) + 1
        given = RANGE.fullmatch(request.headers.joined("range") or "")
        assert given is not None, "a part that nobody asked for"
        assert (first, end) == bounds(given[1], given[2], len(whole))
        assert (int(place[3]), body) == (len(whole), whole[first:end])
        assert request.headers.get("if-range") in (None, etag)
    else:
        assert (status, body) == (200, b"" if request.method == "HEAD" else whole)


@dataclass(frozen=True)
class Wish:
    """What somebody wants of a page."""

    method: str
    target: str
    range: str
    known: str
    cache_control: str

    def of(self, visitor: str) -> Request:
        """The request of one visitor, who may know the first version."""
        page = self.target[1:] + ("" if self.target == PLAIN else f"-{visitor}")
        said = {
            "cookie": visitor,
            "accept-language": visitor,
            "range": self.range,
            self.known: f'"{page}-1"',
            "cache-control": self.cache_control,
        }
        pairs = [pair for pair in said.items() if all(pair)]
        return Request(self.method, self.target, HOST, Headers(pairs))


wishes = st.builds(
    Wish,
    st.sampled_from(["GET"] * 5 + ["HEAD"]),
    st.sampled_from([PLAIN, SPOKEN, OWN]),
    st.sampled_from([""] * 5 + [*RANGES]),
    st.sampled_from([""] * 4 + ["if-range", "if-none-match"]),
    st.sampled_from([""] * 6 + ["no-cache", "max-age=0", "max-stale", "no-store"]),
)
alike = st.builds(
    lambda one, other, name: (one, replace(one, **{name: getattr(other, name)})),
    wishes,
    wishes,
    st.sampled_from([each.name for each in fields(Wish)]),
)
rounds = st.tuples(
    alike,
    st.lists(st.tuples(st.sampled_from(VISITORS), st.integers(0, 1)), min_size=2, max_size=6),
    st.sampled_from(["bytes", "bytes", "stream", "whole", "broken off", "silent", "failing"]),
    st.sampled_from(LIFETIMES),
    st.sampled_from(["", "", "published", "published and purged"]),
    st.sampled_from([0.0, 1.0, 6.0]),
)


@dataclass
class Town:
    """The node, its origin, and the oldest version that anybody may still see."""

    clock: FakeClock = field(default_factory=FakeClock)
    pages: Pages = field(default_factory=Pages)
    least: int = 1

    def __post_init__(self) -> None:
        self.node = Node(
            self.clock, self.pages, Cache(self.clock, {"free": 9_000}, gather_bytes=1000), name="n1"
        )

    async def visit(self, request: Request) -> None:
        least = self.least
        answer = self.node.quick(request) or await self.node.answer(request)
        body = b""
        try:
            async for chunk in pieces(answer.body):
                body += chunk
        except HopError:
            assert self.pages.failed
            return
        if answer.status >= 500:
            assert self.pages.failed
        elif answer.status == 416:
            assert request.headers.get("range") == BEYOND
        else:
            check(request, answer.status, answer.headers, body, least)

    async def live(self, herd: list[Request], way: str, lifetime: str, news: str) -> None:
        """Half of them come before the news, and half behind it."""
        self.pages.way, self.pages.lifetime, self.pages.failed = way, lifetime, False
        half = len(herd) // 2
        early = [asyncio.ensure_future(self.visit(each)) for each in herd[:half]]
        for _ in range(2):  # Now the origin has answered them, but not yet been heard.
            await asyncio.sleep(0)
        await self.tell(news)
        await asyncio.gather(*early, *map(self.visit, herd[half:]))

    async def tell(self, news: str) -> None:
        self.pages.version += bool(news)
        if "purged" in news:
            await self.node.purge_all()
            self.least = self.pages.version


@settings(max_examples=300)
@given(st.lists(rounds, min_size=1, max_size=8))
def test_whoever_comes_at_once_gets_what_the_origin_would_have_said_to_them_alone(story) -> None:
    async def live() -> None:
        town = Town()
        for wanted, visitors, way, lifetime, news, pause_s in story:
            herd = [wanted[number].of(visitor) for visitor, number in visitors]
            await town.live(herd, way, lifetime, news)
            town.clock.advance(pause_s)
        await town.node.close()

    asyncio.run(live())
