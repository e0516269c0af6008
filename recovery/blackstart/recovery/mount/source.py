"""What the mount reads from: a snapshot's reader, and the documents it yields."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import bson
from bson.errors import InvalidBSON
from bson.raw_bson import RawBSONDocument

from blackstart.wire import CommandError
from blackstart.wire.documents import PLAIN


class Source(Protocol):
    """The part of `SnapshotReader` that the mount needs."""

    def collections(self) -> list[str]: ...

    def count(self, collection: str) -> int: ...

    def is_ordered(self, collection: str) -> bool: ...

    def indexes(self, collection: str) -> list[dict[str, Any]]: ...

    def options(self, collection: str) -> dict[str, Any]: ...

    def raw_bytes(self, collection: str) -> int: ...

    async def get(self, collection: str, _id: Any) -> RawBSONDocument | None: ...

    def scan(self, collection: str, *, start: Any = None) -> AsyncIterator[RawBSONDocument]: ...


class Found:
    """A document on its way to a client: its bytes as they are stored, decoded when asked."""

    __slots__ = ("_document", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._document: Mapping[str, Any] | None = None

    @classmethod
    def made(cls, document: Mapping[str, Any]) -> Found:
        """A document that is not stored, but was computed."""
        found = cls(bson.encode(document, codec_options=PLAIN))
        found._document = document
        return found

    @property
    def size(self) -> int:
        return len(self.raw)

    @property
    def document(self) -> Mapping[str, Any]:
        """Raises: CommandError when it holds what cannot be decoded."""
        if self._document is None:
            try:
                self._document = bson.decode(self.raw, PLAIN)
            except (InvalidBSON, ValueError, RecursionError) as error:
                told = f"a document of the snapshot cannot be decoded: {error}"
                raise CommandError("DataCorruptionDetected", told) from error
        return self._document
