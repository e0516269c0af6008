"""Names of databases and collections: what is no such name, and what is the server's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from blackstart.guard.rules.kinds import NotAllowedError, NotKnownError
from blackstart.guard.rules.table import Table

_DATABASE = re.compile(r'[^/\\. "$*<>:|?\x00]{1,63}')
_COLLECTION = re.compile(r"[^$\x00]{1,255}")


def database_name(value: object) -> str:
    """Raises: NotKnownError for what MongoDB would not take either."""
    if not isinstance(value, str) or not _DATABASE.fullmatch(value):
        raise NotKnownError("$db names no database")
    return value


def collection_name(value: object) -> str:
    """Raises: NotKnownError for what MongoDB would not take either, and for a UUID."""
    if not isinstance(value, str) or not _COLLECTION.fullmatch(value) or value.startswith("."):
        raise NotKnownError("it names no collection")
    return value


def check_readable(spaces: Iterable[tuple[str, str]], table: Table) -> None:
    """Raises: NotAllowedError for collections that hold accounts and keys."""
    for database, collection in spaces:
        if f"{database}.{collection}" in table.unreadable:
            raise NotAllowedError(f"{database}.{collection} is nobody's to read")


def check_writable(spaces: Iterable[tuple[str, str]], table: Table) -> None:
    """Raises: NotAllowedError for what is the server's own; NotKnownError for no name at all."""
    for database, collection in spaces:
        if database_name(database) in table.system_databases:
            raise NotAllowedError(f"the database {database} is the server's own")
        if collection_name(collection).startswith(table.system_collections):
            raise NotAllowedError(f"{collection} is the server's own")


def renamed(body: Mapping[str, object]) -> list[tuple[str, str]]:
    """Both ends of a renameCollection. Raises: NotKnownError."""
    found = []
    for value in (body.get("renameCollection"), body.get("to")):
        database, dot, collection = str(value).partition(".")
        if not isinstance(value, str) or not dot:
            raise NotKnownError("renameCollection names no collections")
        found.append((database, collection))
    return found
