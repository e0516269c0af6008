"""The schedule as a server: at work from the start, with probes that tell how it goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from blackstart.recovery.settings import RecoverySettings
from blackstart.recovery.snapshots import Snapshots
from blackstart.recovery.snapshots import service as service_module
from blackstart.recovery.snapshots.service import snapshot_service
from blackstart.store import ObjectStore
from blackstart.store import metadata as metadata_store

if TYPE_CHECKING:
    from tests.conftest import Bench, Recorder


@pytest.fixture
def seen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    monkeypatch.setattr(service_module, "log_events", lambda service: bench.events)
    return bench.events


def settings(uri: str, folder: Path) -> RecoverySettings:
    return RecoverySettings(mongodb_uri=uri, database="test-service", object_store=str(folder))


async def answers(app: object, path: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://snapshots") as client:
        return await client.get(path)


async def test_it_takes_one_and_counts_it(mongodb_uri: str, tmp_path: Path, seen: Recorder) -> None:
    async with snapshot_service(settings(mongodb_uri, tmp_path)) as running:
        await seen.wait_for("snapshot.taken")
        metrics = (await answers(running.app, "/metrics")).text
        assert "blackstart_snapshots_taken_total 1.0" in metrics
        assert "blackstart_snapshots_newest_timestamp_seconds 1." in metrics
        for path in ("/readyz", "/healthz", "/.blackstart/healthz"):
            assert (await answers(running.app, path)).status_code == 200
    assert len(await Snapshots(ObjectStore.open(str(tmp_path))).all()) == 1
    assert running.work.cancelled()


async def test_while_the_database_is_away_it_runs_and_is_not_ready(
    tmp_path: Path, seen: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata_store, "CONNECT_TIMEOUT_MS", 1)
    async with snapshot_service(settings("mongodb://127.0.0.1:1/", tmp_path)) as running:
        await seen.wait_for("snapshot.failed")
        ready = await answers(running.app, "/readyz")
        assert (ready.status_code, ready.json()["failed"]) == (503, ["database", "snapshots"])
        assert "snapshots_failed_total 1.0" in (await answers(running.app, "/metrics")).text
        assert not running.work.done()
