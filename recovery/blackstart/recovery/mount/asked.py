"""A command as a client sent it: name, database, arguments; what is not understood is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blackstart.wire import CommandError, Message

_GENERIC = frozenset(
    {
        "$db",
        "$readPreference",
        "$clusterTime",
        "apiDeprecationErrors",
        "apiStrict",
        "apiVersion",
        "comment",
        "lsid",
        "maxTimeMS",
        "readConcern",
    }
)
"""What any command may carry and what changes nothing on a snapshot, but for `maxTimeMS`."""

_TRANSACTION = ("txnNumber", "startTransaction", "autocommit")


class Asked:
    """One command. Raises: CommandError, when it is made, for one that cannot be judged."""

    def __init__(self, body: Mapping[str, Any], *, legacy: bool = False) -> None:
        self.body = body
        self.name = next(iter(body), "")
        database = "admin" if legacy else body.get("$db")
        if not isinstance(database, str) or not database:
            raise CommandError("Location40571", "OP_MSG requests require a $db argument")
        self.database = database
        if any(key in body for key in _TRANSACTION):
            raise CommandError(
                "IllegalOperation",
                "Transaction numbers are only allowed on a replica set member or mongos",
            )

    @classmethod
    def by(cls, message: Message) -> Asked:
        """What a message asks. Raises: CommandError."""
        if message.duplicates:
            path = message.duplicates[0]
            raise CommandError("FailedToParse", f"the field {path!r} comes twice in the command")
        body = message.body.decode()
        # Writes bring their statements so. They are refused, as what they are: they are counted.
        body |= {each.name: [{}] * len(each.documents) for each in message.sequences}
        return cls(body, legacy=message.legacy)

    @property
    def namespace(self) -> str:
        return f"{self.database}.{self.collection}"

    @property
    def collection(self) -> str:
        """The first argument, of commands on a collection."""
        name = self.body[self.name]
        if not isinstance(name, str) or not name:
            kind = type(name).__name__
            raise CommandError("InvalidNamespace", f"collection name has invalid type {kind}")
        return name

    def takes(self, *names: str) -> None:
        """Refuse arguments beyond these: what is passed over in silence misleads."""
        for key in self.body:
            if key != self.name and key not in names and key not in _GENERIC:
                told = f"BSON field '{self.name}.{key}' is not taken on a snapshot"
                raise CommandError("Location40415", told)

    def document(self, name: str) -> Mapping[str, Any]:
        """An argument that is a document; empty when left out."""
        value = self.body.get(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise CommandError("TypeMismatch", f"'{self.name}.{name}' must be a document")
        return value

    def whole(self, name: str, default: int = 0) -> int:
        """An argument that is a whole number, not negative."""
        found = self.optional_whole(name)
        return default if found is None else found

    def optional_whole(self, name: str) -> int | None:
        value = self.body.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise CommandError("TypeMismatch", f"'{self.name}.{name}' must be a number")
        if not 0 <= value < 2**63 or value != int(value):
            raise CommandError("BadValue", f"'{self.name}.{name}' must be a whole number >= 0")
        return int(value)

    def whole_of(self, name: str) -> int:
        """As `whole`, of an argument whose sign means nothing."""
        value = self.body.get(name)
        if isinstance(value, (int, float)) and value < 0:
            self.body = {**self.body, name: -value}
        return self.whole(name)

    def flag(self, name: str) -> bool:
        return bool(self.body.get(name))

    def refuse_collation(self) -> None:
        """Only the simple one, byte by byte, is known here."""
        locale = self.document("collation").get("locale", "simple")
        if locale != "simple":
            raise CommandError("NotImplemented", "a snapshot is read with the simple collation")
