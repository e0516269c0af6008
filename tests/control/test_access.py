"""Tests of the demand for a token, on a small application and over HTTP in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import structlog
from fastapi import Depends, FastAPI
from structlog.testing import capture_logs

from blackstart.control.access import Access
from blackstart.control.front import put_in_front
from blackstart.control.tokens import TokenService
from blackstart.model import Scope, Token
from blackstart.seed import Seed
from blackstart.store import MetadataStore

if TYPE_CHECKING:
    from tests.conftest import Client, ManualClock

NO_CHALLENGE = 'Bearer realm="blackstart"'


@pytest.fixture
def tokens(store: MetadataStore, manual_clock: ManualClock) -> TokenService:
    return TokenService(store, manual_clock, Seed(3))


@pytest.fixture
def app(store: MetadataStore, manual_clock: ManualClock) -> FastAPI:
    app = FastAPI()
    access = put_in_front(app, store, clock=manual_clock, seed=Seed(4), rate_limit=0)
    add_routes(app, access)
    return app


def add_routes(app: FastAPI, access: Access) -> None:
    operator = access.needs(Scope.OPERATE)

    @app.get("/api/v1/open")
    async def everybody() -> str:
        return "open"

    @app.get("/api/v1/deploys", dependencies=[Depends(access.needs(Scope.DEPLOY))])
    async def deploys() -> str:
        structlog.get_logger("route").info("inside")
        return "deploys"

    # FastAPI resolves annotations in the module, where `operator` is not: hence the default.
    @app.get("/api/v1/me")
    async def me(token: Token = Depends(operator)) -> str:
        return token.name


@pytest.fixture
def api(app: FastAPI, client_of: Client) -> httpx2.AsyncClient:
    return client_of(app, "http://control.test/api/v1")


def bearer(secret: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"Authorization": f"{scheme} {secret}"}


async def test_without_a_token_only_open_routes_answer(api: httpx2.AsyncClient) -> None:
    assert (await api.get("/open")).status_code == 200
    refused = await api.get("/deploys")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    assert refused.headers["www-authenticate"] == NO_CHALLENGE


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_bearer_in_any_case(
    api: httpx2.AsyncClient, tokens: TokenService, scheme: str
) -> None:
    _, secret = await tokens.create("ci", [Scope.DEPLOY])
    assert (await api.get("/deploys", headers=bearer(secret, scheme))).status_code == 200


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic Y2k6Y2k=", "bst_x"])
async def test_what_is_no_bearer_token_is_no_token(api: httpx2.AsyncClient, value: str) -> None:
    refused = await api.get("/deploys", headers={"Authorization": value})
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == NO_CHALLENGE


@pytest.mark.parametrize(
    "value", ["x", "bst_0_0", 'a"b\\c', "é".encode("latin-1").decode("latin-1")]
)
async def test_a_token_that_is_not_valid_is_named_so(api: httpx2.AsyncClient, value: str) -> None:
    refused = await api.get(
        "/deploys", headers={"Authorization": f"Bearer {value}".encode("latin-1")}
    )
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == (
        f'{NO_CHALLENGE}, error="invalid_token", error_description="the token is not valid"'
    )


async def test_a_token_without_the_scope_is_told_which(
    api: httpx2.AsyncClient, tokens: TokenService
) -> None:
    _, secret = await tokens.create("ci", [Scope.DEPLOY, Scope.REVIEW])
    refused = await api.get("/me", headers=bearer(secret))
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "operate" in refused.json()["message"]
    assert refused.headers["www-authenticate"] == (
        f'{NO_CHALLENGE}, error="insufficient_scope", scope="operate"'
    )


async def test_a_scope_that_includes_the_demanded_one_is_enough_and_the_route_gets_its_token(
    api: httpx2.AsyncClient, tokens: TokenService
) -> None:
    _, secret = await tokens.create("night shift", [Scope.OPERATE])
    assert (await api.get("/deploys", headers=bearer(secret))).status_code == 200
    assert (await api.get("/me", headers=bearer(secret))).json() == "night shift"


async def test_a_revoked_token_is_refused_at_once(
    api: httpx2.AsyncClient, tokens: TokenService
) -> None:
    made, secret = await tokens.create("ci", [Scope.DEPLOY])
    assert (await api.get("/deploys", headers=bearer(secret))).status_code == 200
    await tokens.revoke(made.id)
    refused = await api.get("/deploys", headers=bearer(secret))
    assert (refused.status_code, refused.json()["message"]) == (401, "the token is revoked")


async def test_log_lines_name_the_token_and_never_its_secret(
    api: httpx2.AsyncClient, tokens: TokenService
) -> None:
    made, secret = await tokens.create("ci", [Scope.DEPLOY])
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        await api.get("/deploys", headers=bearer(secret))
        await api.get("/open")
    inside, request, other = lines
    for line in (inside, request):
        assert (line["token_id"], line["token_name"]) == (made.id, "ci")
    assert "token_id" not in other
    assert secret[-43:] not in str(lines)


def test_the_openapi_document_shows_which_routes_need_a_token(app: FastAPI) -> None:
    document: dict[str, Any] = app.openapi()
    scheme = document["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert document["paths"]["/api/v1/deploys"]["get"]["security"] == [{"token": []}]
    assert document["paths"]["/api/v1/me"]["get"]["security"] == [{"token": []}]
    assert "security" not in document["paths"]["/api/v1/open"]["get"]


def test_equal_demands_are_one_dependency() -> None:
    access = Access.__new__(Access)
    assert access.needs(Scope.READ) == access.needs(Scope.READ)
    assert access.needs(Scope.READ) != access.needs(Scope.DEPLOY)
