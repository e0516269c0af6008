"""Transactions, judged by what they add up to.

A statement in a transaction is judged by itself first. What passes is kept,
and the commit passes only when all that no reviewer has seen writes to one
document at most: many writes to one document each would otherwise be a way
round the sign-off. A sign-off within a transaction sees all its writes so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import bson

from blackstart.guard.rules.command import Command, digest_of
from blackstart.guard.rules.judge import Verdict
from blackstart.guard.rules.kinds import Action, Decision, Kind, Write
from blackstart.guard.rules.table import Table
from blackstart.wire.documents import PLAIN


@dataclass
class Transaction:
    """One transaction of one session, from its first statement to its end.

    `statements` are its writes so far, `signed` how many of them, from the
    first one on, a reviewer has seen.
    """

    table: Table
    number: int
    statements: list[Verdict] = field(default_factory=list)
    signed: int = 0
    committing: bool = False

    @property
    def writes(self) -> tuple[Write, ...]:
        return tuple(write for verdict in self.statements for write in verdict.writes)

    def digest_with(self, command: Command) -> str:
        """Names the writes so far and the command after them, as a sign-off must."""
        return digest_of([*(verdict.command for verdict in self.statements), command])

    def add(self, verdict: Verdict, *, signed: bool = False) -> None:
        """Keep a write that is about to run, also one that may fail: closed by default."""
        if not verdict.is_write:
            return
        self.statements.append(verdict)
        # A commit that the database refused leaves it open: what is added is judged again.
        self.committing = False
        if signed:
            self.signed = len(self.statements)

    def judge_commit(self, command: Command) -> Verdict:
        """Whether the transaction as a whole may be made permanent."""
        if self.committing:
            return self._passing(command, "commit, asked again")
        unseen = self.statements[self.signed :]
        if not unseen:
            return self._passing(command, "commit of what was signed, or of nothing")
        documents = {document for verdict in unseen for document in _documents(verdict)}
        if not self.signed and len(documents) == 1 and None not in documents:
            return self._passing(command, "commit of writes to one document")
        spaces = tuple(sorted({space for verdict in self.statements for space in verdict.spaces}))
        kind = Kind.SEVERAL
        verdict = Verdict(
            self.table.decisions[kind],
            kind,
            f"commit of {len(self.statements)} writes that add up to several documents",
            command,
            writes=self.writes,
            spaces=spaces,
            precious=tuple(sorted({path for each in self.statements for path in each.precious})),
        )
        if verdict.decision is Decision.HOLD and not command.answered:
            return replace(verdict, decision=Decision.REFUSE)
        return verdict

    def sign(self) -> None:
        """A reviewer has seen all that is in it."""
        self.signed = len(self.statements)

    def _passing(self, command: Command, reason: str) -> Verdict:
        return Verdict(
            self.table.decisions[Kind.SESSION], Kind.SESSION, reason, command, writes=self.writes
        )


def _documents(verdict: Verdict) -> list[tuple[str, bytes] | None]:
    """The documents of one statement; None stands for what has no name."""
    return [_document(write) for write in verdict.writes] or [None]


def _document(write: Write) -> tuple[str, bytes] | None:
    """Names the one document of a one-document write; None where it has no name."""
    if write.action is Action.INSERT:
        if len(write.documents) != 1:
            return None
        found = write.documents[0]
        key = found.get("_id") if isinstance(found, Mapping) else None
        return None if key is None else (write.namespace, _encoded(key))
    if write.many or not write.pinned:
        return None
    return write.namespace, _encoded(write.filter["_id"])


def _encoded(value: Any) -> bytes:
    return bson.encode({"": value}, codec_options=PLAIN)
