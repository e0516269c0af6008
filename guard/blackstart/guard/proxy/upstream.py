"""The database behind the guard: connections to it, logged in with the guard's own credentials."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson import Binary
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri
from scramp import ScramClient, ScramException

from blackstart.errors import DatabaseError, WireError
from blackstart.guard.logins import MECHANISM
from blackstart.store.address import no_address
from blackstart.wire import FrameStream, Message, encode_command, parse_message

CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Credentials:
    """Who the guard is for the database."""

    name: str
    password: str
    source: str


class UpstreamConnection:
    """One connection to the database; frames go in and come out as they are."""

    def __init__(self, stream: FrameStream, elections: int = 0) -> None:
        """`elections` is how many the upstream had seen before it looked for the primary."""
        self.elections = elections
        self._stream = stream
        self._requests = itertools.count(1)

    async def send(self, frame: bytes) -> None:
        """Raises: DatabaseError when the connection is gone; what was sent may have arrived."""
        try:
            await self._stream.send(frame)
        except OSError as error:
            raise _lost(error) from error

    async def receive(self) -> bytes:
        """The next frame. Raises: DatabaseError, also when the database closed."""
        try:
            frame = await self._stream.receive()
        except (WireError, OSError) as error:
            raise _lost(error) from error
        if frame is None:
            raise _lost("it closed the connection")
        return frame

    async def call(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Ask one command of the guard's own. Raises: DatabaseError."""
        await self.send(encode_command(command, request_id=next(self._requests)))
        try:
            answer: Message = parse_message(await self.receive())
            return answer.body.decode()
        except WireError as error:
            raise _lost(error) from error

    def close(self) -> None:
        self._stream.abort()

    async def closed(self) -> None:
        """Close, and wait until it is: TLS takes a moment for it."""
        self._stream.abort()
        await self._stream.wait_closed()


class Upstream:
    """Where the database is, and how the guard gets in.

    Raises: DatabaseError for a URI that is none.
    """

    def __init__(self, uri: str) -> None:
        try:
            found = parse_uri(uri)
        except (PyMongoError, ValueError) as error:
            raise no_address(uri, error, "give --upstream mongodb://host:port") from error
        self._uri = uri
        self._seeds: list[tuple[str, int]] = found["nodelist"]
        options = found["options"]
        alone = len(self._seeds) == 1 and not options.get("replicaSet")
        self._direct = bool(options.get("directConnection")) or alone
        self._tls = _tls(options) if options.get("tls") else None
        mechanism = options.get("authMechanism") or MECHANISM
        if mechanism != MECHANISM:
            raise DatabaseError(
                f"the guard does not log in to the database by {mechanism}",
                hint=f"give it an account that has {MECHANISM}",
            )
        source = options.get("authSource") or found["database"] or "admin"
        self._credentials = (
            Credentials(found["username"], found["password"] or "", source)
            if found["username"]
            else None
        )

        self.elections = 0
        """How often it was seen that another member is primary: older connections lead astray."""
        self._known: tuple[str, int] | None = None
        """Where writes went last; looked up again when that is not there any more."""

    def forget_primary(self) -> None:
        """The member that was asked is primary no more."""
        self.elections += 1
        self._known = None

    async def connect(self) -> UpstreamConnection:
        """A fresh connection to the primary, logged in. Raises: DatabaseError."""
        elections = self.elections
        host, port = self._known or await self._primary()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, stream = await asyncio.get_running_loop().create_connection(
                    FrameStream, host, port, ssl=self._tls
                )
        except (OSError, TimeoutError) as error:
            self._known = None
            why = f": {error}" if isinstance(error, ssl.SSLError) else ""
            raise DatabaseError(f"no connection to the database at {host}:{port}{why}") from error
        self._known = (host, port) if self.elections == elections else None
        connection = UpstreamConnection(stream, elections)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._log_in(connection)
        except BaseException:
            await connection.closed()
            raise
        return connection

    async def _primary(self) -> tuple[str, int]:
        """Where writes go: the one address there is, whom the set has elected, or a router.

        All go to the same router: cursors and transactions are known there alone.
        """
        if self._direct:
            return self._seeds[0]
        async with AsyncMongoClient[dict[str, Any]](
            self._uri, serverSelectionTimeoutMS=int(CONNECT_TIMEOUT_S * 1000)
        ) as client:
            try:
                await client.admin.command("ping")
                primary, nodes = await client.primary, client.nodes
            except PyMongoError as error:
                reason = str(error).splitlines()[0][:160]
                raise DatabaseError(f"no primary of the database answers: {reason}") from error
        return primary or next((seed for seed in self._seeds if seed in nodes), self._seeds[0])

    async def _log_in(self, connection: UpstreamConnection) -> None:
        if self._credentials is None:
            return
        known = self._credentials
        client = ScramClient([MECHANISM], known.name, known.password)
        try:
            first = await _sasl(connection, known, "saslStart", client.get_client_first())
            client.set_server_first(first)
            final = await _sasl(connection, known, "saslContinue", client.get_client_final())
            client.set_server_final(final)
        except ScramException as error:
            raise DatabaseError("the database does not prove that it knows the guard") from error


async def _sasl(connection: UpstreamConnection, known: Credentials, step: str, payload: str) -> str:
    command: dict[str, Any] = {step: 1, "payload": Binary(payload.encode())}
    if step == "saslStart":
        command |= {"mechanism": MECHANISM, "options": {"skipEmptyExchange": True}}
    else:
        command["conversationId"] = 1
    answer = await connection.call({**command, "$db": known.source})
    if not answer.get("ok"):
        raise DatabaseError(
            f"the database refuses the guard's login {known.name}: {answer.get('errmsg')}"
        )
    return bytes(answer["payload"]).decode()


def _tls(options: Mapping[str, Any]) -> ssl.SSLContext:
    """As the driver would do by the same options. Raises: DatabaseError for files it cannot use."""
    try:
        context = ssl.create_default_context(cafile=options.get("tlsCAFile"))
        if crl := options.get("tlsCRLFile"):
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
            context.load_verify_locations(crl)
        if own := options.get("tlsCertificateKeyFile"):
            context.load_cert_chain(own, password=options.get("tlsCertificateKeyFilePassword"))
    except OSError as error:
        raise DatabaseError(f"TLS to the database cannot be set up: {error}") from error
    lax = bool(options.get("tlsInsecure"))
    if lax or options.get("tlsAllowInvalidCertificates") or options.get("tlsAllowInvalidHostnames"):
        context.check_hostname = False
    if lax or options.get("tlsAllowInvalidCertificates"):
        context.verify_mode = ssl.CERT_NONE
    return context


def _lost(reason: object) -> DatabaseError:
    return DatabaseError(f"the connection to the database broke off: {reason}")
