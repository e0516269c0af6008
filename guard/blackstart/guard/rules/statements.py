"""Write commands taken apart into their statements, each of a known shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from blackstart.guard.rules.changes import check_change
from blackstart.guard.rules.command import Command
from blackstart.guard.rules.kinds import Action, NotKnownError, Write
from blackstart.guard.rules.operators import (
    check_expression,
    check_filter,
    check_harmless,
    pins_one,
)
from blackstart.guard.rules.table import Table

_OPTIONS = ("collation", "arrayFilters", "hint", "sort", "c", "constants")


def writes_of(command: Command, name: str, collection: str, table: Table) -> list[Write]:
    """What a write command's statements do. Raises: NotKnownError, NotAllowedError."""
    return _READERS[name](_Reader(command.body, str(command.database), collection, table))


class _Reader:
    """Reads one command's statements; each method is for one command."""

    def __init__(
        self, body: Mapping[str, Any], database: str, collection: str, table: Table
    ) -> None:
        self._body = body
        self._database = database
        self._collection = collection
        self._table = table
        self._let = body.get("let")
        check_expression(self._let, table)

    def insert(self) -> list[Write]:
        documents = _documents(self._body, "documents", empty=True)
        return [Write(Action.INSERT, self._database, self._collection, documents=documents)]

    def update(self) -> list[Write]:
        return [self._update(each) for each in self._statements("updates")]

    def delete(self) -> list[Write]:
        return [self._delete(each) for each in self._statements("deletes")]

    def find_and_modify(self) -> list[Write]:
        body = self._body
        removes = _flag(body, "remove")
        if removes == ("update" in body):
            raise NotKnownError("findAndModify either removes or updates")
        _flag(body, "new")
        check_expression(body.get("fields"), self._table)
        found = body.get("query", {})
        if removes:
            return [self._write(Action.REMOVE, body, found)]
        return [self._write(Action.UPDATE, body, found, body["update"])]

    def bulk_write(self) -> list[Write]:
        spaces = [self._space(each) for each in _documents(self._body, "nsInfo")]
        writes = []
        for each in _documents(self._body, "ops"):
            number = each.get(next(iter(each), ""))
            if type(number) is not int or not 0 <= number < len(spaces):
                raise NotKnownError("an operation names no namespace")
            self._database, self._collection = spaces[number]
            writes.append(self._operation(each))
        return writes

    def _space(self, each: Mapping[str, Any]) -> tuple[str, str]:
        name = each.get("ns")
        if set(each) != {"ns"} or not isinstance(name, str) or "." not in name:
            raise NotKnownError("nsInfo holds no namespaces")
        database, _, collection = name.partition(".")
        return database, collection

    def _operation(self, each: Mapping[str, Any]) -> Write:
        kind = next(iter(each))
        _only(each, self._table.statements.get(f"bulk_{kind}"), f"the operation {kind}")
        if kind == "insert":
            document = [each.get("document")]
            return Write(Action.INSERT, self._database, self._collection, documents=document)
        found, many = each.get("filter"), _flag(each, "multi")
        if kind == "delete":
            return self._write(Action.REMOVE, each, found, many=many)
        return self._write(Action.UPDATE, each, found, each.get("updateMods"), many=many)

    def _statements(self, name: str) -> list[Mapping[str, Any]]:
        found = _documents(self._body, name)
        for each in found:
            _only(each, self._table.statements[name], f"a statement of {name}")
        return found

    def _update(self, each: Mapping[str, Any]) -> Write:
        many = _flag(each, "multi")
        return self._write(Action.UPDATE, each, each.get("q"), each.get("u"), many=many)

    def _delete(self, each: Mapping[str, Any]) -> Write:
        limit = each.get("limit")
        if isinstance(limit, bool) or limit not in (0, 1):
            raise NotKnownError("a delete's limit is neither 0 nor 1")
        return self._write(Action.REMOVE, each, each.get("q"), many=limit == 0)

    def _write(
        self,
        action: Action,
        each: Mapping[str, Any],
        found: object,
        change: object = None,
        *,
        many: bool = False,
    ) -> Write:
        table = self._table
        options = {key: each[key] for key in _OPTIONS if key in each}
        check_harmless(options, table)
        if each.get("arrayFilters", []) != []:
            for part in _documents(each, "arrayFilters"):
                check_filter(part, table)
        known = check_filter(found, table)
        if self._let is not None:
            options["let"] = self._let
        return Write(
            action,
            self._database,
            self._collection,
            known,
            check_change(change, table) if action is Action.UPDATE else None,
            many,
            _flag(each, "upsert"),
            options=options,
            pinned=pins_one(known, options.get("collation")),
        )


_READERS: dict[str, Callable[[_Reader], list[Write]]] = {
    "insert": _Reader.insert,
    "update": _Reader.update,
    "delete": _Reader.delete,
    "findAndModify": _Reader.find_and_modify,
    "bulkWrite": _Reader.bulk_write,
}


def _documents(
    body: Mapping[str, Any], name: str, *, empty: bool = False
) -> list[Mapping[str, Any]]:
    """A list of documents, of which none is empty unless that is allowed."""
    found = body.get(name)
    if not isinstance(found, Sequence) or isinstance(found, (str, bytes)) or not found:
        raise NotKnownError(f"there are no {name}")
    if not all(isinstance(each, Mapping) and (each or empty) for each in found):
        raise NotKnownError(f"{name} holds what is no document")
    return list(found)


def _only(each: Mapping[str, Any], known: frozenset[str] | None, what: str) -> None:
    if known is None:
        raise NotKnownError(f"{what} is not known")
    for key in each:
        if key not in known:
            raise NotKnownError(f"{what} has the field {key!r}, which is not known")


def _flag(each: Mapping[str, Any], name: str) -> bool:
    value = each.get(name, False)
    if not isinstance(value, bool):
        raise NotKnownError(f"{name} is neither true nor false")
    return value
