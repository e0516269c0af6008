"""From a stored response, or one on its way in, to the answer for one visitor."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from math import ceil

from blackstart.cdn.fields.ranges import Part
from blackstart.cdn.message import (
    Body,
    Headers,
    Relay,
    Request,
    Response,
    close_body,
    pieces,
    plain,
)
from blackstart.cdn.rules.answering import (
    NoSuchPart,
    NotModified,
    Parts,
    Shape,
    Whole,
    multipart,
    no_such_part_headers,
    not_modified_headers,
    part_headers,
    shape_of,
)
from blackstart.cdn.rules.decision import current_age_s
from blackstart.cdn.storage.cache import Cache
from blackstart.cdn.storage.entry import Entry
from blackstart.cdn.storage.intake import Follower


def age_of(entry: Entry, now: float) -> tuple[str, str]:
    """The Age field (RFC 9111 section 5.1)."""
    return "age", str(int(current_age_s(entry, now)))


def from_memory(request: Request, entry: Entry, body: bytes, *fields: tuple[str, str]) -> Response:
    """The answer from a body that memory holds; `fields` are added."""
    headers = _base(entry, *fields)
    if entry.part is not None:
        return _from_part(request, entry, headers, body)
    shape = shape_of(request, entry.status, headers, entry.size, entry.stored_at)
    if isinstance(shape, Parts):
        if len(shape.parts) == 1:
            first, end = shape.parts[0]
            fields_206 = part_headers(headers, (first, end), entry.size)
            return Response(206, fields_206, body[first:end])
        boundary = _boundary(entry)
        fields_206, prefaces, last = multipart(headers, shape.parts, entry.size, boundary)
        several = zip(prefaces, shape.parts, strict=True)
        content = b"".join([preface + body[first:end] for preface, (first, end) in several])
        return Response(206, fields_206, content + last)
    return _shaped(request, entry.status, headers, shape, body, entry.size)


async def from_cache(
    request: Request, entry: Entry, cache: Cache, *fields: tuple[str, str]
) -> Response:
    """The answer from a body that has to be read first.

    Raises: StorageError when it is gone or damaged.
    """
    headers = _base(entry, *fields)
    if entry.part is not None:
        return _from_part(request, entry, headers, await _read_all(cache, entry))
    shape = shape_of(request, entry.status, headers, entry.size, entry.stored_at)
    if isinstance(shape, Parts):
        if len(shape.parts) == 1:
            part = shape.parts[0]
            body = await cache.read(entry, *part)
            return Response(206, part_headers(headers, part, entry.size), body)
        fields_206, prefaces, last = multipart(headers, shape.parts, entry.size, _boundary(entry))
        several = list(zip(prefaces, shape.parts, strict=True))
        # Before anything is said: what is gone by now can still be told in another way.
        first = await cache.read(entry, *shape.parts[0])
        stream = _several(cache, entry, several, last, first)
        return Response(206, fields_206, Relay(stream))
    nothing = not isinstance(shape, Whole) or request.method == "HEAD"
    body = b"" if nothing else await cache.read(entry)
    return _shaped(request, entry.status, headers, shape, body, entry.size)


async def from_intake(
    request: Request, entry: Entry, body: Follower, length: int | None, *fields: tuple[str, str]
) -> Response:
    """The answer from a body that is still coming, whose length may not be known yet."""
    headers = Headers.from_packed(entry.head).plus(*fields)
    if entry.part is not None:
        return Response(entry.status, headers, body)
    shape = shape_of(request, entry.status, headers, length, entry.stored_at)
    if isinstance(shape, Parts) and len(shape.parts) == 1:
        assert length is not None
        part = shape.parts[0]
        return Response(206, part_headers(headers, part, length), _Slice(body, part))
    if isinstance(shape, Whole | Parts):
        # Several parts of what is not there yet: all of it is right, too.
        return Response(entry.status, headers, body)
    await body.aclose()
    return _shaped(request, entry.status, headers, shape, b"", length or 0)


async def from_origin(request: Request, response: Response, *fields: tuple[str, str]) -> Response:
    """The answer from a response that nobody else gets."""
    headers = response.headers.plus(*fields)
    shape = shape_of(request, response.status, headers, None, 0.0)
    if isinstance(shape, NotModified):
        await close_body(response.body)
        return Response(304, not_modified_headers(headers))
    return Response(response.status, headers, response.body)


def _base(entry: Entry, *fields: tuple[str, str]) -> Headers:
    headers = Headers.from_packed(entry.head)
    if b"\r\ncontent-length:" not in b"\r\n" + entry.head and entry.status != 204:
        headers = headers.plus(("content-length", str(entry.size)))
    return headers.plus(*fields)


def _from_part(request: Request, entry: Entry, headers: Headers, body: bytes) -> Response:
    """A part of a part, or all of one that an origin gave in the place of what was asked for."""
    assert entry.part is not None
    first, end, size = entry.part
    shape = shape_of(request, 206, headers, size, entry.stored_at)
    if isinstance(shape, NotModified):
        return Response(304, not_modified_headers(headers))
    if isinstance(shape, Parts) and len(shape.parts) == 1:
        part = shape.parts[0]
        if first <= part[0] and part[1] <= end:
            content = body[part[0] - first : part[1] - first]
            return Response(206, part_headers(headers, part, size), content)
    return Response(206, headers, b"" if request.method == "HEAD" else body)


def _shaped(
    request: Request, status: int, headers: Headers, shape: Shape, body: Body, size: int
) -> Response:
    if isinstance(shape, NotModified):
        return Response(304, not_modified_headers(headers))
    if isinstance(shape, NoSuchPart):
        return Response(416, no_such_part_headers(headers, size))
    return Response(status, headers, b"" if request.method == "HEAD" else body)


async def _read_all(cache: Cache, entry: Entry) -> bytes:
    body = await cache.read(entry)
    return body if isinstance(body, bytes) else b"".join([chunk async for chunk in body])


async def _several(
    cache: Cache, entry: Entry, parts: list[tuple[bytes, Part]], last: bytes, first: Body
) -> AsyncIterator[bytes]:
    for index, (preface, part) in enumerate(parts):
        yield preface
        async for chunk in pieces(await cache.read(entry, *part) if index else first):
            yield chunk
    yield last


class _Slice:
    """The bytes of one part of a stream; what follows it is not waited for."""

    def __init__(self, body: AsyncIterator[bytes], part: Part) -> None:
        self._body = body
        self._first, self._end = part
        self._position = 0

    def __aiter__(self) -> _Slice:
        return self

    async def __anext__(self) -> bytes:
        while self._position < self._end:
            chunk = await anext(self._body)
            at = self._position
            self._position += len(chunk)
            piece = chunk[max(0, self._first - at) : max(0, self._end - at)]
            if piece:
                return piece
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await close_body(self._body)


def _boundary(entry: Entry) -> str:
    """A line that no body has by chance, and the same for the same response."""
    return hashlib.sha256(entry.key.encode() + entry.head).hexdigest()[:32]


def no_answer(name: str, status: int, retry_after_s: float | None) -> Response:
    """What a node says when nobody could answer, and when to come back (RFC 9110 10.2.3)."""
    title = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}[status]
    refusal = plain(status, f"{status} {title}: no answer from the origin (node {name})")
    if retry_after_s is None:
        return refusal
    seconds = str(max(1, ceil(retry_after_s)))
    return replace(refusal, headers=refusal.headers.plus(("retry-after", seconds)))
