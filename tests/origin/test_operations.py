"""Tests of the origin's pages for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2
import pytest
from pymongo import AsyncMongoClient

from blackstart.errors import StorageError
from blackstart.origin import Origin
from blackstart.store import MetadataStore, ObjectStore

if TYPE_CHECKING:
    from tests.conftest import Bench, Client


class BrokenObjects(ObjectStore):
    """Answers nothing."""

    async def ping(self) -> None:
        raise StorageError("cannot reach 10.1.2.3")


def operator(client_of: Client, origin: Origin) -> httpx2.AsyncClient:
    return client_of(origin, "http://127.0.0.1:8080")


@pytest.mark.parametrize("prefix", ["", "/.blackstart"])
async def test_health_readiness_and_metrics_have_short_paths_too(
    bench: Bench, client_of: Client, prefix: str
) -> None:
    client = operator(client_of, bench.origin())
    for page in ("healthz", "readyz"):
        answer = await client.get(f"{prefix}/{page}")
        assert (answer.status_code, answer.text) == (200, "ok\n")
    assert "blackstart_origin_requests" in (await client.get(f"{prefix}/metrics")).text


async def test_on_a_sites_host_these_paths_are_the_sites(bench: Bench, client_of: Client) -> None:
    site = await bench.site("docs")
    await bench.release(site, {"healthz": b"mine", "metrics.html": b"ours"})
    visitor = client_of(bench.origin())
    assert (await visitor.get("/healthz")).content == b"mine"
    assert (await visitor.get("/metrics")).content == b"ours"
    assert (await visitor.get("/readyz")).status_code == 404


async def test_through_a_node_nobody_sees_them(bench: Bench, client_of: Client) -> None:
    client = operator(client_of, bench.origin())
    answer = await client.get("/metrics", headers={"via": "1.1 node-1"})
    assert (answer.status_code, answer.text) == (404, "No such site.\n")


async def test_an_origin_without_its_stores_is_alive_and_says_what_it_lacks(
    bench: Bench, client_of: Client
) -> None:
    nobody = AsyncMongoClient[dict[str, object]](
        "mongodb://127.0.0.1:1/", serverSelectionTimeoutMS=1, connect=False
    )
    store = MetadataStore(nobody["nothing"])
    origin = Origin(store, BrokenObjects.open("memory://"), safeguards=bench.safeguards)
    client = operator(client_of, origin)
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.text == "database does not answer\nobject store does not answer\n"
    assert (await client.get("/healthz")).status_code == 200
    await nobody.close()


async def test_one_store_that_fails_is_named_alone(bench: Bench, client_of: Client) -> None:
    bench.objects = BrokenObjects.open("memory://")
    answer = await operator(client_of, bench.origin()).get("/readyz")
    assert (answer.status_code, answer.text) == (503, "object store does not answer\n")


async def test_how_long_answers_take_is_counted_by_class_of_status(
    bench: Bench, client_of: Client
) -> None:
    site = await bench.site("docs")
    await bench.release(site, {"index.html": b"home", "_redirects": b"/a /b"})
    origin = bench.origin()
    visitor = client_of(origin)
    for path in ("/", "/", "/a", "/none"):
        await visitor.get(path)
    await operator(client_of, origin).get("/metrics")
    counts = {
        status: origin.metrics.registry.get_sample_value(
            "blackstart_origin_request_seconds_count", {"status": status}
        )
        for status in ("2xx", "3xx", "4xx", "5xx")
    }
    assert counts == {"2xx": 2, "3xx": 1, "4xx": 1, "5xx": None}
