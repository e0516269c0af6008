"""The rules as a table: read from `rules.toml`, or from a file of one's own in the same form."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from blackstart.errors import UsageError
from blackstart.guard.rules.kinds import Decision, Kind

ANY = "*"
_LISTED = (Kind.SESSION, Kind.STRUCTURAL, Kind.CONTROL, Kind.FORBIDDEN)


@dataclass(frozen=True)
class CollectionRule:
    """What is stricter about one collection. `services` are names of logins, or `*`."""

    database: str
    name: str
    precious: frozenset[str]
    one: Decision
    services: frozenset[str]

    def is_about(self, database: str, collection: str) -> bool:
        return self.database in (ANY, database) and self.name == collection

    def lets(self, service: str | None) -> bool:
        """Whether a service of this name passes; None is a person."""
        return service is not None and bool({ANY, service} & self.services)


@dataclass(frozen=True)
class Table:
    """All rules. `fields` holds each read and write command's own, without the envelope's."""

    decisions: Mapping[Kind, Decision]
    kinds: Mapping[str, Kind]
    fields: Mapping[str, frozenset[str]]
    aliases: Mapping[str, str]
    envelope: frozenset[str]
    statements: Mapping[str, frozenset[str]]
    holding: frozenset[str]
    forbidden_operators: frozenset[str]
    update_operators: frozenset[str]
    query_operators: frozenset[str]
    expression_operators: frozenset[str]
    read_stages: frozenset[str]
    write_stages: frozenset[str]
    update_stages: frozenset[str]
    system_databases: frozenset[str]
    system_collections: str
    unreadable: frozenset[str]
    collections: tuple[CollectionRule, ...]
    insert_documents: int
    depth: int

    @cached_property
    def operators(self) -> frozenset[str]:
        """All that may stand in a filter or an expression."""
        return self.query_operators | self.expression_operators

    @classmethod
    def load(cls, path: Path | None = None) -> Table:
        """The rules that come with the guard, or those of a file.

        Raises: UsageError when the file cannot be read, lacks something, or lets the
        unknown through.
        """
        name = str(path or "rules.toml")
        source = path or resources.files("blackstart.guard.rules").joinpath("rules.toml")
        try:
            return cls.parse(source.read_text("utf-8"))
        except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise UsageError(f"{name} holds no rules: {reason}") from error

    @classmethod
    def parse(cls, text: str) -> Table:
        """Raises: ValueError, KeyError or TypeError for what is no table of rules."""
        found = tomllib.loads(text)
        decisions = {kind: Decision(found["decisions"][kind.value]) for kind in Kind}
        for kind in (Kind.UNKNOWN, Kind.FORBIDDEN):
            if decisions[kind] is Decision.PASS:
                raise ValueError(f"what is {kind} may not pass")
        return cls(
            decisions=decisions,
            kinds=_kinds(found),
            fields={
                name: _words(fields)
                for part in ("read", "write")
                for name, fields in found[part].items()
            },
            aliases=dict(found["aliases"]),
            envelope=_words(found["envelope"]["fields"]),
            statements={name: _words(fields) for name, fields in found["statement"].items()},
            holding=_words(found["holding"]["fields"]),
            forbidden_operators=_words(found["forbidden"]["operators"]),
            update_operators=_words(found["operators"]["update"]),
            query_operators=_words(found["operators"]["query"]),
            expression_operators=_words(found["operators"]["expression"]),
            read_stages=_words(found["stages"]["read"]),
            write_stages=_words(found["stages"]["write"]),
            update_stages=_words(found["stages"]["update"]),
            system_databases=_words(found["system"]["databases"]),
            system_collections=str(found["system"]["collections"]),
            unreadable=_words(found["system"]["unreadable"]),
            collections=tuple(map(_collection, found.get("collections", []))),
            insert_documents=int(found["limits"]["insert_documents"]),
            depth=int(found["limits"]["depth"]),
        )

    def rule_of(self, database: str, collection: str) -> CollectionRule | None:
        """The first stricter rule about a collection."""
        matching = (rule for rule in self.collections if rule.is_about(database, collection))
        return next(matching, None)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _kinds(found: Mapping[str, Any]) -> dict[str, Kind]:
    """Which kind a name is at first; a command that stands twice is a mistake in the table."""
    pairs = [(name, Kind.READ) for name in found["read"]]
    pairs += [(name, Kind.ONE) for name in found["write"]]
    for kind in _LISTED:
        pairs += [(name, kind) for name in found[kind.value]["commands"].split()]
    kinds: dict[str, Kind] = {}
    for name, kind in pairs:
        if name in kinds:
            raise ValueError(f"{name} stands under {kinds[name]} and under {kind}")
        kinds[name] = kind
    return kinds


def _collection(row: Mapping[str, Any]) -> CollectionRule:
    return CollectionRule(
        database=row["database"],
        name=row["name"],
        precious=_words(row["precious"]),
        one=Decision(row["one"]),
        services=_words(row.get("services", "")),
    )
