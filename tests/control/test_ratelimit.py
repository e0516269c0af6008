"""Tests of the rate limit: by token, by address, and its header fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi import Depends, FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect

from blackstart.clock import WallClock
from blackstart.control.front import put_in_front
from blackstart.control.tokens import TokenService
from blackstart.model import Scope
from blackstart.seed import Seed
from blackstart.store import MetadataStore
from blackstart.web.window import Window, peer_of

if TYPE_CHECKING:
    from tests.conftest import Client, ManualClock

LIMIT = 3
NEXT_MINUTE_S = 1_486_000_020
"""The minute after the one in which the tests' clock starts."""


class Moved(WallClock):
    """A clock that stands where it was put: each example of a property starts its own."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s


def small_app(store: MetadataStore, clock: ManualClock, limit: int) -> FastAPI:
    app = FastAPI()
    access = put_in_front(app, store, clock=clock, seed=Seed(4), rate_limit=limit)

    @app.get("/api/v1/open")
    async def everybody() -> str:
        return "open"

    @app.get("/api/v1/closed", dependencies=[Depends(access.needs(Scope.READ))])
    async def closed() -> str:
        return "closed"

    @app.put("/api/v1/deploys/{deploy_id}/files/{path:path}")
    async def upload(deploy_id: str, path: str, request: Request) -> int:
        return len(await request.body())

    @app.get("/page")
    async def page() -> str:
        return "page"

    return app


@pytest.fixture
def tokens(store: MetadataStore, manual_clock: ManualClock) -> TokenService:
    return TokenService(store, manual_clock, Seed(3))


@pytest.fixture
async def api_from(store: MetadataStore, manual_clock: ManualClock) -> Any:
    """Clients of one application, each from an address of its own."""
    app = small_app(store, manual_clock, LIMIT)
    opened = []

    def make(address: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=app, client=(address, 1))
        opened.append(httpx2.AsyncClient(transport=transport, base_url="http://control.test"))
        return opened[-1]

    yield make
    for client in opened:
        await client.aclose()


async def statuses(api: httpx2.AsyncClient, times: int, path: str = "/api/v1/open") -> list[int]:
    return [(await api.get(path)).status_code for _ in range(times)]


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def test_an_address_has_its_minute_and_then_the_next_one(
    api_from: Any, manual_clock: ManualClock
) -> None:
    api = api_from("192.0.2.1")
    assert await statuses(api, LIMIT + 1) == [200, 200, 200, 429]
    assert await statuses(api_from("192.0.2.2"), 1) == [200]
    manual_clock.now_s = NEXT_MINUTE_S - 0.001
    assert await statuses(api, 1) == [429]
    manual_clock.now_s = float(NEXT_MINUTE_S)
    assert await statuses(api, 1) == [200]


async def test_every_answer_says_what_is_left_and_until_when(api_from: Any) -> None:
    api = api_from("192.0.2.1")
    for left, path in [("2", "open"), ("1", "nowhere"), ("0", "closed"), ("0", "open")]:
        fields = (await api.get(f"/api/v1/{path}")).headers
        assert fields["x-ratelimit-limit"] == str(LIMIT)
        assert fields["x-ratelimit-remaining"] == left
        assert fields["x-ratelimit-reset"] == str(NEXT_MINUTE_S)


async def test_a_refusal_is_a_problem_that_says_when_to_come_back(
    api_from: Any, manual_clock: ManualClock
) -> None:
    api = api_from("192.0.2.1")
    await statuses(api, LIMIT)
    manual_clock.now_s = NEXT_MINUTE_S - 10.5
    refused = await api.get("/api/v1/open")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["retry-after"] == "11"
    assert "x-request-id" in refused.headers


async def test_tokens_count_for_themselves_wherever_they_come_from(
    api_from: Any, tokens: TokenService
) -> None:
    _, first = await tokens.create("a", [Scope.READ])
    _, second = await tokens.create("b", [Scope.READ])
    here, there = api_from("192.0.2.1"), api_from("192.0.2.2")
    await statuses(here, LIMIT + 1)
    for api in (here, there, here):
        assert (await api.get("/api/v1/closed", headers=bearer(first))).status_code == 200
    assert (await there.get("/api/v1/closed", headers=bearer(first))).status_code == 429
    assert (await here.get("/api/v1/closed", headers=bearer(second))).status_code == 200


async def test_nobody_uses_up_a_token_whose_id_alone_he_knows(
    api_from: Any, tokens: TokenService
) -> None:
    made, secret = await tokens.create("a", [Scope.READ])
    stranger = api_from("192.0.2.66")
    for _ in range(LIMIT):
        await stranger.get("/api/v1/open", headers=bearer(f"bst_{made.id}_{'A' * 43}"))
    allowed = await api_from("192.0.2.1").get("/api/v1/closed", headers=bearer(secret))
    assert allowed.headers["x-ratelimit-remaining"] == str(LIMIT - 1)


async def test_tokens_that_are_not_valid_share_the_bucket_of_their_address(api_from: Any) -> None:
    stranger = api_from("192.0.2.66")
    for number in range(LIMIT):
        answer = await stranger.get("/api/v1/open", headers=bearer(f"guess-{number}"))
        assert answer.headers["x-ratelimit-remaining"] == str(LIMIT - 1 - number)
    assert await statuses(stranger, 1) == [429]
    assert await statuses(api_from("192.0.2.1"), 1) == [200]


async def test_secrets_cannot_be_tried_without_end(
    api_from: Any, tokens: TokenService, manual_clock: ManualClock
) -> None:
    made, secret = await tokens.create("a", [Scope.READ])
    stranger = api_from("192.0.2.66")
    upload = "/api/v1/deploys/d/files/x"
    # Uploads are not counted as requests, but as failures they are.
    for number in range(LIMIT):
        await stranger.put(upload, headers=bearer(f"bst_{made.id}_{number:043}"))
    # Even the right one would not be looked at any more.
    refused = await stranger.put(upload, headers=bearer(secret))
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["x-ratelimit-remaining"] == "0"
    manual_clock.now_s = float(NEXT_MINUTE_S)
    assert (await stranger.get("/api/v1/closed", headers=bearer(secret))).status_code == 200


async def test_a_stranger_behind_the_same_proxy_cannot_lock_out_a_token_that_was_accepted(
    api_from: Any, tokens: TokenService
) -> None:
    _, secret = await tokens.create("a", [Scope.READ])
    proxy = api_from("192.0.2.1")
    assert (await proxy.get("/api/v1/closed", headers=bearer(secret))).status_code == 200
    for number in range(LIMIT + 1):
        await proxy.get("/api/v1/closed", headers=bearer(f"guess-{number}"))
    assert (await proxy.get("/api/v1/closed", headers=bearer(secret))).status_code == 200


async def test_sending_files_is_never_too_often(api_from: Any) -> None:
    api = api_from("192.0.2.1")
    await statuses(api, LIMIT)
    sent = await api.put("/api/v1/deploys/d/files/a/b", content=b"1234")
    assert (sent.status_code, sent.json()) == (200, 4)
    assert sent.headers["x-ratelimit-remaining"] == "0"
    assert (await api.put("/api/v1/deploys/d/files")).status_code == 429
    assert (await api.get("/api/v1/deploys/d/files/a")).status_code == 429


async def test_pages_and_probes_are_not_counted(api_from: Any) -> None:
    api = api_from("192.0.2.1")
    await statuses(api, LIMIT)
    assert await statuses(api, 1, "/page") == [200]
    assert await statuses(api, 1, "/healthz") == [200]
    assert "x-ratelimit-limit" not in (await api.get("/page")).headers


async def test_0_switches_it_off(
    store: MetadataStore, manual_clock: ManualClock, client_of: Client
) -> None:
    api = client_of(small_app(store, manual_clock, 0), "http://control.test")
    assert await statuses(api, 20) == [200] * 20
    assert "x-ratelimit-limit" not in (await api.get("/api/v1/open")).headers


async def test_a_database_that_is_away_is_told_by_the_route_that_asks(
    api_from: Any, store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(token_id: str) -> None:
        raise AutoReconnect("no server")

    monkeypatch.setattr(store.tokens, "find", away)
    api = api_from("192.0.2.1")
    failed = await api.get("/api/v1/closed", headers=bearer("x"))
    assert (failed.status_code, failed.json()["code"]) == (503, "database")
    assert (await api.get("/api/v1/open", headers=bearer("x"))).status_code == 200


@pytest.mark.parametrize(
    ("client", "peer"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("2001:db8::1", 5), "2001:db8::"),
        (("2001:db8:0:0:ffff::2", 5), "2001:db8::"),
        (("2001:db8:0:1::", 5), "2001:db8:0:1::"),
        (("fe80::1%eth0", 5), "fe80::"),
        (("testclient", 5), "testclient"),
        (None, "unknown"),
    ],
)
def test_an_ipv6_network_is_one_peer(client: Any, peer: str) -> None:
    assert peer_of({"client": client}) == peer


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 90)), max_size=60))
def test_no_key_has_more_than_its_share_of_a_minute_and_memory_is_bounded(
    asked: list[tuple[int, float]],
) -> None:
    clock = Moved()
    window = Window(clock, 2, max_keys=4)
    for key, pause_s in asked:
        clock.now_s += pause_s
        left = window.left(str(key))
        assert window.take(str(key)) == (left > 0)
        assert window.left(str(key)) == max(0, left - 1)
        assert len(window) <= 4


def test_who_was_quiet_longest_is_forgotten_first(manual_clock: ManualClock) -> None:
    window = Window(manual_clock, 5, max_keys=2)
    for key in ("a", "b", "a", "c"):
        window.take(key)
    assert ["a" in window, "b" in window, "c" in window] == [True, False, True]
