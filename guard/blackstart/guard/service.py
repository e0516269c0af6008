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
from blackstart.guard.decisions import Channel, Decisions
from blackstart.guard.gate import GuardGate, Redact, Trail
from blackstart.guard.logins import Logins
from blackstart.guard.preview import Previewer
from blackstart.guard.preview.reads import Client
from blackstart.guard.proxy.own import OwnCommands
from blackstart.guard.proxy.owners import Cursors
from blackstart.guard.proxy.server import Proxy
from blackstart.guard.proxy.upstream import Upstream
from blackstart.guard.requests import Book, RequestFolder, Runner, Save
from blackstart.guard.rules import Judge, Table
from blackstart.guard.sessions import Sessions
from blackstart.guard.settings import GuardSettings
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


@dataclass(frozen=True)
class Parts:
    """What a guard works with, and others make: they are open as long as it runs.

    `client` is the guard's own connection to the database, for previews. `save`
    takes the snapshot before a write; when it fails, the write does not run.
    """

    client: Client
    save: Save
    trail: Trail
    channel: Channel
    redact: Redact
    clock: Clock


@asynccontextmanager
async def open_guard(settings: GuardSettings, parts: Parts, address: str) -> AsyncIterator[Proxy]:
    """A guard that can be served; requests that a crash left in the middle are ended first.

    `address` is where clients reach it, as HOST:PORT.
    Raises: ConflictError when another guard has the folder; UsageError, StorageError,
    DatabaseError for what it cannot work with.
    """
    places = Places(settings.guard_data)
    with _alone(places.folder):
        logins = Logins(places.logins)
        _look_at(logins, settings)
        table = Table.load(settings.guard_rules)
        book = Book(RequestFolder(places.requests), parts.clock)
        runner = Runner(book, parts.trail, parts.save)
        decisions = Decisions(book, parts.trail, parts.channel, parts.clock)
        await _recover(runner, parts)
        cursors = Cursors()
        gate = GuardGate(
            Judge(table),
            Sessions(parts.clock, table),
            cursors,
            Previewer(parts.client, parts.clock),
            decisions,
            runner,
            parts.trail,
            parts.channel,
            redact=parts.redact,
            wait_s=settings.guard_wait_s,
            sign_off=settings.guard_sign_off,
        )
        proxy = Proxy(
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
        await parts.trail.record("guard.started", sign_off=settings.guard_sign_off)
        try:
            yield proxy
        finally:
            await proxy.stop()
            await parts.trail.record("guard.stopped")


async def _recover(runner: Runner, parts: Parts) -> None:
    """End what a crash left in the middle, and tell people of it."""
    for request in await runner.recover():
        text = f"request {request.number} is {request.state}: {request.outcome}"
        await parts.channel.tell(text, request=request.number)


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
