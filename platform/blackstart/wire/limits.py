"""How much of anything a message may hold; what lies beyond is refused before it is held."""

from __future__ import annotations

from dataclasses import dataclass

MAX_MESSAGE_BYTES = 48_000_000
"""What MongoDB announces as `maxMessageSizeBytes`."""
MAX_DOCUMENT_BYTES = 16 * 1024 * 1024 + 16 * 1024
"""`maxBsonObjectSize`, and the 16 KiB that MongoDB grants a command around such a document."""
MAX_DEPTH = 200
"""MongoDB's own bound on nesting (`maxBSONDepth`)."""
MAX_KEYS = 200_000
"""Fields of one document; they are held while it is looked through for a key that comes twice."""

MAX_DOCUMENTS = 100_000
"""Documents beside one body: what MongoDB announces as `maxWriteBatchSize`."""


@dataclass(frozen=True)
class WireLimits:
    """The bounds that a parser keeps to."""

    message_bytes: int = MAX_MESSAGE_BYTES
    document_bytes: int = MAX_DOCUMENT_BYTES
    depth: int = MAX_DEPTH
    keys: int = MAX_KEYS
    documents: int = MAX_DOCUMENTS


LIMITS = WireLimits()
