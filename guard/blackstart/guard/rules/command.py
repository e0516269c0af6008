"""A command as the rules see it: one body, its database, and whether it can be trusted as read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import bson
from bson import Decimal128

from blackstart.wire import Message
from blackstart.wire.documents import PLAIN

SESSION_FIELDS = frozenset({"lsid", "$clusterTime", "txnNumber", "autocommit", "startTransaction"})
"""Fields in which the same command differs each time it is sent."""


@dataclass(frozen=True)
class Command:
    """A body with the document sequences merged in.

    `flaws` are reasons not to trust it: keys that come twice, sequences that
    are not what they say. A command with any is refused.
    """

    body: Mapping[str, Any]
    flaws: tuple[str, ...] = ()
    more_to_come: bool = False
    message: Message | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        body: Mapping[str, Any],
        sequences: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    ) -> Command:
        """From parts that were parsed elsewhere, without duplicate keys."""
        merged = dict(body)
        flaws = _merge(merged, list((sequences or {}).items()))
        return cls(merged, tuple(flaws))

    @classmethod
    def of_message(cls, message: Message) -> Command:
        """Raises: WireError for a value that BSON's library refuses."""
        flaws = [f"the key {path} comes twice" for path in message.duplicates]
        sequences = [
            (each.name, [document.decode() for document in each.documents])
            for each in message.sequences
        ]
        body = message.body.decode()
        flaws += _merge(body, sequences)
        if message.legacy:
            body.setdefault("$db", "admin")
        return cls(body, tuple(flaws), message.more_to_come, message)

    @property
    def name(self) -> str:
        """As it was sent; empty when there is none."""
        return next(iter(self.body), "")

    @property
    def database(self) -> object:
        """As it was sent; None when there is none."""
        return self.body.get("$db")

    @property
    def in_transaction(self) -> bool:
        return "autocommit" in self.body or "startTransaction" in self.body

    @property
    def answered(self) -> bool:
        """Whether the client waits for an answer, and for the write's own."""
        if self.more_to_come:
            return False
        concern = self.body.get("writeConcern")
        return not isinstance(concern, Mapping) or _is_answered(concern.get("w", 1))

    @property
    def is_exact(self) -> bool:
        """Whether it is, byte for byte, what its values stand for.

        The decoder takes some of BSON's old types for others. Two commands must not have one
        digest, and what a reviewer saw must be what is sent on.
        """
        if self.message is None:
            return True
        sequences = (each for part in self.message.sequences for each in part.documents)
        return all(each.is_exact for each in (self.message.body, *sequences))

    def canonical(self) -> dict[str, Any]:
        """What stays the same when it is sent again, in an order that does not depend on the

        driver: the name first, then the other fields by name. Below, order has a meaning.
        """
        rest = sorted(set(self.body) - SESSION_FIELDS - {self.name})
        return {key: self.body[key] for key in (self.name, *rest) if key in self.body}

    @property
    def digest(self) -> str:
        """Names exactly this command on exactly this database: SHA-256, as hex digits."""
        return digest_of([self])


def _is_answered(w: object) -> bool:
    """A server cuts a number down to a whole one, so that a half is none, and so is NaN."""
    if isinstance(w, Decimal128):
        return float(w.to_decimal()) >= 1
    return w >= 1 if isinstance(w, (int, float)) else w != "0"


def digest_of(commands: Sequence[Command]) -> str:
    """Names a sequence of commands, such as a transaction's writes."""
    whole = hashlib.sha256()
    for command in commands:
        whole.update(bson.encode(command.canonical(), codec_options=PLAIN))
    return whole.hexdigest()


def _merge(
    body: dict[str, Any], sequences: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]
) -> list[str]:
    """Put sequences into the body they came with; returns what is wrong with them."""
    flaws = []
    for name, documents in sequences:
        if name in body:
            flaws.append(f"{name} is given twice")
        elif not body:
            flaws.append("there is no command")
        else:
            body[name] = list(documents)
    return flaws
