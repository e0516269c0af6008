"""An answer of the origin before it is sent: status, header fields, and the bytes' source."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from blackstart.origin.metrics import Reason

Fields = dict[str, str]


@dataclass(frozen=True)
class Answer:
    """`body` is all of it, or a stream whose length is in the header fields."""

    status: int
    reason: Reason
    fields: Fields = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""


def problem(status: int, reason: Reason, text: str) -> Answer:
    """A short plain answer that no cache keeps."""
    return Answer(
        status,
        reason,
        {
            "content-type": "text/plain; charset=utf-8",
            "cache-control": "no-store",
            "cdn-cache-control": "no-store",
        },
        f"{text}\n".encode(),
    )
