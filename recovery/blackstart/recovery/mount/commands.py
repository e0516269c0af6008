"""From a message to its answer: which command it is, and who answers that one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from blackstart.clock import Clock
from blackstart.errors import DigestMismatchError, ObjectNotFoundError
from blackstart.recovery.mount.asked import Asked
from blackstart.recovery.mount.catalogue import Catalogue
from blackstart.recovery.mount.cursors import Cursors
from blackstart.recovery.mount.explaining import explanation
from blackstart.recovery.mount.handshake import Handshake
from blackstart.recovery.mount.pipeline import Pipeline
from blackstart.recovery.mount.query import Query
from blackstart.recovery.mount.ranges import Span
from blackstart.recovery.mount.reading import Reading
from blackstart.recovery.mount.source import Source
from blackstart.recovery.mount.writes import LOGINS, STATEMENTS, WRITES, refused_statements
from blackstart.seed import Seed
from blackstart.wire import Answer, CommandError, Message, Peer

Result = dict[str, Any]

_OK: Result = {"ok": 1.0}
_NOTHING_TO_DO = ("endSessions", "killSessions", "refreshSessions", "ping", "killAllSessions")


class Commands:
    """All commands of a mount; what nobody here answers is refused by MongoDB's codes."""

    def __init__(
        self, source: Source, database: str, clock: Clock, seed: Seed, *, name: str
    ) -> None:
        self.cursors = Cursors(clock, seed)
        self._source = source
        self._name = name
        self._peers: Callable[[], int] = lambda: 0
        self._handshake = Handshake(clock)
        catalogue = Catalogue(source, database, clock)
        self._reading = Reading(source, database, catalogue, self.cursors, clock)
        self._answers: dict[str, Callable[[Asked], Result]] = {
            "buildInfo": lambda asked: self._handshake.build_info(),
            "buildinfo": lambda asked: self._handshake.build_info(),
            "collStats": catalogue.collection_stats,
            "collstats": catalogue.collection_stats,
            "connectionStatus": self._handshake.connection_status,
            "dbStats": catalogue.database_stats,
            "dbstats": catalogue.database_stats,
            "explain": self._explain,
            "getCmdLineOpts": lambda asked: self._handshake.command_line(),
            "getLog": self._handshake.get_log,
            "getParameter": self._handshake.get_parameter,
            "hostInfo": lambda asked: self._handshake.host_info(),
            "listCollections": catalogue.list_collections,
            "listCommands": lambda asked: self._list_commands(),
            "listDatabases": catalogue.list_databases,
            "listIndexes": catalogue.list_indexes,
            "serverStatus": lambda asked: self._handshake.server_status(self._peers()),
        } | {each: lambda asked: _OK for each in _NOTHING_TO_DO}
        self._readings: dict[str, Callable[[Asked], Awaitable[Result]]] = {
            "aggregate": self._reading.aggregate,
            "count": self._reading.count,
            "distinct": self._reading.distinct,
            "find": self._reading.find,
            "getMore": self._reading.get_more,
            "killCursors": self._reading.kill_cursors,
        }

    def count_peers_by(self, peers: Callable[[], int]) -> None:
        """How `serverStatus` learns the number of connections."""
        self._peers = peers

    async def answer(self, message: Message, peer: Peer) -> Sequence[Answer]:
        """The answer, whole, in one document. Raises: CommandError."""
        asked = Asked.by(message)
        try:
            return [await self._result(asked, peer)]
        except (DigestMismatchError, ObjectNotFoundError) as error:
            raise CommandError("DataCorruptionDetected", str(error)) from error

    async def _result(self, asked: Asked, peer: Peer) -> Result:
        name = asked.name
        if name in ("hello", "isMaster", "ismaster"):
            return self._handshake.hello(asked, peer)
        if name == "whatsmyuri":
            return {"you": peer.address, "ok": 1.0}
        if name in self._readings:
            return await self._readings[name](asked)
        if name in self._answers:
            return self._answers[name](asked)
        if name in STATEMENTS:
            return refused_statements(asked, self._read_only(name))
        raise self._refusal(name)

    def _read_only(self, name: str) -> str:
        return f"{name} is not done: {self._name} is read-only, and mounted as it was taken"

    def _refusal(self, name: str) -> CommandError:
        if name in WRITES:
            return CommandError("IllegalOperation", self._read_only(name))
        if name in LOGINS:
            return CommandError("AuthenticationFailed", "a mounted snapshot knows no users")
        return CommandError("CommandNotFound", f"no such command: '{name}'")

    def _explain(self, asked: Asked) -> Result:
        asked.takes("verbosity")
        inner = dict(asked.document("explain"))
        command = Asked(inner | {"$db": asked.database})
        if command.name == "aggregate":
            span = Pipeline(inner.get("pipeline")).query.span
        elif command.name == "find":
            span = self._reading.query_of(command).span
        elif command.name in ("count", "distinct"):
            span = Query(command.document("query")).span
        else:
            raise CommandError("CommandNotFound", f"Explain failed due to: {command.name}")
        if not self._source.is_ordered(command.collection):
            span = Span()
        return explanation(command.namespace, span)

    def _list_commands(self) -> Result:
        known = sorted([*self._answers, *self._readings, "hello", "isMaster", "whatsmyuri"])
        return {"commands": {each: {"help": ""} for each in known}, "ok": 1.0}
