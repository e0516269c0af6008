"""Tests of the door to MongoDB."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from blackstart.errors import DatabaseError
from blackstart.store import MetadataStore
from blackstart.store import metadata as metadata_module
from blackstart.store.metadata import connect


async def test_making_the_indexes_again_changes_nothing(store: MetadataStore) -> None:
    before = await store.database["deploys"].index_information()
    await store.create_indexes()
    assert await store.database["deploys"].index_information() == before


async def test_a_database_that_answers_is_pinged(store: MetadataStore) -> None:
    await store.ping()


@pytest.mark.parametrize("uri", ["http://localhost", "mongodb://localhost:port", ""])
async def test_what_is_no_address_is_one_line_that_names_the_setting(uri: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        async with connect(uri, "any"):
            raise AssertionError("connected to nonsense")
    assert "BLACKSTART_MONGODB_URI" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_database_that_nobody_serves_is_one_line_that_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(metadata_module, "CONNECT_TIMEOUT_MS", 100)
    with pytest.raises(DatabaseError) as caught:
        async with connect(f"mongodb://{quote(str(tmp_path), safe='')}%2Fnobody.sock", "any"):
            raise AssertionError("connected to nobody")
    assert "BLACKSTART_MONGODB_URI" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("uri", ["mongodb://ada:sec/ret@h:1/", "mongodb://ada:sec:ret@h"])
async def test_an_address_that_is_none_is_told_without_its_password(uri: str) -> None:
    with pytest.raises(DatabaseError, match="not a MongoDB address") as told:
        async with connect(uri, "test"):
            pass
    assert "sec" not in str(told.value)
    assert "ret" not in str(told.value)
    assert "percent-encode" in told.value.hint
