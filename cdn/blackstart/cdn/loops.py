"""How far a request goes: the marks a node leaves on it, its own among them, and Max-Forwards."""

from __future__ import annotations

from dataclasses import replace

from blackstart.cdn.message import Headers, Request, Response, plain

_CDN_LOOP = "cdn-loop"


class Passage:
    """Via (RFC 9110 section 7.6.3) and CDN-Loop (RFC 8586) of one node.

    `identity` tells this node from all others, those of the same name too.
    """

    def __init__(self, name: str, identity: str) -> None:
        self._name = name
        self._mark = f"blackstart;id={identity}"

    def is_loop(self, request: Request) -> bool:
        """Whether this node has forwarded the request before."""
        marks = ",".join(request.headers.all(_CDN_LOOP)).split(",")
        return any(mark.strip() == self._mark for mark in marks)

    def outward(self, request: Request) -> Request:
        """The request as it goes on."""
        headers = request.headers.end_to_end()
        if request.method in ("OPTIONS", "TRACE"):
            headers = _one_step_further(headers)
        via = ("via", f"{request.version} {self._name}")
        return replace(request, headers=headers.plus(via, (_CDN_LOOP, self._mark)))


def _one_step_further(headers: Headers) -> Headers:
    """Max-Forwards counted down (RFC 9110 section 7.6.2)."""
    left = headers.get("max-forwards")
    if left is None or not (left.isascii() and left.isdigit()):
        return headers
    return headers.without({"max-forwards"}).plus(("max-forwards", str(max(0, int(left[:9]) - 1))))


def at_the_end(request: Request) -> Response | None:
    """The answer to a TRACE or OPTIONS that may go no further (RFC 9110 section 7.6.2)."""
    if request.method not in ("OPTIONS", "TRACE"):
        return None
    if request.headers.get("max-forwards") != "0":
        return None
    if request.method == "TRACE":
        return plain(405, "405 Method Not Allowed: this node does not echo requests")
    return Response(204, plain(204, "").headers.without({"content-length", "content-type"}))
