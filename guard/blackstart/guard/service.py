"""The guard as a service: all its parts on one folder, before one database."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from starlette.types import ASGIApp

from blackstart.clock import Clock
from blackstart.errors import ConflictError, InvalidDocumentError, NotFoundError, UsageError
from blackstart.guard.channel import Callbacks, GuardChannel, open_channel
from blackstart.guard.consoles import Consoles
from blackstart.guard.decisions import Decisions
from blackstart.guard.guardroom import Guardroom, Parts, Places, StandingOrders, open_guardroom
from blackstart.guard.logins import Logins
from blackstart.guard.preview.reads import Client
from blackstart.guard.proxy.own import OwnCommands
from blackstart.guard.proxy.server import Proxy
from blackstart.guard.proxy.upstream import Upstream
from blackstart.guard.requests import Book, RequestFolder, State
from blackstart.guard.settings import GuardSettings
from blackstart.guard.web import House, page_app
from blackstart.safeguards import Safeguards
from blackstart.service import serve_http
from blackstart.store.backend import storage_errors
from blackstart.web.probes import Check

FOLDER_FAILURE = "the guard's folder cannot be used"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Guard:
    """A guard that can be served: the proxy for clients, and the page for people."""

    proxy: Proxy
    page: ASGIApp
    clock: Clock

    async def run(
        self,
        sock: socket.socket,
        page_sock: socket.socket | None = None,
        *,
        tls_cert: Path | None = None,
        ready: Callable[[], object],
    ) -> None:
        """Serve until cancelled; without `page_sock` there is no page. `ready` when both answer."""
        if page_sock is None:
            await self.proxy.run(sock, ready)
            return
        page_answers = self.clock.event()

        async def behind_the_page() -> None:
            await page_answers.wait()
            await self.proxy.run(sock, ready)

        proxy = asyncio.create_task(behind_the_page())
        try:
            await serve_http(
                self.page,
                page_sock,
                ready=lambda url: page_answers.set(),
                work=proxy,
                tls_cert=tls_cert,
            )
        finally:
            proxy.cancel()
            await asyncio.wait([proxy])


@asynccontextmanager
async def open_guard(settings: GuardSettings, parts: Parts, address: str) -> AsyncIterator[Guard]:
    """A guard that can be served; requests that a crash left in the middle are ended first.

    `address` is where clients reach it, as HOST:PORT.
    Raises: ConflictError when another guard has the folder; UsageError, StorageError,
    DatabaseError for what it cannot work with.
    """
    orders = _orders(settings)
    places = Places(orders.folder)
    with _alone(orders.folder):
        sign_off = "peer-signoff" in orders.safeguards
        logins = Logins(places.logins)
        _look_at(logins, sign_off=sign_off)
        book = Book(RequestFolder(places.requests), parts.clock)
        async with (
            open_channel(
                places.channel,
                parts.clock,
                parts.events,
                webhook=settings.guard_webhook.get_secret_value(),
                page=settings.guard_http_url,
                digest_of=_asks(book) if settings.takes_callbacks else lambda number: None,
            ) as channel,
            open_guardroom(orders, parts, book, channel) as room,
        ):
            guard = _guard(settings, parts, logins, channel, room, address)
            await room.trail.record("guard.started", address=address, sign_off=sign_off)
            try:
                yield guard
            finally:
                await guard.proxy.stop()
                await room.trail.record("guard.stopped", address=address)


def _orders(settings: GuardSettings) -> StandingOrders:
    """`guard_sign_off` can switch off what the safeguards of the platform have on."""
    on = [name for name in settings.switches() if name != "peer-signoff" or settings.guard_sign_off]
    return StandingOrders(
        settings.guard_data,
        Safeguards(on),
        rules=settings.guard_rules,
        redact=settings.guard_redact,
        wait_s=settings.guard_wait_s,
    )


def _guard(
    settings: GuardSettings,
    parts: Parts,
    logins: Logins,
    channel: GuardChannel,
    room: Guardroom,
    address: str,
) -> Guard:
    """The doors to a guardroom: the proxy for clients, and the page for people."""
    proxy = Proxy(
        Upstream(settings.needed_mongodb_uri()),
        logins,
        room.gate,
        parts.clock,
        address=address,
        cursors=room.cursors,
        own=OwnCommands(room.decisions, Consoles(room.trail, channel, parts.clock)),
        max_connections=settings.guard_max_connections,
        tls=tls_of(settings.guard_tls_cert),
    )
    house = House(room.decisions, logins, channel, room.trail, parts.clock, parts.seed.fork("page"))
    page = page_app(
        house,
        callbacks=_callbacks(settings, logins, room.decisions, parts.clock),
        url=settings.guard_http_url,
        tls=settings.guard_tls_cert is not None,
        checks={"database": _ping(parts.client)},
    )
    return Guard(proxy, page, parts.clock)


def _asks(book: Book) -> Callable[[int], str | None]:
    """The digest of a request as long as it waits for a decision."""

    def digest_of(number: int) -> str | None:
        try:
            request = book.get(number)
        except (NotFoundError, InvalidDocumentError):
            # Its line is told all the same, and holds up none behind it.
            return None
        return request.digest if request.state is State.HELD else None

    return digest_of


def _callbacks(
    settings: GuardSettings, logins: Logins, decisions: Decisions, clock: Clock
) -> Callbacks | None:
    """Who takes presses of buttons; None where nobody could tell who pressed."""
    secret = settings.guard_signing_secret.get_secret_value()
    if not secret:
        return None
    return Callbacks(secret, settings.guard_people, logins, decisions, clock)


def _ping(client: Client) -> Check:
    async def ping() -> None:
        await client.admin.command("ping")

    return ping


def _look_at(logins: Logins, *, sign_off: bool) -> None:
    """Warn of logins with which nothing, or no held write, can be done."""
    people = {login.person for login in logins.all() if not login.is_service}
    reviewers = {login.person for login in logins.all() if login.reviews}
    add = "see `blackstart guard login add`"
    if not logins.all():
        _log.warning("nobody can log in to this guard yet", hint=add)
    elif sign_off and (not reviewers or len(people | reviewers) < 2):
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
        Places(folder).make()
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
