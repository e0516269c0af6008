"""Tests of the probes, as any Starlette application has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.routing import Route
from structlog.testing import capture_logs

from blackstart.builder import service
from blackstart.clock import WallClock
from blackstart.control.purge import NodePurge
from blackstart.errors import DatabaseError
from blackstart.seed import Seed
from blackstart.store import MetadataStore
from blackstart.web import probes
from blackstart.web.probes import Check, probe_endpoints

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Bench, Client

HOST = "http://service.test"


async def fine() -> None:
    """All is well."""


async def broken() -> None:
    raise DatabaseError("MongoDB does not answer: 10.0.0.1:27017")


async def hanging() -> None:
    raise TimeoutError


def app_with(checks: Mapping[str, Check], registry: CollectorRegistry | None = None) -> Starlette:
    endpoints = probe_endpoints(registry or CollectorRegistry(), checks)
    return Starlette(routes=[Route(path, endpoint) for path, endpoint in endpoints.items()])


async def test_a_service_whose_checks_pass_is_ready(client_of: Client) -> None:
    client = client_of(app_with({"database": fine, "store": fine}), HOST)
    for path in ("/healthz", "/readyz"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert answer.headers["cache-control"] == "no-store"


async def test_the_checks_that_failed_are_named_and_their_reasons_are_in_the_log(
    client_of: Client,
) -> None:
    client = client_of(app_with({"database": broken, "fine": fine, "store": hanging}), HOST)
    with capture_logs() as lines:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "failing", "failed": ["database", "store"]}
    assert [line["error"] for line in lines] == [
        "MongoDB does not answer: 10.0.0.1:27017",
        "TimeoutError",
    ]
    assert (await client.get("/healthz")).status_code == 200


async def test_a_check_that_hangs_fails(
    client_of: Client, monkeypatch: pytest.MonkeyPatch, bench: Bench
) -> None:
    async def forever() -> None:
        await bench.clock.event().wait()

    monkeypatch.setattr(probes, "CHECK_TIMEOUT_S", 0.0)
    answer = await client_of(app_with({"database": forever}), HOST).get("/readyz")
    assert (answer.status_code, answer.json()["failed"]) == (503, ["database"])


async def test_metrics_are_in_prometheus_text_format(client_of: Client) -> None:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc()
    answer = await client_of(app_with({}, registry), HOST).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "things_total 1.0" in answer.text


async def test_control_and_worker_have_all_probes(bench: Bench, client_of: Client) -> None:
    control = client_of(bench.control(), HOST)
    no_nodes = NodePurge([], "", bench.store.purges, clock=WallClock(), seed=Seed(1))
    worker = client_of(service._health_app(bench.store, no_nodes), HOST)
    for client in (control, worker):
        for path in ("/healthz", "/readyz", "/metrics"):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert "x-request-id" in answer.headers
    assert (await worker.get("/.blackstart/healthz")).status_code == 200
    assert 'service="worker"' in (await worker.get("/metrics")).text


async def test_a_control_plane_without_its_database_is_not_ready(
    bench: Bench, client_of: Client, monkeypatch: pytest.MonkeyPatch, store: MetadataStore
) -> None:
    monkeypatch.setattr(store, "ping", broken)
    answer = await client_of(bench.control(), HOST).get("/readyz")
    assert (answer.status_code, answer.json()["failed"]) == (503, ["database"])
