"""What `up` tells its roles: the pointer log lives as long as what it is about."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from blackstart.cli.up_platform import Plan, Platform
from blackstart.settings import Settings

URI = "mongodb://127.0.0.1:1/"


async def told(
    folder: Path, *, data: bool, store: str, monkeypatch: pytest.MonkeyPatch
) -> str | None:
    """The setting that roles are started with."""
    settings = Settings(mongodb_uri=URI, object_store=store)
    plan = Plan(folder if data else None, 1, 1, 0, True)
    platform = Platform(plan, settings, folder, AsyncExitStack())

    async def database() -> str:
        return URI

    monkeypatch.setattr(platform, "_database", database)
    return (await platform._shared_environment()).get("BLACKSTART_POINTER_LOG")


async def test_the_log_is_below_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BLACKSTART_POINTER_LOG", raising=False)
    for store in ("", "s3://bucket"):
        found = await told(tmp_path, data=True, store=store, monkeypatch=monkeypatch)
        assert found == str(tmp_path / "pointer-log")


async def test_where_the_files_outlive_the_folder_the_log_does_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BLACKSTART_POINTER_LOG", raising=False)
    found = await told(tmp_path, data=False, store="s3://bucket", monkeypatch=monkeypatch)
    assert found is None, "the roles' own default holds"


async def test_a_folder_that_was_named_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLACKSTART_POINTER_LOG", "/var/lib/log")
    assert await told(tmp_path, data=True, store="", monkeypatch=monkeypatch) == "/var/lib/log"
