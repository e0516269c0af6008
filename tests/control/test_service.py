"""The control plane put together from its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from blackstart.control.service import control_service
from blackstart.settings import Settings
from blackstart.store import MetadataStore

if TYPE_CHECKING:
    from tests.conftest import Client


async def test_the_rate_limit_is_the_setting_s(
    mongodb_uri: str, store: MetadataStore, client_of: Client, tmp_path: Path
) -> None:
    settings = Settings(
        mongodb_uri=mongodb_uri,
        database=store.database.name,
        object_store=str(tmp_path),
        pointer_log=tmp_path / "pointer-log",
        rate_limit=7,
    )
    async with control_service(settings) as app:
        answer = await client_of(app, "http://control.test").get("/api/v1/sites")
    assert (answer.status_code, answer.headers["x-ratelimit-limit"]) == (401, "7")


def test_there_is_a_rate_limit_unless_it_is_switched_off() -> None:
    assert Settings().rate_limit == 600


async def test_its_metrics_count_the_nodes_that_a_purge_went_on_without(
    mongodb_uri: str, store: MetadataStore, client_of: Client, tmp_path: Path
) -> None:
    settings = Settings(
        mongodb_uri=mongodb_uri,
        database=store.database.name,
        object_store=str(tmp_path),
        pointer_log=tmp_path / "pointer-log",
    )
    async with control_service(settings) as app:
        answer = await client_of(app, "http://control.test").get("/metrics")
    assert "blackstart_purge_silent" in answer.text
