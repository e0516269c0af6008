"""Where snapshots lie in the object store."""

from __future__ import annotations

PREFIX = "snapshots/"
MANIFESTS = f"{PREFIX}manifests/"
CHUNKS = f"{PREFIX}chunks/"
TAKES = f"{PREFIX}takes/"
COLLECTING = f"{PREFIX}collecting/"
SCHEDULED = f"{PREFIX}scheduled/"


def manifest_key(snapshot_id: str) -> str:
    """A snapshot exists when this does."""
    return f"{MANIFESTS}{snapshot_id}"


def scheduled_prefix(database: str) -> str:
    """Below it is whose turn it is to take a database's scheduled snapshot."""
    return f"{SCHEDULED}{database}/"


def chunk_key(name: str) -> str:
    """A name begins with the digest of what it holds: its first two digits are fan-out."""
    return f"{CHUNKS}{name[:2]}/{name}"


def chunk_name(digest: str, snapshot_id: str, number: int) -> str:
    """Of the chunk that a take stores as its `number`-th; no other has this name, ever."""
    return f"{digest}.{snapshot_id}.{number}"
