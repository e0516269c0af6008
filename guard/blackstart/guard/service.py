"""The guard as a service: all its parts on one folder, before one database."""

from __future__ import annotations

import fcntl
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from blackstart.clock import Clock
from blackstart.durable import make_folder
from blackstart.errors import ConflictError, UsageError
from blackstart.events import log_events
from blackstart.guard.audit import AuditTrail, open_trail
from blackstart.guard.decisions import Channel, Decisions
from blackstart.guard.gate import GuardGate
from blackstart.guard.log_channel import LogChannel
from blackstart.guard.logins import Logins
from blackstart.guard.preview import Previewer
from blackstart.guard.preview.reads import Client
from blackstart.guard.proxy.own import OwnCommands
from blackstart.guard.proxy.owners import Cursors
from blackstart.guard.proxy.server import Proxy
from blackstart.guard.proxy.upstream import Upstream
from blackstart.guard.redact import Redaction
from blackstart.guard.requests import Book, RequestFolder, Runner, Save
from blackstart.guard.rules import Judge, Table
from blackstart.guard.sessions import Sessions
from blackstart.guard.settings import GuardSettings
from blackstart.seed import Seed
from blackstart.store import ObjectStore
from blackstart.store.backend import storage_errors

FOLDER_FAILURE = "the guard's folder cannot be used"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Places:
    """What lies where in a guard's folder."""

    folder: Path

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


@dataclass(frozen=True)
class Parts:
    """What a guard works with, and others make: all of it is open as long as the guard runs.

    `client` is the guard's own connection to the database, for previews. `save`
    takes the snapshot before a write; when it fails, the write does not run.
    `objects` is where the audit trail is moved to.
    """

    client: Client
    save: Save
    objects: ObjectStore
    clock: Clock
    seed: Seed


@asynccontextmanager
async def open_guard(settings: GuardSettings, parts: Parts, address: str) -> AsyncIterator[Proxy]:
    """A guard that can be served; requests that a crash left in the middle are ended first.

    `address` is where clients reach it, as HOST:PORT.
    Raises: ConflictError when another guard has the folder; UsageError, StorageError,
    DatabaseError for what it cannot work with.
    """
    places = Places(settings.guard_data)
    with _alone(places.folder):
        async with open_trail(
            places.audit,
            places.heads,
            "guard",
            parts.objects,
            clock=parts.clock,
            seed=parts.seed,
            events=log_events("blackstart.guard"),
        ) as trail:
            proxy = await _open(settings, parts, places, trail, address)
            await trail.record("guard.started", address=address, sign_off=settings.guard_sign_off)
            try:
                yield proxy
            finally:
                await proxy.stop()
                await trail.record("guard.stopped", address=address)


async def _open(
    settings: GuardSettings, parts: Parts, places: Places, trail: AuditTrail, address: str
) -> Proxy:
    """All of it wired together, and what a crash left in the middle ended."""
    channel = LogChannel()
    logins = Logins(places.logins)
    _look_at(logins, settings)
    table = Table.load(settings.guard_rules)
    book = Book(RequestFolder(places.requests), parts.clock)
    runner = Runner(book, trail, parts.save)
    decisions = Decisions(book, trail, channel, parts.clock)
    await _recover(runner, channel)
    cursors = Cursors()
    gate = GuardGate(
        Judge(table),
        Sessions(parts.clock, table),
        cursors,
        Previewer(parts.client, parts.clock),
        decisions,
        runner,
        trail,
        channel,
        redact=Redaction(settings.guard_redact),
        wait_s=settings.guard_wait_s,
        sign_off=settings.guard_sign_off,
    )
    return Proxy(
        Upstream(settings.needed_mongodb_uri()),
        logins,
        gate,
        parts.clock,
        address=address,
        cursors=cursors,
        own=OwnCommands(decisions),
        max_connections=settings.guard_max_connections,
        tls=tls_of(settings.guard_tls_cert),
    )


async def _recover(runner: Runner, channel: Channel) -> None:
    """End what a crash left in the middle, and tell people of it."""
    for request in await runner.recover():
        text = f"request {request.number} is {request.state}: {request.outcome}"
        await channel.tell(text, request=request.number)


def _look_at(logins: Logins, settings: GuardSettings) -> None:
    """Warn of logins with which nothing, or no held write, can be done."""
    people = {login.person for login in logins.all() if not login.is_service}
    reviewers = {login.person for login in logins.all() if login.reviews}
    add = "see `blackstart guard login add`"
    if not logins.all():
        _log.warning("nobody can log in to this guard yet", hint=add)
    elif settings.guard_sign_off and (not reviewers or len(people | reviewers) < 2):
        _log.warning("no second person can approve held writes", hint=add)


def tls_of(certificate: Path | None) -> ssl.SSLContext | None:
    """TLS with a certificate and its key, both in one PEM file. Raises: UsageError."""
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or type(error).__name__
        raise UsageError(f"{certificate} holds no certificate with its key: {reason}") from error
    return context


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder for as long as the guard runs: two would both run approved writes.

    Raises: ConflictError when another guard holds it; StorageError.
    """
    with storage_errors(FOLDER_FAILURE):
        make_folder(folder)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with storage_errors(FOLDER_FAILURE):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError(f"another guard runs on {folder}") from error
        yield
    finally:
        os.close(descriptor)
