"""What the tests of single rules share: a page, an origin's answers to it, and visits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from blackstart.cdn.message import Headers, Request, Response, whole_body
from blackstart.cdn.node import Node

Fields = list[tuple[str, str]] | dict[str, str]
HOST = "a.example"


class Bench:
    """A node between visitors and a scripted origin."""

    def __init__(self, node: Node, origin: Any, clock: Any) -> None:
        self.node = node
        self.origin = origin
        self.clock = clock
        self._pages = 0

    def says(self, status: int = 200, fields: Fields = (), body: bytes = b"page") -> None:
        """What the origin answers from now on; a body is numbered by how often it was asked."""
        pairs = list(fields.items()) if isinstance(fields, dict) else list(fields)
        self.origin.answer = Response(status, Headers(pairs), body)

    async def visit(
        self,
        fields: Fields = (),
        *,
        method: str = "GET",
        target: str = "/",
        host: str = HOST,
        body: bytes = b"",
    ) -> Response:
        """One request through the node; its body read to the end."""
        pairs = list(fields.items()) if isinstance(fields, dict) else list(fields)
        request = Request(method, target, host, Headers(pairs), body)
        response = self.node.quick(request) or await self.node.answer(request)
        content = await whole_body(response.body)
        return Response(response.status, response.headers, content)

    @property
    def asked(self) -> int:
        """How often the origin was asked so far."""
        return len(self.origin.requests)

    async def is_reused(
        self,
        fields: Fields,
        *,
        status: int = 200,
        after_s: float = 2,
        asking: Fields = (),
        then: Fields | None = None,
        method: str = "GET",
    ) -> bool:
        """Whether a response with these fields answers the same request again, later."""
        self._pages += 1
        target = f"/{self._pages}"
        self.says(status, fields)
        await self.visit(asking, method=method, target=target)
        before = self.asked
        self.clock.advance(after_s)
        await self.visit(asking if then is None else then, target=target)
        self.clock.advance(-after_s)
        return self.asked == before


@pytest.fixture
def bench(node: Node, origin: Any, clock: Any) -> Bench:
    return Bench(node, origin, clock)


Reused = Callable[..., Awaitable[bool]]


@pytest.fixture
def is_reused(bench: Bench) -> Reused:
    return bench.is_reused
