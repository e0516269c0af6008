"""The media type of a file by its name."""

from __future__ import annotations

import mimetypes

_TEXT_LIKE = ("application/javascript", "application/json", "application/xml", "image/svg+xml")


def content_type(path: str) -> str:
    """The media type of a file by its name."""
    guessed, encoding = mimetypes.guess_type(path)
    if guessed is None or encoding is not None:
        return "application/octet-stream"
    if guessed.startswith("text/") or guessed in _TEXT_LIKE:
        return f"{guessed}; charset=utf-8"
    return guessed
