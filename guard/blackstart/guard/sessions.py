"""Whose session is whose, and which transaction runs in it.

Behind the guard all clients share one login of the database, so that the
server would let one client use another's session: commit a transaction that
somebody else began, or add to it. Here a session belongs to the first login
that uses it.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from blackstart.clock import Clock
from blackstart.guard.rules import Command, Table
from blackstart.guard.rules.transactions import Transaction
from blackstart.wire import CommandError

MOST_EACH = 10_000
"""Sessions of one login: nobody can take the room of others."""
LIFETIME_S = 2 * 30 * 60.0
"""Twice the time after which MongoDB forgets a session that nobody uses."""


_ENDS = frozenset({"commitTransaction", "abortTransaction"})


@dataclass
class _Session:
    owner: str
    used_s: float
    transaction: Transaction | None = None


class Sessions:
    """All sessions of all connections, each with its owner."""

    def __init__(self, clock: Clock, table: Table, *, most_each: int = MOST_EACH) -> None:
        self._clock = clock
        self._table = table
        self._most_each = most_each
        self._counts = Counter[str]()
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def use(self, command: Command, owner: str) -> Transaction | None:
        """Note that a login uses a command's session; returns the transaction it is part of.

        Raises: CommandError for somebody else's session, and for a transaction that did
        not begin before this guard's eyes.
        """
        self._forget_old()
        for listed in _listed(command):
            self._look_at(listed, owner, ends=command.name == "endSessions")
        name = _session_id(command.body.get("lsid"))
        if name is None:
            if command.in_transaction or command.name in _ENDS:
                raise CommandError("InvalidOptions", "a transaction needs a session")
            return None
        session = self._own(name, owner)
        return self._transaction(session, command)

    def _own(self, name: bytes, owner: str) -> _Session:
        session = self._sessions.get(name)
        if session is None:
            if self._counts[owner] >= self._most_each:
                text = f"the guard holds no more than {self._most_each} sessions of one login"
                raise CommandError("TooManyLogicalSessions", text)
            session = self._sessions[name] = _Session(owner, self._clock.time())
            self._counts[owner] += 1
        if session.owner != owner:
            raise CommandError("Unauthorized", "this session is another login's")
        session.used_s = self._clock.time()
        self._sessions.move_to_end(name)
        return session

    def _look_at(self, name: bytes, owner: str, *, ends: bool) -> None:
        """A session that is refreshed or ended; one that nobody used yet is nobody's."""
        if name in self._sessions:
            self._own(name, owner)
            if ends:
                self._forget(name)

    def _transaction(self, session: _Session, command: Command) -> Transaction | None:
        body = command.body
        number, running = body.get("txnNumber"), session.transaction
        if not command.in_transaction:
            if command.name in _ENDS:
                raise CommandError("InvalidOptions", "the end of a transaction is not told clearly")
            return None
        if body.get("autocommit") is not False or type(number) is bool:
            raise CommandError("InvalidOptions", "a statement's transaction is not told clearly")
        if not isinstance(number, int) or body.get("startTransaction") not in (None, True):
            raise CommandError("InvalidOptions", "a statement's transaction is not told clearly")
        if running is not None and running.number == number:
            return running
        if "startTransaction" not in body or (running is not None and number < running.number):
            raise CommandError("NoSuchTransaction", "the guard did not see its beginning")
        session.transaction = Transaction(self._table, int(number))
        return session.transaction

    def _forget_old(self) -> None:
        oldest = self._clock.time() - LIFETIME_S
        while self._sessions:
            name, session = next(iter(self._sessions.items()))
            if session.used_s > oldest:
                return
            self._forget(name)

    def _forget(self, name: bytes) -> None:
        self._counts[self._sessions.pop(name).owner] -= 1


def _session_id(value: object) -> bytes | None:
    """Raises: CommandError for what is no `lsid`."""
    if value is None:
        return None
    found = value.get("id") if isinstance(value, Mapping) else None
    given = getattr(found, "bytes", found)
    if not isinstance(value, Mapping) or set(value) != {"id"} or not isinstance(given, bytes):
        raise CommandError("InvalidOptions", "lsid is not as drivers send it")
    return bytes(given)


def _listed(command: Command) -> list[bytes]:
    """The sessions that endSessions and refreshSessions name."""
    if command.name not in ("endSessions", "refreshSessions"):
        return []
    listed = command.body[command.name]
    if not isinstance(listed, list):
        raise CommandError("InvalidOptions", "it lists no sessions")
    return [name for each in listed if (name := _session_id(each)) is not None]
