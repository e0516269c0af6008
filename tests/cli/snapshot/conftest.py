"""A database and a bucket that the snapshot commands are pointed at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from blackstart.store import ObjectStore
from blackstart.store.metadata import connect

DATABASE = "test-cli-snapshots"
KEYS = ("BLACKSTART_SNAPSHOT_KEY",)


@dataclass
class Place:
    """Where the commands work; `call` runs one of them."""

    uri: str
    folder: Path
    call: Callable[..., Any]

    @property
    def objects(self) -> ObjectStore:
        return ObjectStore.open(str(self.folder))

    def fill(self, count: int = 3) -> None:
        """Have deploys in the database."""
        self.fill_more(0, count)

    def fill_more(self, start: int, count: int) -> None:
        """Have more deploys in the database, from a number on."""
        self.database(
            lambda database: database["deploys"].insert_many(
                {"_id": f"{number:024x}", "number": number}
                for number in range(start, start + count)
            )
        )

    def database(self, work: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """What `work` with the database comes to."""

        async def run() -> Any:
            async with connect(self.uri, DATABASE) as store:
                return await work(store.database)

        return asyncio.run(run())

    def take(self) -> str:
        """A new snapshot's id."""
        done = self.call("snapshot", "take", "--allow-empty")
        assert done.code == 0, done.err
        return str(done.out.strip())

    def damage_manifest(self, snapshot_id: str) -> None:
        path = self.folder / "snapshots/manifests" / snapshot_id
        path.write_bytes(path.read_bytes()[:-1])

    def json(self, *arguments: str) -> Any:
        """What a command prints as JSON, whatever its exit code."""
        return json.loads(self.call("snapshot", *arguments, "--json").out)


@pytest.fixture
def place(
    call: Callable[..., Any], mongodb_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """An empty database and an empty bucket; the database is dropped afterwards."""
    folder = tmp_path / "bucket"
    folder.mkdir()
    monkeypatch.setenv("BLACKSTART_MONGODB_URI", mongodb_uri)
    monkeypatch.setenv("BLACKSTART_DATABASE", DATABASE)
    monkeypatch.setenv("BLACKSTART_OBJECT_STORE", str(folder))
    for key in KEYS:
        monkeypatch.delenv(key, raising=False)
    made = Place(mongodb_uri, folder, call)
    yield made
    made.database(lambda database: database.client.drop_database(DATABASE))
