"""The shell in which a person types a write: straight to the database, or through a guard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from blackstart.drills.oracle import Oracle, observe
from blackstart.guard.calls import GuardedCalls
from blackstart.guard.gate import GuardGate
from blackstart.guard.logins import Login
from blackstart.store import MetadataStore


@dataclass(frozen=True)
class Done:
    """What the database says a write did."""

    matched: int
    modified: int


class Shell(Protocol):
    """Runs a write to many documents.

    Raises: CommandError when something in between stopped it.
    """

    async def update_many(
        self, collection: str, found: Mapping[str, Any], change: Mapping[str, Any]
    ) -> Done: ...


class DirectShell:
    """Anyone runs any write."""

    def __init__(self, store: MetadataStore) -> None:
        self._store = store

    async def update_many(
        self, collection: str, found: Mapping[str, Any], change: Mapping[str, Any]
    ) -> Done:
        result = await self._store.database[collection].update_many(found, change)
        return Done(result.matched_count, result.modified_count)


class GuardedShell:
    """Every write passes a guard first.

    The oracle looks right before and after a write that does reach the database, in one turn
    with it: while the guard holds it, the platform goes on living.
    """

    def __init__(self, gate: GuardGate, login: Login, store: MetadataStore, oracle: Oracle) -> None:
        self._store = store
        self._oracle = oracle
        self._guarded = GuardedCalls(gate, login, self._send, application="shell")

    async def update_many(
        self, collection: str, found: Mapping[str, Any], change: Mapping[str, Any]
    ) -> Done:
        answer = await self._guarded.run(
            {
                "update": collection,
                "updates": [{"q": found, "u": change, "multi": True}],
                "ordered": True,
                "$db": self._store.database.name,
            }
        )
        return Done(answer["n"], answer["nModified"])

    async def _send(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises: PyMongoError, also when the database refuses it."""
        body = {key: value for key, value in command.items() if key != "$db"}
        self._oracle.before = await observe(self._store, self._oracle.before)
        answer: Mapping[str, Any] = await self._store.database.command(body)
        self._oracle.after = await observe(self._store, self._oracle.before)
        return answer
