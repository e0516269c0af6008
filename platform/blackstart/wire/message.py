"""A message that was read: what it asks or answers, and the very bytes it came in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

from blackstart.wire.compression import Compressor
from blackstart.wire.documents import Document
from blackstart.wire.header import Header


class Flag(IntFlag):
    """OP_MSG's flag bits; of the first sixteen an unknown one must be refused."""

    CHECKSUM_PRESENT = 1
    MORE_TO_COME = 2
    EXHAUST_ALLOWED = 1 << 16


NO_FLAGS = Flag(0)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A section of kind 1: documents that belong into the body under `name`."""

    name: str
    documents: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """A command, by OP_MSG or, for the handshake of old, by OP_QUERY; or an answer by OP_MSG.

    `raw` is the frame as it was received, compressed or not: whoever has
    judged the message forwards that and nothing else.
    """

    header: Header
    raw: bytes
    body: Document
    sequences: tuple[Sequence, ...] = ()
    flags: Flag = NO_FLAGS
    legacy: bool = False
    compressor: Compressor | None = None

    @property
    def command(self) -> str:
        """The command's name: the body's first key."""
        return self.body.first_key

    @property
    def more_to_come(self) -> bool:
        """The sender wants no answer, or sends another message after this one."""
        return bool(self.flags.value & 2)

    @property
    def exhaust_allowed(self) -> bool:
        """The client takes several answers to this one message."""
        return bool(self.flags.value & (1 << 16))

    @property
    def checksummed(self) -> bool:
        return bool(self.flags.value & 1)

    @property
    def duplicates(self) -> tuple[str, ...]:
        """Paths of keys that come twice in one document, in body and sequences."""
        if not self.sequences:
            return self.body.duplicates
        found = list(self.body.duplicates)
        for each in self.sequences:
            for number, document in enumerate(each.documents):
                found += (f"{each.name}.{number}.{path}" for path in document.duplicates)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of old, by OP_REPLY: only a handshake by OP_QUERY gets one."""

    header: Header
    raw: bytes
    flags: int
    cursor_id: int
    documents: tuple[Document, ...]
    compressor: Compressor | None = None
