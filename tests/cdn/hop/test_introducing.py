"""Tests of what an origin is told about visitors."""

from dataclasses import replace

import pytest

from blackstart.cdn.hop.introducing import IntroducingHop
from blackstart.cdn.message import Headers, Request

VISIT = Request(
    "GET",
    "/a",
    "visited.example",
    Headers([("accept", "x"), ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-host", "evil")]),
    client="192.0.2.7",
)


@pytest.mark.parametrize("tells_client", [True, False])
@pytest.mark.parametrize("host", [None, "own.example:81"])
async def test_the_origin_is_told_what_is_wanted(origin, host, tells_client) -> None:
    await IntroducingHop(origin, host=host, tells_client=tells_client).send(VISIT)
    [sent] = origin.requests
    assert sent.host == (host or "visited.example")
    assert sent.headers.all("accept") == ["x"]
    assert sent.headers.all("x-forwarded-for") == ["192.0.2.7" if tells_client else "1.1.1.1"]
    assert sent.headers.all("x-forwarded-host") == ["visited.example" if host else "evil"]


async def test_of_a_visitor_who_is_not_known_nothing_is_told(origin) -> None:
    hop = IntroducingHop(origin, host=None, tells_client=True)
    await hop.send(replace(VISIT, client=None, headers=Headers()))
    assert origin.requests[0].headers.get("x-forwarded-for") is None
    await hop.close()
    assert origin.closed
