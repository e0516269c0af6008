"""What the recover commands share: the stores they work on, and how far they have come."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from blackstart.cli.object_store import must_exist

if TYPE_CHECKING:
    from blackstart.clock import Clock
    from blackstart.control.builds import BuildService
    from blackstart.control.publish import Publisher
    from blackstart.seed import Seed
    from blackstart.settings import Settings
    from blackstart.store import MetadataStore, ObjectStore

T = TypeVar("T")

ENDED_BY_SIGTERM = 143
JOURNAL = Path(".blackstart/recovery")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JournalFolder = Annotated[
    Path,
    typer.Option("--journal", metavar="DIR", help="The folder that holds the journals of runs."),
]
PlanPath = Annotated[Path, typer.Argument(metavar="PLAN", help="As `recover plan` wrote it.")]


@dataclass(frozen=True)
class Tools:
    """The platform's stores, and this process's clock and seed."""

    settings: Settings
    store: MetadataStore
    objects: ObjectStore
    clock: Clock
    seed: Seed

    @asynccontextmanager
    async def control(self) -> AsyncIterator[tuple[Publisher, BuildService]]:
        """The services that publish and queue builds, with a way to tell the nodes.

        Raises: UsageError when the nodes want a token and there is none.
        """
        from blackstart.control.builds import BuildService
        from blackstart.control.publish import Publisher
        from blackstart.control.service import node_purge

        safeguards = self.settings.switches()
        async with node_purge(self.settings, self.store, self.clock) as purge:
            publisher = Publisher(
                self.store, purge, clock=self.clock, safeguards=safeguards, events=silent
            )
            builds = BuildService(
                self.store,
                publisher,
                clock=self.clock,
                seed=self.seed,
                safeguards=safeguards,
                events=silent,
            )
            yield publisher, builds


def tell_run(command: str) -> Callable[[str], None]:
    """Names a run on stderr as it begins, with the command that takes it back.

    A run that is killed says nothing at its end.
    """

    def tell(run: str) -> None:
        print(f"run {run}: `blackstart {command} undo {run}` takes it back", file=sys.stderr)

    return tell


def silent(action: str, subject: str, **details: Any) -> None:
    """Events that the report tells already."""


def with_tools(work: Callable[[Tools], Coroutine[Any, Any, T]]) -> T:
    """Do something on the stores that the environment names; SIGTERM ends it in order.

    Raises: UsageError when one is not named; DatabaseError; KeyboardInterrupt.
    """
    from blackstart import service

    result = service.run(_run(work))
    if result is None:
        raise typer.Exit(ENDED_BY_SIGTERM)
    return result[0]


async def _run(work: Callable[[Tools], Coroutine[Any, Any, T]]) -> tuple[T]:
    from pymongo.errors import PyMongoError

    from blackstart.clock import WallClock
    from blackstart.errors import DatabaseError
    from blackstart.recovery.apply.run import reason_of
    from blackstart.seed import Seed
    from blackstart.settings import Settings, load
    from blackstart.store import ObjectStore
    from blackstart.store.metadata import connect

    settings = load(Settings)
    uri, url = _named(settings)
    must_exist(url)
    objects = ObjectStore.open(url)
    async with connect(uri, settings.database) as store:
        try:
            tools = Tools(settings, store, objects, WallClock(), Seed.from_entropy())
            return (await work(tools),)
        except PyMongoError as error:
            raise DatabaseError(f"MongoDB failed: {reason_of(error)}") from error


def _named(settings: Settings) -> tuple[str, str]:
    """The database and the object store. Raises: UsageError."""
    from blackstart.errors import UsageError

    if not settings.mongodb_uri:
        raise UsageError(
            "no database is named", hint="set BLACKSTART_MONGODB_URI to that of the control API"
        )
    url = settings.object_store
    if not url or url.startswith("memory:"):
        raise UsageError(
            "no object store is named",
            hint="set BLACKSTART_OBJECT_STORE to that of the control API",
        )
    folder = url.removeprefix("file://")
    if "://" not in folder and not Path(folder).is_dir():
        # Opening it would make it, and then nothing would be found in it.
        raise UsageError(
            f"there is no object store at {folder}", hint="see BLACKSTART_OBJECT_STORE"
        )
    return settings.mongodb_uri, url


async def deploy_count(store: MetadataStore) -> int:
    """About how many deploys there are."""
    return await store.database["deploys"].estimated_document_count()


def outcome_words(counts: dict[Any, int], *, dry: bool, undo: bool = False) -> list[str]:
    """How a run went, a line for each kind of outcome that there was."""
    did = "taken back" if undo else "done"
    words = {
        "applied": f"would be {did}" if dry else did,
        "already": "stood so already",
        "changed": "changed since, and left alone",
        "gone": "no longer there",
        "failed": "failed",
        "no-route": "have no way back",
    }
    return [f"{count:>8,}  {words[str(name)]}" for name, count in counts.items() if count]
