"""The guardroom: all that decides about commands, without the sockets by which they come.

A server puts a proxy before it; a drill calls it on its own clock. Which of the
guard's safeguards are on is read here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from blackstart.clock import Clock
from blackstart.durable import make_folder
from blackstart.events import Events, log_events
from blackstart.guard.audit import NoTrail, TellingTrail, open_trail
from blackstart.guard.decisions import Channel, Decisions
from blackstart.guard.gate import WAIT_S, GuardGate, Trail
from blackstart.guard.preview import Previewer
from blackstart.guard.preview.previewer import BUDGET_S
from blackstart.guard.preview.reads import Client
from blackstart.guard.proxy.owners import Cursors
from blackstart.guard.redact import Redaction
from blackstart.guard.requests import Book, Request, Runner, Save, Saved
from blackstart.guard.rules import Judge, Table
from blackstart.guard.sessions import Sessions
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import ObjectStore

NOT_SAVED = "none: snapshots before writes are off"


@dataclass(frozen=True)
class Places:
    """What lies where in a guard's folder."""

    folder: Path

    def make(self) -> None:
        """Make the folder, for its owner alone: what lies there holds other people's documents.

        Raises: OSError.
        """
        make_folder(self.folder, mode=0o700)

    @property
    def logins(self) -> Path:
        return self.folder / "logins.json"

    @property
    def logins_lock(self) -> Path:
        return self.folder / "logins.lock"

    @property
    def requests(self) -> Path:
        return self.folder / "requests"

    @property
    def audit(self) -> Path:
        return self.folder / "audit"

    @property
    def heads(self) -> Path:
        return self.folder / "audit-heads"

    @property
    def channel(self) -> Path:
        return self.folder / "channel"


@dataclass(frozen=True)
class Parts:
    """What a guard works with, and others make: all of it is open as long as the guard runs.

    `client` is the guard's own connection to the database, for previews. `save`
    takes the snapshot before a write; when it fails, the write does not run.
    `objects` is where the audit trail is moved to. `events` is told what becomes of
    held writes.
    """

    client: Client
    save: Save
    objects: ObjectStore
    clock: Clock
    seed: Seed
    events: Events = field(default_factory=lambda: log_events("blackstart.guard"))


@dataclass(frozen=True)
class StandingOrders:
    """How a guard is to work. `safeguards` says whether it asks, saves and keeps a record.

    `wait_s` is how long a held command waits for an answer, `preview_s` how long
    one may look at what it would do.
    """

    folder: Path
    safeguards: Safeguards
    rules: Path | None = None
    redact: Sequence[str] = ()
    wait_s: float = WAIT_S
    preview_s: float = BUDGET_S


@dataclass(frozen=True)
class Guardroom:
    """Everything of a guard that knows no connection."""

    gate: GuardGate
    decisions: Decisions
    trail: Trail
    cursors: Cursors


@asynccontextmanager
async def open_guardroom(
    orders: StandingOrders, parts: Parts, book: Book, channel: Channel
) -> AsyncIterator[Guardroom]:
    """A guardroom on a folder that is the caller's alone; what a crash left is ended first.

    Raises: UsageError, StorageError for what it cannot work with.
    """
    async with _trail(orders, parts) as trail:
        yield await _furnish(orders, parts, TellingTrail(trail, parts.events), book, channel)


def _trail(orders: StandingOrders, parts: Parts) -> AbstractAsyncContextManager[Trail]:
    if "audit-trail" not in orders.safeguards:
        return nullcontext(NoTrail())
    places = Places(orders.folder)
    return open_trail(
        places.audit,
        places.heads,
        "guard",
        parts.objects,
        clock=parts.clock,
        seed=parts.seed,
        events=parts.events,
    )


async def _furnish(
    orders: StandingOrders, parts: Parts, trail: Trail, book: Book, channel: Channel
) -> Guardroom:
    """All of it wired together, and what a crash left in the middle ended."""
    table = Table.load(orders.rules)
    saves = "pre-write-snapshot" in orders.safeguards
    runner = Runner(book, trail, parts.save if saves else _save_nothing)
    decisions = Decisions(book, trail, channel, parts.clock)
    await _recover(runner, channel)
    cursors = Cursors()
    redact = Redaction(orders.redact)
    gate = GuardGate(
        Judge(table),
        Sessions(parts.clock, table),
        cursors,
        Previewer(parts.client, parts.clock, redact, budget_s=orders.preview_s),
        decisions,
        runner,
        trail,
        channel,
        redact=redact,
        wait_s=orders.wait_s,
        sign_off="peer-signoff" in orders.safeguards,
    )
    return Guardroom(gate, decisions, trail, cursors)


async def _save_nothing(request: Request) -> Saved:
    return Saved(NOT_SAVED, "")


async def _recover(runner: Runner, channel: Channel) -> None:
    """End what a crash left in the middle, and tell people of it."""
    for request in await runner.recover():
        text = f"request {request.number} is {request.state}: {request.outcome}"
        await channel.tell(text, request=request.number)
