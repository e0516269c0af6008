"""The guard of a drill: the parts that serve over sockets, on the drill's clock and seed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from blackstart.clock import Event
from blackstart.drills.reviewer import Review, Reviewer
from blackstart.drills.world.shell import GuardedShell
from blackstart.drills.world.world import World
from blackstart.guard.guardroom import Parts, Places, StandingOrders, open_guardroom
from blackstart.guard.logins import Login, Role, Secret
from blackstart.guard.requests import Book, RequestFolder
from blackstart.guard.saver import Saver

SAVE_S = 4.0
PREVIEW_S = 600.0
"""A preview's bound is of the wall's clock: in a drill a slow machine must not show in it."""

# By a call nobody logs in: whose it is, is given.
_NO_SECRET = Secret(b"", 0, b"", b"")
AUTHOR = Login("engineer", "engineer", frozenset(), _NO_SECRET)
REVIEWER = Login("second-engineer", "second-engineer", frozenset({Role.REVIEWER}), _NO_SECRET)

TOLD = ("login", "word", "reason", "state", "outcome", "snapshot")
"""What of an audit line is journaled: not the names of databases, which differ from run to run."""


@dataclass(frozen=True)
class Bell:
    """The channel as a reviewer hears it."""

    rung: Event

    async def tell(self, text: str, *, request: int | None = None) -> None:
        self.rung.set()


@asynccontextmanager
async def guarded(world: World, review: Review) -> AsyncIterator[World]:
    """The same world, with a guard before its database if a safeguard asks for one.

    Raises: StorageError.
    """
    if not world.safeguards.want_guard:
        yield world
        return
    bell = Bell(world.clock.event())
    orders = StandingOrders(world.guard_folder, world.safeguards, preview_s=PREVIEW_S)
    book = Book(RequestFolder(Places(orders.folder).requests), world.clock)
    parts = _parts(world, _Teller(world, book))
    async with open_guardroom(orders, parts, book, bell) as room:
        if "peer-signoff" in world.safeguards:
            reviewer = Reviewer(
                room.decisions, REVIEWER, review, bell.rung, world.clock, world.seed
            )
            world.clock.spawn(REVIEWER.name, reviewer.watch())
        services = world.services
        shell = GuardedShell(room.gate, AUTHOR, services.store, world.oracle)
        yield replace(world, shell=shell)


def head_start_s(world: World) -> float:
    """How long before the fault the command is typed, so that it runs at the fault.

    Saving comes first and takes its time; how long a second person takes nobody knows.
    """
    saves = "pre-write-snapshot" in world.safeguards and "peer-signoff" not in world.safeguards
    return SAVE_S if saves else 0.0


def _parts(world: World, teller: _Teller) -> Parts:
    async def take(database: str) -> str:
        snapshot = await world.take_snapshot()
        await world.clock.sleep(SAVE_S)
        return snapshot.id

    return Parts(
        world.services.store.database.client,
        Saver(take),
        world.services.objects,
        world.clock,
        world.seed.fork("guard"),
        teller,
    )


class _Teller:
    """Journals what the guard says of held writes, and what a preview showed."""

    def __init__(self, world: World, book: Book) -> None:
        self._world = world
        self._book = book

    def __call__(self, action: str, subject: str, **details: Any) -> None:
        if "request" not in details:
            return
        told = {key: details[key] for key in TOLD if key in details}
        if action == "write.held":
            told |= self._preview(details["request"])
        self._world.journal(action, subject, **told)

    def _preview(self, number: int) -> dict[str, Any]:
        (part,) = self._book.get(number).foreseen().parts
        return {
            "matched": part.matched,
            "total": part.total,
            "replaced": dict(part.replaced),
            "dropped": dict(part.dropped),
            "warnings": list(part.warnings),
        }
