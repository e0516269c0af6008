"""The judge: from a parsed command to what it is, and what becomes of it.

What the rules do not know by its name, fields and operators is unknown, and
never passes. Nothing is judged by text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from blackstart.guard.plain import one_line
from blackstart.guard.rules.changes import WHOLE, overlaps, touched
from blackstart.guard.rules.command import Command
from blackstart.guard.rules.kinds import (
    Action,
    Decision,
    Kind,
    NotAllowedError,
    NotKnownError,
    Write,
)
from blackstart.guard.rules.names import (
    check_readable,
    check_writable,
    collection_name,
    database_name,
    renamed,
)
from blackstart.guard.rules.operators import check_expression, check_filter, check_harmless
from blackstart.guard.rules.pipelines import sources_of, targets_of
from blackstart.guard.rules.statements import writes_of
from blackstart.guard.rules.table import ANY, Table

_FILTERS = ("filter", "query")
_EXPRESSIONS = ("projection", "let", "fields", "sort", "min", "max", "hint")
_ON_COLLECTIONS = frozenset(
    {"find", "aggregate", "count", "distinct", "listIndexes", "collStats"}
    | {"insert", "update", "delete", "findAndModify"}
)
_EXPLAINED = frozenset(
    {"find", "aggregate", "count", "distinct", "update", "delete", "findAndModify", "bulkWrite"}
)
_ON_NAMESPACES = frozenset(
    {"enableSharding", "shardCollection", "reshardCollection", "unshardCollection"}
    | {"refineCollectionShardKey"}
)
"""Run on the database admin, and name another one."""
_PLAIN_CREATE = frozenset({"create", "autoIndexId"})


@dataclass(frozen=True)
class Verdict:
    """What a command is, and what becomes of it.

    `reason` is a line for people. `spaces` are the databases and collections it
    would write to, as far as the command says; `writes` its statements. `cursors`
    are those it goes on with or ends: whoever keeps them must see that they are
    the asking connection's own. `precious` are the precious paths it touches.
    """

    decision: Decision
    kind: Kind
    reason: str
    command: Command
    writes: tuple[Write, ...] = ()
    spaces: tuple[tuple[str, str], ...] = ()
    cursors: tuple[int, ...] = ()
    precious: tuple[str, ...] = ()

    @property
    def is_write(self) -> bool:
        return self.kind in (Kind.ONE, Kind.SEVERAL, Kind.STRUCTURAL)


class Judge:
    """Judges commands by a table of rules; it keeps nothing of them."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def judge(self, command: Command, *, service: str | None = None) -> Verdict:
        """Judge one command by itself; `service` names the login of a program, None is a person.

        Transactions are judged by what they add up to as well: see `Transaction`.
        """
        try:
            found = self._classify(command)
        except NotKnownError as error:
            found = self._found(command, Kind.UNKNOWN, str(error))
        except NotAllowedError as error:
            found = self._found(command, Kind.FORBIDDEN, str(error))
        found = self._stricter(self._without_answer(found), service)
        if found.decision is Decision.HOLD and not command.is_exact:
            reason = f"{found.reason}; it holds values that people would be shown as others"
            found = replace(found, decision=Decision.REFUSE, reason=reason)
        reason = one_line(found.reason)
        return found if reason is found.reason else replace(found, reason=reason)

    def _found(self, command: Command, kind: Kind, reason: str, **more: Any) -> Verdict:
        return Verdict(self.table.decisions[kind], kind, reason, command, **more)

    def _classify(self, command: Command) -> Verdict:
        if command.flaws:
            raise NotKnownError("; ".join(command.flaws))
        database_name(command.database)
        name = self.table.aliases.get(command.name, command.name)
        kind = self.table.kinds.get(name)
        if kind is None:
            raise NotKnownError(f"the command {command.name!r} is not known")
        if kind is Kind.READ:
            return self._read(command, name)
        if kind is Kind.ONE:
            return self._write(command, name)
        if kind is Kind.STRUCTURAL:
            return self._structural(command, name)
        if kind is Kind.FORBIDDEN:
            raise NotAllowedError(f"{name} is never let through")
        return self._found(command, kind, name)

    def _collection(self, command: Command, name: str) -> str | None:
        """The collection that a command names by its first field; None for one that has none."""
        if name not in _ON_COLLECTIONS:
            return None
        value = command.body[command.name]
        if name == "aggregate" and value == 1 and not isinstance(value, bool):
            return None
        return collection_name(value)

    def _check_fields(self, command: Command, name: str) -> None:
        known = self.table.fields[name]
        if ANY in known:
            check_harmless(command.body, self.table)
            return
        for key in list(command.body)[1:]:
            if key not in known and key not in self.table.envelope:
                raise NotKnownError(f"{name} has the field {key!r}, which is not known")

    def _read(self, command: Command, name: str) -> Verdict:
        body, database = command.body, str(command.database)
        self._check_fields(command, name)
        if name == "explain":
            return self._explain(command)
        collection = self._collection(command, name)
        for field in _FILTERS:
            if field in body:
                check_filter(body[field], self.table)
        for field in _EXPRESSIONS:
            if field in body:
                check_expression(body[field], self.table)
        if name == "aggregate":
            return self._aggregate(command, collection)
        if collection is not None:
            check_readable([(database, collection)], self.table)
        if name in ("getMore", "killCursors"):
            return self._found(command, Kind.READ, name, cursors=_cursors(body, name))
        return self._found(command, Kind.READ, f"{name} only reads")

    def _aggregate(self, command: Command, collection: str | None) -> Verdict:
        database = str(command.database)
        pipeline = command.body.get("pipeline")
        targets = targets_of(pipeline, database, self.table)
        sources = sources_of(pipeline, database)
        check_readable(sources | {(database, collection or "")}, self.table)
        if not targets:
            return self._found(command, Kind.READ, "aggregate only reads")
        check_writable(targets, self.table)
        stage = next(iter(command.body["pipeline"][-1]))
        reason = f"{stage} writes to {'.'.join(targets[0])}"
        return self._found(command, Kind.STRUCTURAL, reason, spaces=tuple(targets))

    def _explain(self, command: Command) -> Verdict:
        """As harmless as what it explains: no server is trusted to explain without doing."""
        inner = command.body.get("explain")
        if not isinstance(inner, Mapping) or "explain" in inner:
            raise NotKnownError("explain explains no command")
        if self.table.aliases.get(next(iter(inner), ""), next(iter(inner), "")) not in _EXPLAINED:
            raise NotKnownError("explain explains no such command")
        if inner.get("$db", command.database) != command.database:
            raise NotKnownError("explain names two databases")
        judged = self._classify(Command({**inner, "$db": command.database}))
        return replace(judged, command=command, reason=f"explain: {judged.reason}")

    def _write(self, command: Command, name: str) -> Verdict:
        self._check_fields(command, name)
        collection = self._collection(command, name)
        writes = tuple(writes_of(command, name, collection or "", self.table))
        spaces = tuple(sorted({(write.database, write.collection) for write in writes}))
        check_writable(spaces, self.table)
        kind, reason = self._extent(name, writes)
        found = self._found(command, kind, reason, writes=writes, spaces=spaces)
        held = sorted(field for field in self.table.holding if command.body.get(field))
        if held and found.decision is Decision.PASS:
            return replace(found, decision=Decision.HOLD, reason=f"{reason}, with {held[0]}")
        return found

    def _extent(self, name: str, writes: tuple[Write, ...]) -> tuple[Kind, str]:
        """Whether one document at most is written to, and why or why not."""
        if name == "bulkWrite":
            return Kind.SEVERAL, f"bulkWrite of {len(writes)} operations"
        if len(writes) > 1:
            return Kind.SEVERAL, f"{name} of {len(writes)} statements"
        (write,) = writes
        if write.action is Action.INSERT:
            count = len(write.documents)
            kind = Kind.ONE if count <= self.table.insert_documents else Kind.SEVERAL
            return kind, f"insert of {count} documents" if count > 1 else "insert of one document"
        if write.many:
            return Kind.SEVERAL, f"{name} of all documents that match"
        if not write.pinned:
            return Kind.SEVERAL, f"{name} of a document that is not named by its _id"
        return Kind.ONE, f"{name} of one document by _id"

    def _structural(self, command: Command, name: str) -> Verdict:
        body, database = command.body, str(command.database)
        named = body[command.name]
        plain = name == "create" and isinstance(named, str)
        plain = plain and set(body) <= _PLAIN_CREATE | self.table.envelope
        if name == "renameCollection":
            spaces = renamed(body)
        elif name in _ON_NAMESPACES:
            spaces = [_parted(named)]
        elif name == "cloneCollectionAsCapped":
            spaces = [(database, str(named)), (database, str(body.get("toCollection")))]
        elif isinstance(named, str):
            spaces = [(database, named)]
        else:
            spaces = [(database, "*")]
        check_writable(spaces, self.table)
        if plain:
            reason = "an empty collection"
            return self._found(command, Kind.ONE, reason, spaces=tuple(spaces))
        where = " to ".join(".".join(space) for space in spaces)
        return self._found(command, Kind.STRUCTURAL, f"{name} on {where}", spaces=tuple(spaces))

    def _without_answer(self, found: Verdict) -> Verdict:
        """Whoever does not wait for the answer cannot be told that the write is held."""
        if found.decision is not Decision.HOLD or found.command.answered:
            return found
        reason = f"{found.reason}; it is held, and nobody waits for its answer"
        return replace(found, decision=Decision.REFUSE, reason=reason)

    def _stricter(self, found: Verdict, service: str | None) -> Verdict:
        """What single collections ask for beyond the kind's own decision."""
        asked = found.decision
        precious: list[str] = []
        for write in found.writes:
            rule = self.table.rule_of(write.database, write.collection)
            paths = _precious(write, rule.precious) if rule else []
            precious += (f"{write.collection}.{path}" for path in paths)
            if rule and paths and asked is Decision.PASS and not rule.lets(service):
                asked = rule.one
        if asked is found.decision:
            return replace(found, precious=tuple(precious)) if precious else found
        reason = f"{found.reason}, touching {', '.join(precious)}"
        stricter = replace(found, decision=asked, reason=reason, precious=tuple(precious))
        return self._without_answer(stricter)


def _precious(write: Write, paths: frozenset[str]) -> list[str]:
    """Which precious paths a statement may change; a new document destroys nothing."""
    if write.action is Action.INSERT:
        return []
    changed = {WHOLE} if write.change is None else touched(write.change)
    return sorted(path for path in paths if any(overlaps(path, each) for each in changed))


def _cursors(body: Mapping[str, Any], name: str) -> tuple[int, ...]:
    given = [body["getMore"]] if name == "getMore" else body.get("cursors")
    if not isinstance(given, list) or not all(type(each) is not bool for each in given):
        raise NotKnownError(f"{name} names no cursors")
    if not all(isinstance(each, int) for each in given):
        raise NotKnownError(f"{name} names no cursors")
    return tuple(int(each) for each in given)


def _parted(namespace: object) -> tuple[str, str]:
    database, _, collection = str(namespace).partition(".")
    return database, collection or "*"
