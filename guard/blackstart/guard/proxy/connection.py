"""One client's connection: who it is, what it asks, and the database's answers to what passed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from blackstart.errors import BlackstartError, DatabaseError, UnauthorizedError, WireError
from blackstart.guard.consoles import Console
from blackstart.guard.handshake import Handshake
from blackstart.guard.logins import Login, Logins
from blackstart.guard.plain import one_line
from blackstart.guard.proxy.asked import Asked, Client, Gate, Passage
from blackstart.guard.proxy.greeting import Greeting
from blackstart.guard.proxy.own import CONSOLE, OwnCommands
from blackstart.guard.proxy.owners import Cursors
from blackstart.guard.proxy.upstream import Upstream, UpstreamConnection
from blackstart.guard.rules import Command
from blackstart.wire import (
    CommandError,
    FrameStream,
    Message,
    Peer,
    WireLimits,
    encode_answer,
    error_document,
    parse,
    parse_message,
)
from blackstart.wire.limits import LIMITS
from blackstart.wire.parsing import HANDSHAKES, plain_frame

LOGIN_TIMEOUT_S = 60.0
"""How long a stranger may stay without a word that leads to a login; drivers ask every ten."""
STRANGER_BYTES = 64 * 1024
_OPENS_CURSORS = frozenset(
    {"find", "aggregate", "listCollections", "listIndexes", "getMore", "bulkWrite"}
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class House:
    """What all connections share."""

    upstream: Upstream
    greeting: Greeting
    logins: Logins
    gate: Gate
    cursors: Cursors
    own: OwnCommands | None = None
    limits: WireLimits = LIMITS


class LoginGoneError(Exception):
    """Whose connection it is may not come in any more, or not as what it came in."""


class _Once:
    """A passage that is told one end, the first: what fails later changes nothing about it."""

    def __init__(self, passage: Passage | None) -> None:
        self._passage = passage

    @property
    def is_awaited(self) -> bool:
        return self._passage is not None

    async def answered(self, answer: Mapping[str, Any]) -> None:
        if (passage := self._take()) is not None:
            await passage.answered(answer)

    async def not_sent(self) -> None:
        if (passage := self._take()) is not None:
            await passage.not_sent()

    async def lost(self) -> None:
        if (passage := self._take()) is not None:
            await passage.lost()

    def _take(self) -> Passage | None:
        passage, self._passage = self._passage, None
        return passage


class Connection:
    """Serves one client until it leaves, speaks no MongoDB, or the database is lost."""

    def __init__(self, house: House, peer: Peer, stream: FrameStream) -> None:
        self._house = house
        self._peer = peer
        self._stream = stream
        self._limit_a_stranger()
        self._handshake = Handshake(house.logins)
        self._client: Client | None = None
        self._application = ""
        self._upstream: UpstreamConnection | None = None
        self._console: Console | None = None
        self._numbers = itertools.count(1)

    async def serve(self) -> None:
        try:
            while (message := await self._next()) is not None:
                await self._one(message)
        except WireError as error:
            _log.info("a connection spoke no MongoDB", peer=self._peer.address, why=error.message)
        except DatabaseError as error:
            # Without an answer the client cannot know: a closed connection tells it so.
            _log.warning("the database was lost", peer=self._peer.address, why=error.message)
        except ConnectionError:
            _log.info("a client left", peer=self._peer.address)
        except LoginGoneError as error:
            _log.warning("a connection ends", peer=self._peer.address, why=str(error))
        except TimeoutError:
            _log.info("a stranger stayed too long", peer=self._peer.address)
        except Exception:
            # Nothing is known of what was asked, so that nothing may come of it.
            _log.exception("a connection ends by a mistake of the guard", peer=self._peer.address)
        finally:
            if self._upstream is not None:
                self._upstream.close()
            await asyncio.shield(self._end_console())
            if self._upstream is not None:
                await self._upstream.closed()

    async def _next(self) -> Message | None:
        if self._client is not None:
            frame = await self._stream.receive()
        else:
            async with asyncio.timeout(LOGIN_TIMEOUT_S):
                frame = await self._stream.receive()
        return None if frame is None else parse_message(frame, self._house.limits)

    def _limit_a_stranger(self) -> None:
        """Until there is a login, nothing is held that no handshake needs."""
        self._stream.limits = replace(self._house.limits, message_bytes=STRANGER_BYTES)
        self._stream.is_known = False

    async def _one(self, message: Message) -> None:
        try:
            answer = await self._answer(message)
        except CommandError as error:
            answer = error.document()
        except UnauthorizedError as error:
            _log.warning("a login failed", peer=self._peer.address, why=error.message)
            answer = error_document("AuthenticationFailed", "Authentication failed.")
        except (DatabaseError, WireError):
            raise
        except BlackstartError as error:
            answer = error_document("UnknownError", str(error))
        if answer is not None and not message.more_to_come:
            await self._stream.send(
                encode_answer(message, answer, request_id=next(self._numbers) & 0x7FFF_FFFF)
            )

    async def _answer(self, message: Message) -> Mapping[str, Any] | None:
        """The guard's own answer; None when the database's was passed on, or none is wanted."""
        name = message.command
        if name in HANDSHAKES:
            return await self._hello(_unambiguous(message))
        if name in ("saslStart", "saslContinue"):
            return self._sasl(name, _unambiguous(message))
        if name == "logout":
            self._client = None
            self._limit_a_stranger()
            return {"ok": 1.0}
        if name == "ping" and self._client is None:
            return {"ok": 1.0}
        if self._client is None:
            raise CommandError("Unauthorized", f"Command {name} requires authentication")
        self._check_known(self._client.login)
        own = self._house.own
        if name == CONSOLE:
            return await self._begin_console(self._client, _unambiguous(message))
        if own is not None and name in own:
            return await own.answer(name, _unambiguous(message), self._client.login)
        await self._ask(self._client, message)
        return None

    async def _begin_console(self, client: Client, command: Mapping[str, Any]) -> dict[str, Any]:
        """Said again on the same connection, it changes nothing."""
        consoles = None if self._house.own is None else self._house.own.consoles
        if consoles is None or command.get("$db") != "admin":
            raise CommandError("CommandNotFound", f"{CONSOLE} is not for this guard or database")
        if self._console is not None and self._console.login != client.login.name:
            await self._end_console()
        if self._console is None:
            login, where = client.login, str(command.get("where", ""))
            told = f"{self._peer.address} {self._application}".strip()
            self._console = await consoles.begin(login.name, login.person, told, where)
        return {"ok": 1.0}

    async def _end_console(self) -> None:
        console, self._console = self._console, None
        if console is not None and self._house.own is not None and self._house.own.consoles:
            await self._house.own.consoles.end(console)

    async def _hello(self, command: Mapping[str, Any]) -> dict[str, Any]:
        client = command.get("client")
        if isinstance(client, Mapping):
            application = client.get("application")
            named = application.get("name") if isinstance(application, Mapping) else None
            self._application = one_line(named, 128) if isinstance(named, str) else ""
        answer = await self._house.greeting.hello(command)
        first = command.get("speculativeAuthenticate")
        if isinstance(first, Mapping):
            # As MongoDB does: the driver begins again in the ordinary way, and is told why.
            with contextlib.suppress(UnauthorizedError):
                answer["speculativeAuthenticate"] = self._handshake.start(first, first.get("db"))
        return answer

    def _sasl(self, name: str, command: Mapping[str, Any]) -> dict[str, Any]:
        if name == "saslStart":
            return self._handshake.start(command, command.get("$db"))
        answer, login = self._handshake.go_on(command)
        if login is not None:
            self._client = self._of(login)
            self._stream.limits, self._stream.is_known = self._house.limits, True
        return answer

    def _of(self, login: Login) -> Client:
        return Client(self._peer, login, self._application, self._is_gone)

    def _is_gone(self) -> bool:
        """Whether nobody is there (any more) for whom a command could run."""
        client = self._client
        return self._stream.is_gone or client is None or not self._is_known(client.login)

    def _check_known(self, login: Login) -> None:
        """Raises: LoginGoneError; a driver then logs in again, and is told there. StorageError."""
        if not self._is_known(login):
            raise LoginGoneError(f"the login {login.name} was removed or changed")

    def _is_known(self, login: Login) -> bool:
        """Whether a login is what it was when it came in: its password, its person, its roles.

        Raises: StorageError when the logins cannot be read.
        """
        self._house.logins.refresh()
        return self._house.logins.find(login.name) == login

    async def _ask(self, client: Client, message: Message) -> None:
        """Put a command to the gate, and pass it and its answers on if it may run."""
        command = Command.of_message(message)
        passage = _Once(await self._house.gate.admit(Asked(client, command)))
        try:
            upstream = await self._database()
        except BaseException:
            await asyncio.shield(passage.not_sent())
            raise
        try:
            await upstream.send(plain_frame(message, self._house.limits))
            if message.more_to_come:
                await passage.lost()
            else:
                await self._pass_on(upstream, message, command, client, passage)
        except BaseException:
            # Half an exchange: whatever comes next on this connection answers something else.
            upstream.close()
            self._upstream = None
            await asyncio.shield(passage.lost())
            raise

    async def _pass_on(
        self,
        upstream: UpstreamConnection,
        message: Message,
        command: Command,
        client: Client,
        passage: _Once,
    ) -> None:
        """The answers as they come: one, or several where the client takes several."""
        looks = passage.is_awaited or _may_open_cursor(command)
        frame = await upstream.receive()
        if int.from_bytes(frame[8:12], "little", signed=True) != message.header.request_id:
            # To a question for which no answer was wanted, perhaps.
            raise DatabaseError("the database answers another question than was asked")
        more = True
        while more:
            more = _more_to_come(frame)
            if looks:
                await self._look(frame, client, None if more else passage)
            await self._stream.send(frame)
            if more:
                frame = await upstream.receive()
                self._check_known(client.login)

    async def _look(self, frame: bytes, client: Client, passage: _Once | None) -> None:
        """Note the cursor an answer names, and tell whoever waits for the last one."""
        answer = parse(frame)
        if not isinstance(answer, Message):
            raise WireError("the database answers by OP_REPLY")
        if passage is not None and passage.is_awaited:
            document: Mapping[str, Any] = answer.body.decode()
            await passage.answered(document)
        else:
            document = answer.body.lazily()
        self._house.cursors.note(document, client.login.name)

    async def _database(self) -> UpstreamConnection:
        """Raises: DatabaseError."""
        upstream = self._house.upstream
        if self._upstream is not None and self._upstream.elections != upstream.elections:
            # Cursors and transactions ended with the old primary; the new one says so.
            left, self._upstream = self._upstream, None
            await left.closed()
        if self._upstream is None:
            self._upstream = await upstream.connect()
        return self._upstream


def _unambiguous(message: Message) -> dict[str, Any]:
    """Raises: CommandError for a command with a key that comes twice."""
    if message.duplicates or message.sequences:
        raise CommandError("FailedToParse", f"{message.command} is not as drivers send it")
    return message.body.decode()


def _may_open_cursor(command: Command) -> bool:
    """Whether its answer may name a cursor.

    One that is missed belongs to nobody, and nobody can read on in it.
    """
    return command.name in _OPENS_CURSORS and command.body.get("singleBatch") is not True


def _more_to_come(frame: bytes) -> bool:
    """The flag of an OP_MSG, without reading all of it."""
    return len(frame) > 16 and bool(frame[16] & 2) and frame[12:16] == b"\xdd\x07\x00\x00"
