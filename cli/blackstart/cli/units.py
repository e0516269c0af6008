"""Bytes and seconds as people read them, in a few characters."""

from __future__ import annotations

KIBIBYTE = 1024


def size(count: float) -> str:
    """Bytes, like `812 B` or `1.4 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < KIBIBYTE:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= KIBIBYTE
    return f"{count:.1f} TiB"


def duration(seconds: float) -> str:
    """Seconds, like `12s`, `5m`, `3h` or `2d`, rounded down."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)}{unit}"
    return f"{int(seconds)}s"


def counted(count: int, noun: str) -> str:
    """`1 chunk`, `2 chunks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
