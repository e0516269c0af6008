"""One stored response, and its form as bytes on a disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from blackstart.cdn.message import Headers
from blackstart.errors import StorageError

# What an entry costs besides its header and body bytes: objects, keys, index.
OVERHEAD_BYTES = 512

_MAGIC = b"BSC1"
_DIGEST_BYTES = 32
_PREFIX_BYTES = len(_MAGIC) + 4 + _DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored response.

    `stored_at` is Unix seconds, `initial_age_s` how old the response was then.
    A `suspect` entry was found on disk at start: a purge may have been missed
    while the node was down, so it is never fresh until the origin confirms it.
    """

    key: str
    primary: str
    vary: tuple[str, ...]
    status: int
    headers: Headers
    body: bytes
    stored_at: float
    initial_age_s: float
    lifetime_s: float
    stale_window_s: float
    tags: tuple[str, ...]
    plan: str
    suspect: bool = False

    @property
    def size(self) -> int:
        """Bytes this entry counts for against its plan's quota."""
        fields = sum([len(name) + len(value) for name, value in self.headers.pairs])
        return OVERHEAD_BYTES + len(self.key) + fields + len(self.body)

    def age_s(self, now: float) -> float:
        """Seconds since the origin made the response (RFC 9111 section 4.2.3)."""
        return self.initial_age_s + max(0.0, now - self.stored_at)

    def is_fresh(self, now: float) -> bool:
        """Whether it may be served without asking the origin."""
        return not self.suspect and self.age_s(now) < self.lifetime_s

    def covers_errors(self, now: float) -> bool:
        """Whether it may stand in for an origin that fails (RFC 5861 section 4)."""
        return self.age_s(now) - self.lifetime_s < self.stale_window_s


@dataclass(frozen=True, slots=True)
class Head:
    """An entry's description as read from disk, without the body."""

    entry: Entry
    body_bytes: int
    body_digest: str
    body_offset: int

    @property
    def size(self) -> int:
        """The size the whole entry has once its body is read."""
        return self.entry.size + self.body_bytes


def encode(entry: Entry) -> bytes:
    """The entry as one file: magic, length and digest of the head, head, body."""
    head = json.dumps(
        {
            "key": entry.key,
            "primary": entry.primary,
            "vary": entry.vary,
            "status": entry.status,
            "headers": entry.headers.pairs,
            "stored_at": entry.stored_at,
            "initial_age_s": entry.initial_age_s,
            "lifetime_s": entry.lifetime_s,
            "stale_window_s": entry.stale_window_s,
            "tags": entry.tags,
            "plan": entry.plan,
            "body_bytes": len(entry.body),
            "body_digest": hashlib.sha256(entry.body).hexdigest(),
        },
        separators=(",", ":"),
    ).encode()
    digest = hashlib.sha256(head).digest()
    return b"".join([_MAGIC, len(head).to_bytes(4, "big"), digest, head, entry.body])


def head_length(prefix: bytes) -> int:
    """Bytes from the start of the file to the body, told by its first bytes.

    Raises: StorageError when this is not the beginning of an entry.
    """
    if len(prefix) < _PREFIX_BYTES or prefix[: len(_MAGIC)] != _MAGIC:
        raise StorageError("not a cache entry, or torn")
    return _PREFIX_BYTES + int.from_bytes(prefix[4:8], "big")


def decode_head(data: bytes) -> Head:
    """Read everything but the body.

    Raises: StorageError when the bytes are torn or corrupt.
    """
    end = head_length(data)
    text = data[_PREFIX_BYTES:end]
    if hashlib.sha256(text).digest() != data[8:_PREFIX_BYTES]:
        raise StorageError("a cache entry's head does not match its checksum")
    try:
        return _head(json.loads(text), end)
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError("a cache entry's head was written by another version") from error


def _head(fields: dict[str, Any], body_offset: int) -> Head:
    entry = Entry(
        key=fields["key"],
        primary=fields["primary"],
        vary=tuple(fields["vary"]),
        status=fields["status"],
        headers=Headers((name, value) for name, value in fields["headers"]),
        body=b"",
        stored_at=fields["stored_at"],
        initial_age_s=fields["initial_age_s"],
        lifetime_s=fields["lifetime_s"],
        stale_window_s=fields["stale_window_s"],
        tags=tuple(fields["tags"]),
        plan=fields["plan"],
    )
    return Head(entry, fields["body_bytes"], fields["body_digest"], body_offset)


def decode(data: bytes) -> Entry:
    """Read a whole entry.

    Raises: StorageError when the bytes are torn or corrupt.
    """
    head = decode_head(data)
    body = data[head.body_offset :]
    if hashlib.sha256(body).hexdigest() != head.body_digest:
        raise StorageError("a cache entry's body does not match its checksum")
    return replace(head.entry, body=body)


HEAD_PREFIX_BYTES = _PREFIX_BYTES
