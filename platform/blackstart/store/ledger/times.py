"""Moments as a ledger's lines have them."""

from __future__ import annotations

from datetime import UTC, datetime


def time_text(at: datetime) -> str:
    """A moment in UTC to the millisecond, as RFC 3339 writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(value: object) -> datetime:
    """Raises: ValueError when it is no text that names a moment and its zone."""
    if not isinstance(value, str):
        raise ValueError(f"no time: {value!r}")
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        raise ValueError(f"a time without a zone: {value!r}")
    return at.astimezone(UTC)
