"""What came of verifying a snapshot: it is whole, it is damaged, or nobody could tell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What is known of a snapshot; only `OK` is a reason to rely on it."""

    OK = "ok"
    DAMAGED = "damaged"
    UNVERIFIED = "could not verify"


class Kind(StrEnum):
    """What is wrong with a chunk, or with the manifest itself."""

    MISSING = "missing"
    TRUNCATED = "truncated"
    WRONG_BYTES = "wrong bytes"
    WRONG_COUNT = "wrong count"
    WRONG_IDS = "wrong ids"
    WRONG_ORDER = "wrong order"
    MANIFEST = "manifest"


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong: where, which chunk, and how; blank where it is no chunk's fault.

    Of a patch the `base` may be what is damaged: the reason names it.
    """

    collection: str
    chunk: str
    kind: Kind
    reason: str
    base: str = ""


@dataclass(frozen=True)
class Verdict:
    """One snapshot, verified or not.

    `damages` is what is wrong for certain, `unread` why something could not be looked at.
    Chunks, documents and bytes are those that were looked at and found right.
    """

    id: str
    damages: tuple[Damage, ...] = ()
    unread: tuple[str, ...] = ()
    chunks: int = 0
    documents: int = 0
    raw_bytes: int = 0
    is_empty: bool = False

    @property
    def state(self) -> State:
        if self.damages:
            return State.DAMAGED
        return State.UNVERIFIED if self.unread else State.OK
